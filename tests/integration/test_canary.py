"""The canary through a running server: where it fails, and what is left: nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import grpc
import pytest
from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceStub
from signupd.check.canary import CALL_TRIES, CODE_TRIES, MAIL_SECONDS, Canary
from signupd.check.findings import Finding, Subject
from signupd.client.channel import open_channel
from signupd.parts import kratos_of

from devstack.ports import free_ports
from tests.doubles.kratos_books import Identity
from tests.integration.caller import another
from tests.integration.world import World

ADDRESS = "canary@example.com"
NOTHING_STORED = "the canary's sign-up is over, nothing was stored"
DELETED = "the canary's sign-up is over, its account is deleted"
ALWAYS = 99

Change = Callable[["Identity"], object]


class Lost(grpc.RpcError):
    """A call whose answer is lost."""

    code = staticmethod(lambda: grpc.StatusCode.UNAVAILABLE)
    details = staticmethod(lambda: "connection reset")
    trailing_metadata = staticmethod(tuple)


class Flight:
    """A canary, the person who reads its mailbox, and a clock that it waits by.

    Hooks are called ``after`` an RPC's answer, and at ``pauses``, one a wait.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.ask: Callable[[], Awaitable[str]] = self.code
        self.after: dict[str, Callable[[], object]] = {}
        self.lost: set[str] = set()
        self.pauses: list[Callable[[], object]] = []
        self.slept = 0.0
        self._stub: Any = None

    async def code(self) -> str:
        """Read the mail."""
        return self.world.kratos.code_for(ADDRESS)

    async def run(self, port: int | None = None) -> list[Finding]:
        """Let the canary go to a server of this world, or to a port."""
        if port is None:
            port = (await self.world.serve()).service.port
        settings, log = self.world.settings(), self.world.log.logger
        kratos = kratos_of(settings)
        subject = Subject(kratos, settings, log, None, {}, with_canary=True)
        with open_channel(f"127.0.0.1:{port}", None) as channel:
            self._stub = SignupServiceStub(channel)
            stub = cast("SignupServiceStub", self)
            clock = (self.sleep, lambda: self.slept)
            try:
                return await Canary(stub, subject, ADDRESS, self.ask, *clock).run()
            finally:
                await kratos.close()

    def __getattr__(self, rpc: str) -> Callable[..., Any]:
        """Give an RPC of the stub."""

        def call(request: Any, timeout: float) -> Any:
            if rpc in self.lost:
                raise Lost
            answer = getattr(self._stub, rpc)(request, timeout=timeout)
            self.after.get(rpc, tuple)()
            return answer

        return call

    async def sleep(self, seconds: float) -> None:
        """Pass the time."""
        self.slept += seconds
        self.world.clock.move(1)  # the server asks the courier once a second
        if self.pauses:
            self.pauses.pop(0)()

    @property
    def states(self) -> list[str]:
        """The states of the sign-ups in the ledger."""
        return [row["state"] for row in self.world.rows()]


@pytest.fixture
async def flight(world: World) -> AsyncIterator[Flight]:
    """Give a canary's flight."""
    yield Flight(world)
    world.kratos.heal()


def errors(findings: list[Finding]) -> list[str]:
    """Name the checks that found an error."""
    return [one.check for one in findings if one.severity == "error"]


async def test_taken(flight: Flight) -> None:
    """A taken address is refused before a sign-up begins."""
    there = flight.world.kratos.add_account(ADDRESS)
    findings = await flight.run()

    assert ["canary_start"] == errors(findings)
    assert ([there], []) == (flight.world.kratos.accounts(), flight.states)


@pytest.mark.parametrize(
    ("statuses", "found"),
    [
        (["queued", "queued", "sent"], []),
        (["abandoned"], ["canary_mail"]),
        (["queued"], ["canary_mail"]),
    ],
)
async def test_mail(flight: Flight, statuses: list[str], found: list[str]) -> None:
    """The mail is waited for; if it does not leave, the sign-up is cancelled."""
    world, left = flight.world, iter(statuses[1:])

    def change(status: str) -> None:
        world.kratos.mails_to(ADDRESS)[-1].status = status

    def pause() -> None:
        flight.slept += MAIL_SECONDS * (len(statuses) == 1)
        change(next(left, statuses[-1]))

    flight.after["StartSignup"] = lambda: change(statuses[0])
    flight.pauses = [pause] * 3
    findings = await flight.run()

    assert found == errors(findings)
    assert (NOTHING_STORED if found else DELETED) == findings[-1].what
    assert ["cancelled" if found else "completed"] == flight.states
    assert found or "400 ms" in findings[1].what


