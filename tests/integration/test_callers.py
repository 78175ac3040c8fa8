"""Who may call what, with real certificates; and whose a request id is."""

import asyncio
import ipaddress
import uuid
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from cryptography import x509
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from signupd.notation import METHODS
from signupd.rpc.server import Server
from signupd.work import Work

from tests.doubles.authority import Authority, Issued, dns, raw_sans, uri
from tests.integration.caller import Caller, reflected, refusal
from tests.integration.world import Replica, World
from tests.refusal import Refusal

AUTHORITY = Authority()
SPIFFE = "spiffe://example.org/web"
ADDRESS = "ann@example.com"
WEB = AUTHORITY.issue(uri(SPIFFE))
APP = AUTHORITY.issue(dns("app.example"))
ADMIN = AUTHORITY.issue(dns("admin.example"), dns("admin-1.example"))
CALLERS = {
    SPIFFE: ["SignupService"],
    "app.example": ["SignupService"],
    "admin.example": ["AccountService/GetAccount"],
}
SIGNUPS = {f"SignupService/{name}" for name in METHODS["SignupService"]}
ACCOUNT, BATCH = "AccountService/GetAccount", "AccountService/BatchGetAccounts"
# Under mutual TLS CALLERS' names decide, and nothing that only looks like one.
OPEN: list[tuple[Issued, set[str]]] = [
    (WEB, SIGNUPS),
    (ADMIN, {ACCOUNT}),
    (AUTHORITY.issue(dns("admin.example"), uri(SPIFFE)), {ACCOUNT, *SIGNUPS}),
    (AUTHORITY.issue(dns("stranger.example")), set()),
    (AUTHORITY.issue(common_name="admin.example"), set()),
    (AUTHORITY.issue(dns("x.example"), common_name="admin.example"), set()),
    (AUTHORITY.issue(dns("*.example")), set()),
    (AUTHORITY.issue(dns("Admin.example")), set()),
    (AUTHORITY.issue(x509.RFC822Name("admin.example")), set()),
    (AUTHORITY.issue(x509.IPAddress(ipaddress.ip_address("127.0.0.1"))), set()),
    (AUTHORITY.issue(uri(f"{SPIFFE}/more")), set()),
    # gRPC itself reads this one as admin.example.
    (AUTHORITY.issue(raw_sans([(0x82, b"admin.example\0.evil.example")])), set()),
    (AUTHORITY.issue(raw_sans([(0x82, SPIFFE.encode())])), set()),
]


@pytest.fixture
async def mutual(world: World) -> Replica:
    """Give a server on loopback that demands certificates, and has CALLERS."""
    return await serve(world, callers=CALLERS)


async def serve(world: World, **settings: Any) -> Replica:
    """Start a server that demands certificates."""
    files = AUTHORITY.serve_from(world.directory)
    return await world.serve(
        tls_cert=files.cert,
        tls_key=files.key,
        tls_client_ca=files.client_ca,
        **settings,
    )


def caller_of(replica: Replica, client: Issued) -> Caller:
    """Make a caller with a certificate."""
    return Caller(replica.service.port, AUTHORITY.trusted_by(client))


async def probe(channel: grpc.aio.Channel, method: str) -> Refusal:
    """Call a method with what is no message: REQUEST_INVALID means that it is open."""
    call: Any = channel.unary_unary(f"/kratos_signup.v1.{method}")
    return await refusal(call(b"\xff", timeout=60))


async def open_methods(channel: grpc.aio.Channel) -> set[str]:
    """Tell which methods are open to a caller; the others are to be denied."""
    found = {m: await probe(channel, m) for m in (*SIGNUPS, ACCOUNT, BATCH)}
    denied = {r.reason for r in found.values()} - {"REQUEST_INVALID"}
    assert denied <= {"CALLER_NOT_PERMITTED"}
    return {m for m, r in found.items() if r.reason == "REQUEST_INVALID"}


@pytest.mark.parametrize(("client", "methods"), OPEN)
async def test_callers(mutual: Replica, client: Issued, methods: set[str]) -> None:
    """A certificate opens what CALLERS says of its names, before anything is read."""
    async with caller_of(mutual, client) as caller:
        assert methods == await open_methods(caller.channel)


async def test_refusal(world: World, mutual: Replica) -> None:
    """Whoever is turned away learns that and nothing else; the log says who it was."""
    async with caller_of(mutual, ADMIN) as caller:
        refused = await refusal(caller.get("x"))

    assert grpc.StatusCode.PERMISSION_DENIED is refused.code
    assert "The caller may not call this method." == refused.message
    assert (None, [], None) == (refused.signup, refused.faults, refused.retry_seconds)
    assert {
        "method": "/kratos_signup.v1.SignupService/GetSignup",
        "why": "not open to admin.example",
    }.items() <= world.log.entry("caller_not_permitted").items()


async def test_certificates_without_callers(world: World) -> None:
    """Without CALLERS every certificate opens SignupService, none AccountService.

    On loopback too: where there are certificates the place does not count.
    """
    replica = await serve(world)
    for client in (ADMIN, AUTHORITY.issue(common_name="nobody")):
        async with caller_of(replica, client) as caller:
            assert SIGNUPS == await open_methods(caller.channel)


async def test_loopback_without_certificates(caller: Caller) -> None:
    """On loopback, without certificates, everything is open."""
    assert {*SIGNUPS, ACCOUNT, BATCH} == await open_methods(caller.channel)


