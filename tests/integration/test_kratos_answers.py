"""The adapter against answers of every kind, and against none at all.

The ids of messages that a real Kratos sends are pinned by test_kratos_agreement.
"""

import asyncio
import itertools
import traceback
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from aiohttp import web
from signupd.errors import (
    KratosIncompatible,
    KratosUnavailable,
    SignupdError,
    TraitsInvalid,
)
from signupd.kratos.admin import AdminApi, Kratos
from signupd.kratos.answers import (
    CodeAnswer,
    CodeResult,
    PasswordAnswer,
    PasswordResult,
)
from signupd.kratos.http import HttpClient
from signupd.kratos.identity import (
    AccountState,
    Identity,
    PasswordStatus,
    is_mark_of,
    make_mark,
)
from signupd.kratos.public import FlowKind, PublicApi

from tests.doubles.certificate import certificate_file

Json = dict[str, Any]

ID = uuid.UUID("22222222-2222-4222-8222-222222222222")
MARK = make_mark(uuid.UUID("11111111-1111-4111-8111-111111111111"), bytes(16))
ADDRESS = "ann@example.com"
TRAITS = {"email": ADDRESS}
SINCE = datetime(2020, 1, 1, tzinfo=UTC)
HTML = "<h1>It works</h1>"
HASH = "$2a$12$canarycanarycanarycanaO.canarycanarycanarycanarycanary"
HASHED = {"hashed_password": HASH}
MIGRATING = {"use_password_migration_hook": True}
TIMES = {"created_at": "2030-01-01T00:00:00Z", "updated_at": "2030-01-02T00:00:00Z"}
CREATED, UPDATED = (datetime.fromisoformat(time) for time in TIMES.values())
# Bounds a hang; test_silence alone waits, for less.
CALL_SECONDS = 60.0


class Scripted:
    """A server that answers by its script."""

    def __init__(self) -> None:
        # Status and body to everything; a body that is text goes out as it is.
        self.answer: tuple[int, Any] = 200, None
        self.script: dict[tuple[str, str], tuple[int, Any]] = {}  # by method and path
        self.headers: dict[str, str] = {}  # of each answer
        self.requests: list[tuple[web.Request, Any]] = []
        self.silent: asyncio.Event | None = None  # answers nothing until it is set

    async def respond(self, request: web.Request) -> web.Response:
        """Answer a request."""
        body = await request.json() if request.can_read_body else None
        self.requests.append((request, body))
        if self.silent is not None:
            await self.silent.wait()
        status, said = self.script.get((request.method, request.path), self.answer)
        if isinstance(said, str):
            return web.Response(status=status, text=said)
        response = web.json_response(said, status=status, headers=self.headers)
        response.set_cookie("csrf", "abc", httponly=True)
        response.set_cookie("sticky", "7")
        return response


@pytest.fixture
def server() -> Scripted:
    """Make a server without a script."""
    return Scripted()