@pytest.mark.parametrize("wrong", [1, CODE_TRIES, CODE_TRIES + 1])
async def test_wrong_codes(flight: Flight, wrong: int) -> None:
    """A person may mistype the code, but is not asked for ever."""
    asked: list[str] = []

    async def mistype() -> str:
        right = await flight.code()
        asked.append(right)
        return another(right) if len(asked) <= wrong else right

    flight.ask = mistype
    findings = await flight.run()

    assert (wrong >= CODE_TRIES) == (["canary_code_hook"] == errors(findings))
    assert min(wrong + 1, CODE_TRIES) == len(asked)


async def test_one_wrong_code(flight: Flight) -> None:
    """Who gives one code, and a wrong one, is told that it is wrong."""
    codes = [another, lambda _: ""]

    async def mistype() -> str:
        return codes.pop(0)(await flight.code())

    flight.ask = mistype
    found = {str(one.check): one for one in await flight.run()}

    assert found["canary_code_hook"].what.endswith("VerifyCode: CODE_INCORRECT")


async def test_mails_used_up(flight: Flight) -> None:
    """Where the retries end at the limit of mails, the first refusal is told."""
    flight.world.kratos.fail("send", times=ALWAYS)
    found = {str(one.check): one for one in await flight.run()}

    assert found["canary_start"].what.endswith("StartSignup: KRATOS_UNAVAILABLE")


async def test_no_server(flight: Flight) -> None:
    """Without a server that is said at once, and there is nothing to remove."""
    (found,) = await flight.run(*free_ports(1))

    assert ("canary_start", "error", 0) == (found.check, found.severity, flight.slept)
    assert "signupd serve" in found.cure


async def test_stored_at_the_code(flight: Flight) -> None:
    """An account that is there at the code is an error, and is left alone."""
    kratos = flight.world.kratos
    flight.after["VerifyCode"] = lambda: kratos.add_account(ADDRESS)
    findings = await flight.run()

    assert ["canary_code_hook"] == errors(findings)
    assert 1 == len(kratos.accounts())


@pytest.mark.parametrize(
    ("change", "said", "deleted"),
    [
        (lambda one: setattr(one, "address_id", str(one.id)), "mark", False),
        (lambda one: setattr(one, "state", "inactive"), "not active", True),
        (lambda one: setattr(one, "password", None), "not with a password", True),
        (lambda one: setattr(one, "verified", False), "not verified", True),
    ],
)
async def test_account(
    flight: Flight, change: Change, said: str, *, deleted: bool
) -> None:
    """An account that lacks something is an error; without our mark it stays."""
    kratos = flight.world.kratos
    flight.after["SetPassword"] = lambda: change(kratos.accounts()[0])
    findings = await flight.run()

    assert ["canary_account"] == errors(findings)
    assert said in findings[-2].what
    assert deleted == (DELETED == findings[-1].what) == (kratos.accounts() == [])


async def test_kratos_goes_away(flight: Flight) -> None:
    """A Kratos that does not show its accounts ends it."""
    port = (await flight.world.serve()).service.port
    flight.world.kratos.fail("find", times=ALWAYS)

    assert ["canary_look"] == errors(await flight.run(port))


@pytest.mark.parametrize(
    ("lost", "failing"), [({"CancelSignup"}, ()), (set(), ("find",))]
)
async def test_left_behind(
    flight: Flight, lost: set[str], failing: tuple[str, ...]
) -> None:
    """What cannot be removed is an error that says so."""

    async def ask() -> str:
        flight.world.kratos.fail(*failing, times=ALWAYS)
        return ""

    flight.ask, flight.lost = ask, lost
    findings = await flight.run()

    assert ["canary_code", "canary_removed"] == errors(findings)
    assert flight.slept < CALL_TRIES


async def test_answer_lost(flight: Flight) -> None:
    """A call whose answer is lost is made again.

    The double signs nobody in: that the settings were not seen is a warning.
    """
    flight.lost = {"SetPassword"}
    flight.pauses = [flight.lost.clear]
    findings = await flight.run()

    assert [("canary_settings", "warning")] == [
        (one.check, one.severity) for one in findings if one.severity != "ok"
    ]
    assert "--kratos-config" in findings[-2].cure


async def test_interrupted_at_work(flight: Flight) -> None:
    """A call that is still at work is waited for, and its account deleted."""
    port = (await flight.world.serve()).service.port
    held = flight.world.kratos.hold("password")
    flight.pauses = [held.released.set]
    going = asyncio.create_task(flight.run(port))
    await held.arrived.wait()
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going

    assert flight.slept
    assert ([], ["completed"]) == (flight.world.kratos.accounts(), flight.states)