@pytest.fixture
async def abroad(world: World) -> AsyncIterator[Caller]:
    """Give a caller of a server that is set up to be reached from anywhere.

    That it listens on loopback after all, the server is not told.
    """
    deps = (await world.serve()).service.deps
    settings = world.settings(listen="0.0.0.0:0", insecure=True)
    server = Server(settings, deps, Work())
    port = server.listen("127.0.0.1:0")
    await server.start()
    async with Caller(port) as caller:
        yield caller
    await server.stop(0)


async def test_beyond_loopback(abroad: Caller) -> None:
    """Beyond loopback, without certificates, AccountService is open to nobody."""
    assert SIGNUPS == await open_methods(abroad.channel)


async def health(caller: Caller, expected: list[int]) -> None:
    """Wait until the server and its services are as expected."""
    stub: Any = health_pb2_grpc.HealthStub(caller.channel)
    names = ["", *(f"kratos_signup.v1.{service}" for service in METHODS)]
    for name, status in zip(names, expected, strict=True):
        watch = stub.Watch(health_pb2.HealthCheckRequest(service=name), timeout=60)
        while (await watch.read()).status != status:
            pass
        watch.cancel()


async def test_health(mutual: Replica) -> None:
    """Health answers any certificate, also one that may call nothing."""
    async with caller_of(mutual, AUTHORITY.issue(dns("stranger.example"))) as caller:
        await health(caller, [1, 1, 1])


async def test_health_of_what_nobody_may_call(world: World) -> None:
    """A service that is open to nobody is not SERVING."""
    replica = await serve(world, callers={"web.example": ["SignupService/GetSignup"]})
    async with caller_of(replica, WEB) as caller:
        await health(caller, [1, 1, 2])


async def names_of(caller: Caller) -> list[str]:
    """Ask for the names of the services."""
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    answer = await reflected(caller, request)
    return [service.name for service in answer.list_services_response.service]


async def test_reflection(mutual: Replica, world: World) -> None:
    """Reflection answers whoever may call anything, and no strangers."""
    async with caller_of(mutual, ADMIN) as caller:
        names = await names_of(caller)
    async with caller_of(mutual, AUTHORITY.issue(dns("stranger.example"))) as caller:
        refused = await refusal(names_of(caller))

    assert "kratos_signup.v1.SignupService" in names
    assert "CALLER_NOT_PERMITTED" == refused.reason
    assert "caller_not_permitted" in world.log.events("warning")
    why = world.log.entry("caller_not_permitted")["why"]
    assert "not open to stranger.example" == why


async def test_request_id_of_start(mutual: Replica, world: World) -> None:
    """A StartSignup's request id is its caller's: another's equal one is another."""
    request_id = uuid.uuid4()
    async with caller_of(mutual, WEB) as web, caller_of(mutual, APP) as app:
        first = await web.start(ADDRESS, request_id)
        again = await web.start(ADDRESS, request_id)
        other = await app.start(ADDRESS, request_id)
        reused = await refusal(web.start("bob@example.com", request_id))

    assert first.signup.signup_id == again.signup.signup_id != other.signup.signup_id
    assert "REQUEST_ID_REUSED" == reused.reason
    assert 2 == len(world.kratos.mails_to(ADDRESS))
    assert {SPIFFE, "app.example"} == {row["caller"] for row in world.rows()}


async def test_request_id_of_another_instance(mutual: Replica, world: World) -> None:
    """A caller is the same with another certificate of the same name."""
    request_id = uuid.uuid4()
    async with caller_of(mutual, WEB) as web:
        first = await web.start(ADDRESS, request_id)
    renewed = AUTHORITY.issue(uri(SPIFFE), dns("web-2.example"))
    async with caller_of(mutual, renewed) as web:
        again = await web.start(ADDRESS, request_id)

    assert first.signup.signup_id == again.signup.signup_id
    assert 1 == len(world.kratos.mails_to(ADDRESS))


async def test_request_id_of_resend(mutual: Replica, world: World) -> None:
    """A ResendCode's is too: another's equal one asks for another mail."""
    request_id = uuid.uuid4()
    async with caller_of(mutual, WEB) as web, caller_of(mutual, APP) as app:
        token = (await web.start(ADDRESS)).continuation_token
        world.clock.move(60)
        left = [
            (await caller.resend(token, request_id)).signup.resends_remaining
            for caller in (web, web)
        ]
        refused = await refusal(app.resend(token, request_id))
        world.clock.move(60)
        other = await app.resend(token, request_id)

    assert [3, 3] == left
    assert "RESEND_TOO_SOON" == refused.reason
    assert 2 == other.signup.resends_remaining


async def test_calls_to_join(mutual: Replica, world: World) -> None:
    """A repeat joins its own caller's call at work; another's equal call does not."""
    request_id = uuid.uuid4()
    held = world.kratos.hold("send")
    async with caller_of(mutual, WEB) as web, caller_of(mutual, APP) as app:
        calls = [asyncio.ensure_future(web.start(ADDRESS, request_id))]
        await held.arrived.wait()
        other = await app.start(ADDRESS, request_id)
        calls.append(asyncio.ensure_future(web.start(ADDRESS, request_id)))
        held.released.set()
        ids = [answer.signup.signup_id for answer in await asyncio.gather(*calls)]

    assert ids[0] == ids[1] != other.signup.signup_id
    assert 2 == len(world.kratos.mails_to(ADDRESS))