@pytest.fixture(params=[CALL_SECONDS])
async def kratos(
    request: pytest.FixtureRequest, server: Scripted, tmp_path: Path
) -> AsyncIterator[Kratos]:
    """Make an adapter to it, whose calls are far enough apart for any breaker."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.respond)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    hours, seconds = itertools.count(step=3600.0), request.param
    http = HttpClient(ca=certificate_file(tmp_path), clock=lambda: next(hours))
    admin = AdminApi(http, url, seconds, "hunter2")
    yield Kratos(http, PublicApi(http, url, seconds, seconds), admin)
    await http.close()
    if server.silent is not None:
        server.silent.set()
    await runner.cleanup()


async def outcomes(kratos: Kratos) -> dict[str, Any]:
    """Make one call of each kind, all at once; return the results and errors."""
    public, admin = kratos.public, kratos.admin
    calls: dict[str, Any] = {
        "open": public.open_registration(),
        "send": public.send_code("flow-1", TRAITS, ""),
        "code": public.submit_code("flow-1", TRAITS, "123456"),
        "flow": public.flow_state("flow-1"),
        "password": public.submit_password("flow-1", TRAITS, "secret"),
        "offer": public.offer(FlowKind.API, TRAITS),
        "schemas": public.schemas(),
        "find": admin.find_identity(ADDRESS),
        "find_account": admin.find_account(ADDRESS),
        "accounts": admin.accounts([ID]),
        "sessions": admin.sessions(ID),
        "end_sessions": admin.end_sessions(ID),
        "delete": admin.delete_identity(ID),
        "courier": admin.code_delivery(ADDRESS, SINCE),
        "newest_code": admin.newest_code(ADDRESS),
        "ready": admin.ready(10.0),
    }
    found = await asyncio.gather(*calls.values(), return_exceptions=True)
    return dict(zip(calls, found, strict=True))


def kinds(found: dict[str, Any]) -> set[type]:
    """Return the types of results and errors."""
    return {type(one) for one in found.values()}


@pytest.mark.parametrize("kratos", [2.0], indirect=True)
async def test_silence(kratos: Kratos, server: Scripted) -> None:
    """Every call is bounded: no answer in time is none."""
    server.silent = asyncio.Event()

    assert {KratosUnavailable} == kinds(await outcomes(kratos))


def failed(message: str, **more: Any) -> Json:
    """Make an error body of Kratos."""
    return {"error": {"code": 500, "message": message, **more}}


UPSTREAM = {"id": "upstream_error", "reason": "Unable to check if it was leaked"}


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        *((status, HTML, "") for status in (500, 502, 503, 504, 429)),
        (502, {"error": {}}, ""),
        (400, failed("database is locked"), ""),
        (400, failed("unable to open file: /no.gotmpl"), "open file: /no.gotmpl"),
        (400, failed("x", code=429), ""),
        (502, failed("GET https://x/range/CBDC9 giving up", **UPSTREAM), "leaked"),
        (500, failed("the code 123456 for ann@example.com is away"), ""),
        (400, failed("webhook failed", id="upstream_error"), "upstream_error"),
        (500, failed("x", reason="no such row: ann@example.com"), ""),
    ],
)
async def test_failed(
    kratos: Kratos, server: Scripted, status: int, body: Any, said: str
) -> None:
    """A Kratos that failed may have done anything; it says when to come back.

    The log repeats what it says in plain words, and nothing with a value in it.
    """
    server.answer = status, body
    found = await outcomes(kratos)

    assert {KratosUnavailable} == kinds(found)
    assert found["find"].retry_after_seconds
    assert said in found["password"].detail
    assert "CBDC9" not in found["password"].detail
    assert "ann@" not in found["password"].detail


@pytest.mark.parametrize("status", [404, 410])
async def test_gone_for_a_proxy(kratos: Kratos, server: Scripted, status: int) -> None:
    """What stands before Kratos cannot say that a flow is gone."""
    server.answer = status, HTML
    found = await outcomes(kratos)

    of_a_flow = {name: found[name] for name in ("send", "code", "flow", "password")}
    assert {KratosUnavailable} == kinds(of_a_flow)


@pytest.mark.parametrize(
    ("status", "body", "answers"),
    [
        (200, HTML, set()),
        (200, {}, set()),
        (
            200,
            [],
            {"schemas", "sessions", "courier", "ready"}
            | {"find", "find_account", "accounts"},
        ),
        (200, [3], set()),
        (302, HTML, set()),
        (403, HTML, set()),
        (400, {"error": {}}, set()),
        (400, {"ui": {"nodes": [3]}}, set()),
        (401, {"error": {"code": 401, "message": "forbidden"}}, set()),
        (418, {}, set()),
        (400, failed("webhook response: EOF"), {"code", "password"}),
        (400, failed("POST http://x giving up after 3"), {"code", "password"}),
        (502, failed("webhook failed with status code 403"), {"code", "password"}),
    ],
)
async def test_no_kratos(
    kratos: Kratos, server: Scripted, status: int, body: Any, answers: set[str]
) -> None:
    """Another server, or other words, never pass for an answer."""
    server.answer = status, body
    found = await outcomes(kratos)
    clear = {
        name: came for name, came in found.items() if not isinstance(came, SignupdError)
    }

    assert answers | ({"newest_code"} if body == [] else set()) == clear.keys()
    late = status == 502
    by_code = CodeAnswer.HOOK_LATE if late else CodeAnswer.UNCLEAR
    by_password = PasswordAnswer.HOOK_LATE if late else PasswordAnswer.HOOK_AWAY
    assert clear.get("code") in (None, CodeResult(by_code))
    assert clear.get("password") in (None, PasswordResult(by_password))
    assert not clear.get("find")


async def test_schema_away(kratos: Kratos, server: Scripted) -> None:
    """A schema that Kratos cannot fetch is its failure; the log names the host."""
    url = "http://ann:hunter2@schemas.example:81/user.json"
    server.answer = 500, failed(f"GET {url} giving up after 3 attempt(s)")
    opened = (await outcomes(kratos))["open"]

    assert isinstance(opened, KratosUnavailable)
    assert "it gets no answer from schemas.example:81" in opened.detail
    assert "hunter2" not in opened.detail


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_admin_refuses(kratos: Kratos, server: Scripted, status: int) -> None:
    """An admin API that does not let us in is set up wrongly; 404 is not "nobody"."""
    server.answer = status, {"error": {}}
    found = await outcomes(kratos)

    for name in ("find", "find_account", "accounts", "sessions", "courier", "ready"):
        assert "KRATOS_ADMIN_TOKEN" in found[name].detail


@pytest.mark.parametrize("status", [200, 302, 307, 308])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_admin_token(
    kratos: Kratos, server: Scripted, status: int, host: str
) -> None:
    """The token goes to the admin API as bearer, and nowhere else on a redirect."""
    await outcomes(kratos)
    port = server.requests.pop()[0].url.port
    server.requests.clear()
    server.answer = status, None
    server.headers = {"Location": f"http://{host}:{port}/elsewhere"}
    await outcomes(kratos)
    given = {
        (one.path.split("/")[1], one.headers.get("Authorization"))
        for one, _ in server.requests
    }

    assert {
        ("admin", "Bearer hunter2"),
        ("self-service", None),
        ("schemas", None),
    } == given


async def test_queries(kratos: Kratos, server: Scripted) -> None:
    """Addresses are escaped in queries; ids go once each, on one page."""
    server.answer = 200, []
    await kratos.admin.find_identity("ann+1@example.com")
    await kratos.admin.code_delivery("ann+1@example.com", SINCE)
    await kratos.admin.accounts([ID, ID])
    shown = [("include_credential", kind) for kind in ("password", "webauthn")]

    assert [
        ("/admin/identities", [("credentials_identifier", "ann+1@example.com")]),
        (
            "/admin/courier/messages",
            [("page_size", "10"), ("recipient", "ann+1@example.com")],
        ),
        ("/admin/identities", [("page_size", "1"), ("ids", str(ID)), *shown]),
    ] == [(one.path, [*one.query.items()]) for one, _ in server.requests]


async def test_ids_lost(kratos: Kratos, server: Scripted) -> None:
    """Identities that were not asked for are no answer."""
    server.answer = 200, [identity(id=str(uuid.uuid4())), identity()]
    with pytest.raises(KratosIncompatible, match="not asked for"):
        await kratos.admin.accounts([ID])


async def test_long_header(kratos: Kratos, server: Scripted) -> None:
    """An answer may repeat the longest query in its header, twice."""
    ids = "".join(f"ids={uuid.UUID(int=number)}&" for number in range(100))
    link = f"</admin/identities?{ids}>; rel="
    server.headers, server.answer = {"Link": f"{link}first,{link}next"}, (200, [])

    assert {} == await kratos.admin.accounts([ID])


def flow(*messages: tuple[str, int, str], **changed: Any) -> Json:
    """Make a flow with messages (node, id and text), as 1.3.1 writes it."""

    def shown(at: str) -> list[Json]:
        return [{"id": n, "text": text} for node, n, text in messages if node == at]

    nodes = [
        {"type": "input", "attributes": {"name": node}, "messages": shown(node)}
        for node in dict.fromkeys(node for node, _, _ in messages if node)
    ]
    link = {"attributes": {"href": "x"}, "messages": None}
    ui = {"nodes": [*nodes, link], "messages": shown("")}
    return {"id": "flow-1", "state": "sent_email", "ui": ui, **changed}


PASSED = {"state": "passed_challenge"}
USED = "The code was already used. Please request another code."


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        (flow(("traits.email", 9999001, "proved")), CodeAnswer.PROVED),
        (flow(("traits.email", 9999001, "proved"), **PASSED), CodeAnswer.PROVED),
        (flow(("", 4000007, "exists"), **PASSED), CodeAnswer.HOOK_MISSING),
        (flow(("", 4000028, "hints"), **PASSED), CodeAnswer.HOOK_MISSING),
        (flow(**PASSED), CodeAnswer.PASSED),
        (flow(("traits.email", 1234, "no"), **PASSED), CodeAnswer.HOOK_REFUSED),
        (flow(("traits.name", 4000002, "missing")), CodeAnswer.TRAITS_REFUSED),
        (flow(), CodeAnswer.UNCLEAR),
        (flow(("", 4000001, "something else")), CodeAnswer.UNCLEAR),
        (flow(("", 4000002, USED)), CodeAnswer.UNCLEAR),
        (flow(("", 1040005, "sent")), CodeAnswer.UNCLEAR),
    ],
)
async def test_code(
    kratos: Kratos, server: Scripted, body: Json, answer: CodeAnswer
) -> None:
    """Each message says what became of a code; an unknown one says nothing."""
    server.answer = 400, body
    result = await kratos.public.submit_code("flow-1", TRAITS, "123456")

    assert CodeResult(answer) == result


def refused(*rules: str) -> PasswordResult:
    """Say which rules a password breaks."""
    return PasswordResult(PasswordAnswer.REFUSED, rules=rules)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([("", 4000034)], refused("BREACHED")),
        ([("password", 4999999)], refused("REFUSED")),
        # All broken rules are named, each once, in Kratos' order.
        (
            [("password", 4000034), ("password", 4000032), ("password", 4000034)],
            refused("BREACHED", "TOO_SHORT"),
        ),
        ([("traits.name", 4000002)], PasswordResult(PasswordAnswer.TRAITS_REFUSED)),
        ([("traits", 4000001)], PasswordResult(PasswordAnswer.TRAITS_REFUSED)),
        ([("traits.x", 7)], PasswordResult(PasswordAnswer.HOOK_REFUSED)),
        ([("", 9999999)], PasswordResult(PasswordAnswer.HOOK_REFUSED)),
        ([("password", 7)], refused("REFUSED")),
        ([("", 4010003)], PasswordResult(PasswordAnswer.UNCLEAR)),
        ([("", 4999999)], PasswordResult(PasswordAnswer.UNCLEAR)),
    ],
)
async def test_password(
    kratos: Kratos,
    server: Scripted,
    messages: list[tuple[str, int]],
    expected: PasswordResult,
) -> None:
    """Each message says why no account was made; an unknown one says nothing."""
    server.answer = 400, flow(*((node, number, "x") for node, number in messages))

    assert expected == await kratos.public.submit_password("flow-1", TRAITS, "secret")


async def test_trait_violations(kratos: Kratos, server: Scripted) -> None:
    """A fault of a trait becomes a sentence of ours on the field, and comes once."""
    server.answer = (
        400,
        flow(
            ("traits.name", 4000002, "x"),
            ("traits.a.b", 4000003, "x"),
            ("traits.a.b", 4000003, "y"),
            ("traits.email", 4000040, '"ann" is not valid "email"'),
        ),
    )
    with pytest.raises(TraitsInvalid) as caught:
        await kratos.public.send_code("flow-1", TRAITS, "")

    assert [
        ("traits.name", "is missing"),
        ("traits.a.b", "is too short"),
        ("email", "does not fit the identity schema"),
    ] == [(one.field, one.description) for one in caught.value.violations]


async def test_odd_flows(kratos: Kratos, server: Scripted) -> None:
    """An unknown state is an error; another flow is the answer to another request."""
    server.answer = 200, flow(state="nowhere")
    with pytest.raises(KratosIncompatible, match="unknown"):
        await kratos.public.flow_state("flow-1")
    server.answer = 400, flow(id="flow-2")
    found = await outcomes(kratos)

    assert {KratosUnavailable} == {
        type(found[name]) for name in ("send", "code", "flow", "password")
    }


@pytest.mark.parametrize(
    "body",
    [{"identity": None}, {"identity": {}}, {"identity": {"id": "x"}}, flow(), HTML],
)
async def test_registered_nobody(kratos: Kratos, server: Scripted, body: Any) -> None:
    """A registration that names no account leaves open whose account it made."""
    server.answer = 200, body
    found = await outcomes(kratos)

    assert {KratosUnavailable} == {type(found[name]) for name in ("code", "password")}


@pytest.mark.parametrize(
    ("addresses", "verified"),
    [
        ([{"verified": True}], True),
        ([{"verified": False}], False),
        ([{"verified": "true"}], False),
        ([None], False),
        ("x", False),
        (None, False),
    ],
)
async def test_registered(
    kratos: Kratos, server: Scripted, addresses: Any, *, verified: bool
) -> None:
    """A registration names its account, and shows whether it has a verified address."""
    account = {"id": str(ID), "verifiable_addresses": addresses}
    server.answer = 200, {"identity": account}
    result = await kratos.public.submit_password("flow-1", TRAITS, "secret")

    assert PasswordResult(PasswordAnswer.CREATED, ID, verified) == result


def node(group: str, name: str | None, value: str = "") -> Json:
    """Make a node of a flow; a script has no name."""
    attributes = {"value": value} if name is None else {"name": name, "value": value}
    return {"group": group, "attributes": attributes}


TOKEN = node("default", "csrf_token", "the-token")
TRAIT = node("default", "traits.email")
ONWARD = node("profile", "method", "profile")
BACK = node("profile", "screen", "previous")
CODE = node("code", "method", "code")
BY_PASSWORD = node("password", "password")
OIDC = node("oidc", "provider", "elsewhere")
PASSKEY, SCRIPT = node("passkey", "passkey_register"), node("webauthn", None)


class Form(NamedTuple):
    """The nodes of a flow's first and second step, and what they offer."""

    first: list[Json]
    second: list[Json]
    offer: set[str]
    whole: bool


@pytest.mark.parametrize(
    "form",
    [
        Form([TOKEN, TRAIT, CODE, BY_PASSWORD], [], {"code", "password"}, True),
        Form([TOKEN, TRAIT, OIDC, ONWARD], [TRAIT, CODE, BACK], {"oidc", "code"}, True),
        Form([TOKEN, TRAIT, ONWARD], [TOKEN, TRAIT, ONWARD], set(), False),
        Form([TOKEN, PASSKEY, SCRIPT], [], {"passkey"}, True),
    ],
    ids=["one step", "two steps", "second step closed", "scripts"],
)
@pytest.mark.parametrize("kind", FlowKind)
async def test_offer(
    kratos: Kratos, server: Scripted, kind: FlowKind, form: Form
) -> None:
    """The methods of one or two steps; only a browser has cookies."""
    first, second = (
        {"id": "flow-1", "ui": {"nodes": nodes}} for nodes in (form.first, form.second)
    )
    server.script = {
        ("GET", f"/self-service/registration/{kind}"): (200, first),
        ("POST", "/self-service/registration"): (400, second),
    }
    offer = await kratos.public.offer(kind, TRAITS)
    cookies = {"csrf": "abc", "sticky": "7"} if kind is FlowKind.BROWSER else {}
    filled_in = {"method": "profile", "traits": TRAITS, "csrf_token": "the-token"}

    assert offer is not None
    assert (frozenset(form.offer), form.whole) == (offer.methods, offer.whole)
    assert [({}, None), (cookies, filled_in)][: 2 if form.second else 1] == [
        (one.cookies, body) for one, body in server.requests
    ]


@pytest.mark.parametrize("kind", FlowKind)
async def test_registration_off(
    kratos: Kratos, server: Scripted, kind: FlowKind
) -> None:
    """Where registration is off nothing is offered."""
    server.answer = 400, {"error": {"id": "self_service_flow_disabled", "code": 400}}

    assert await kratos.public.offer(kind, TRAITS) is None
    # Nor is it the schema that is wrong.
    assert await kratos.public.chooses_schema()


async def test_schemas(kratos: Kratos, server: Scripted) -> None:
    """All identity schemas are read; one that is not of that form is an error."""
    document: Json = {"properties": {"traits": {}}}
    server.answer = (
        200,
        [{"id": name, "schema": document} for name in ("user", "staff")],
    )
    schemas = await kratos.public.schemas()
    server.answer = 200, [{"id": "x"}]
    with pytest.raises(KratosIncompatible):
        await kratos.public.schemas()

    assert ["user", "staff"] == [schema.id for schema in schemas]


def mail(body: str, minute: int, **changed: Any) -> Json:
    """Make a mail of the courier's books."""
    return {
        "template_type": "registration_code_valid",
        "created_at": f"2026-01-01T00:{minute:02}:00Z",
        "status": "sent",
        "body": body,
        **changed,
    }


@pytest.mark.parametrize(
    ("mails", "code"),
    [
        ([mail("Your code:\n\n123456\n\nBye", 1)], "123456"),
        ([mail("111111", 1), mail("222222", 3), mail("333333", 2)], "222222"),
        ([mail("1", 1), mail("2", 2, template_type="recovery_code_valid")], ""),
        ([mail("Call +49123456789 or use 654321.", 1)], "654321"),
        ([mail("111111", 1), mail("<redacted-unless-dev-mode>", 2)], ""),
        ([], ""),
    ],
)
async def test_newest_code(
    kratos: Kratos, server: Scripted, mails: list[Json], code: str
) -> None:
    """It is six digits by themselves, of the newest code mail."""
    server.answer = 200, mails

    assert code == await kratos.admin.newest_code(ADDRESS)


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"template_type": "registration_code_valid"},
        mail("", 1, status="teleported"),
        mail("", 1, created_at=5),
        mail("", 1, created_at="2026-01-01T00:00:00"),
    ],
)
async def test_odd_mails(kratos: Kratos, server: Scripted, odd: Any) -> None:
    """A courier with other words is an error."""
    server.answer = 200, [odd]
    for call in (
        kratos.admin.code_delivery(ADDRESS, SINCE),
        kratos.admin.newest_code(ADDRESS),
    ):
        with pytest.raises(KratosIncompatible, match="courier"):
            await call


def identity(**changed: Any) -> Json:
    """Make an identity as 1.3.1 writes it: complete, but for the changes."""
    password = {"type": "password", "identifiers": [ADDRESS], "config": HASHED}
    code = {"type": "code", "identifiers": [ADDRESS], "version": 1}
    return {
        "id": str(ID),
        "credentials": {"code": code | TIMES, "password": password | TIMES},
        "schema_id": "user",
        "state": "active",
        "traits": {"email": ADDRESS, "name": "Ann"},
        "verifiable_addresses": [mailbox(ADDRESS)],
        **TIMES,
        **changed,
    }


def mailbox(value: Any, **changed: Any) -> Json:
    """Make a verifiable address: verified, but for the changes."""
    found = {"verified": True, "via": "email", "status": "completed"}
    return {"id": str(MARK), "value": value, **found, **TIMES, **changed}


def with_config(config: Any) -> Json:
    """Make an identity whose password credential has this configuration."""
    password = {"type": "password", "config": config, **TIMES}
    return identity(credentials={"password": password})


async def read(kratos: Kratos, server: Scripted, body: Any) -> Identity:
    """Read an identity, and its password's status."""
    server.answer = 200, [body]
    return (await kratos.admin.accounts([ID]))[ID]


async def test_identity(kratos: Kratos, server: Scripted) -> None:
    """All of an identity is read, in lower case where Kratos compares so."""
    capitals = identity(
        traits={"email": "Ann@Example.COM"},
        verifiable_addresses=[
            mailbox("two@example.com", verified=False, id=str(ID)),
            mailbox("Ann@example.com"),
            mailbox("+4915100000000", via="sms"),
            mailbox("three@example.com", verified="yes"),
        ],
    )
    expected = Identity(
        id=ID,
        state=AccountState.ACTIVE,
        address=ADDRESS,
        verified=frozenset({ADDRESS}),
        mark=MARK,
        password=PasswordStatus.SET,
        credentials=frozenset({"code", "password"}),
        empty=frozenset(),
        proved_at=None,
        proved_address="",
        created_at=CREATED,
        changed_at=UPDATED,
    )

    assert expected == await read(kratos, server, identity())
    assert expected == await read(kratos, server, capitals)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (with_config(HASHED), PasswordStatus.SET),
        (with_config({**HASHED, **MIGRATING}), PasswordStatus.SET),
        (with_config(MIGRATING), PasswordStatus.UNKNOWN),
        (with_config({"hashed_password": "", **MIGRATING}), PasswordStatus.UNKNOWN),
        (with_config({}), PasswordStatus.UNSET),
        (with_config({"hashed_password": None}), PasswordStatus.UNSET),
        (with_config({"use_password_migration_hook": False}), PasswordStatus.UNSET),
        (identity(credentials={"password": None}), PasswordStatus.UNSET),
        (identity(credentials=None), PasswordStatus.UNSET),
    ],
)
async def test_password_status(
    kratos: Kratos, server: Scripted, body: Any, status: PasswordStatus
) -> None:
    """A hash is a password; without one, the migration hook alone leaves it open.

    If Kratos was not asked to show it, it is neither set nor unset.
    """
    shown = await read(kratos, server, body)
    unshown = await kratos.admin.find_identity(ADDRESS)

    assert status is shown.password
    assert unshown is not None
    assert PasswordStatus.UNKNOWN is unshown.password


@pytest.mark.parametrize(
    "ids", [[], [uuid.uuid4(), uuid.uuid1(), uuid.UUID(int=0)], [None, "", "x", 8]]
)
async def test_no_mark(kratos: Kratos, server: Scripted, ids: list[Any]) -> None:
    """Only an id of version 8 is a mark: Kratos' own are of version 4."""
    addresses = [mailbox(ADDRESS, id=str(one)) for one in ids]
    found = await read(kratos, server, identity(verifiable_addresses=addresses))

    assert None is found.mark


def test_mark() -> None:
    """A mark tells the sign-up, and the attempt by which it made the account."""
    one, other = uuid.uuid4(), uuid.uuid4()
    flows = [uuid.uuid4().bytes * 2 for _ in range(2)]
    marks = {make_mark(one, flow) for flow in flows}
    told = [is_mark_of(mark, one) for mark in (*marks, make_mark(other, flows[0]))]

    assert 2 == len(marks)
    assert [True, True, False] == told
    assert not is_mark_of(None, one)


@pytest.mark.parametrize(
    "body",
    [
        {},
        identity(id=None),
        identity(id="x"),
        identity(state="asleep"),
        identity(state=[]),
        identity(traits=None),
        identity(traits=HASH),
        identity(credentials=HASH),
        identity(credentials=[HASH]),
        identity(credentials={"password": HASH}),
        identity(credentials={"password": [HASH]}),
        identity(credentials={"password": {"type": "password", **TIMES}}),
        with_config(None),
        with_config(HASH),
        with_config([HASH]),
        identity(verifiable_addresses=5),
        identity(verifiable_addresses=[None]),
        identity(verifiable_addresses=[{}]),
        identity(verifiable_addresses=[mailbox(None)]),
        identity(verifiable_addresses=[{"value": ADDRESS, "verified": True, **TIMES}]),
        identity(created_at=None),
        identity(updated_at="yesterday"),
    ],
)
async def test_no_identity(kratos: Kratos, server: Scripted, body: Any) -> None:
    """What is not an identity is an error without a word of what it said."""
    with pytest.raises(KratosIncompatible) as refusal:
        await read(kratos, server, body)

    told = "".join(traceback.format_exception(refusal.value)) + repr(refusal.value)
    assert HASH not in told
    assert ADDRESS not in told
