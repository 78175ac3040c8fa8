"""A server that is killed at any step leaves nothing in limbo."""

import enum
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from devstack.waiting import wait_until
from tests.limbo.caller import UNAVAILABLE, Outcome, Request
from tests.limbo.conftest import GetStage
from tests.limbo.stage import (
    PASSWORD,
    POSTGRESQL,
    SQLITE,
    Stage,
    new_request_id,
    password_request,
    resend_request,
    start_request,
    verify_request,
)


class When(enum.Enum):
    """The moment of death, as seen from a call between server and Kratos."""

    UNSENT = enum.auto()  # the call never leaves (or, for a hook, never arrives)
    ANSWERED = enum.auto()  # the call is answered, the answer not yet passed on
    UNCOMMITTED = enum.auto()  # the answer is passed on, what follows not committed
    COMMITTED = enum.auto()  # what follows is committed, nothing more is done


@dataclass(frozen=True, slots=True)
class Point:
    """A moment at which the server is killed.

    Attributes:
        rpc: Under way then.
        call: Its call between server and Kratos; empty before the first one.
        when: The moment.
        approved: Whether the password hook had agreed by then.
    """

    rpc: str
    call: str
    when: When
    approved: bool = False

    def __str__(self) -> str:
        """Name it for pytest."""
        return f"{self.rpc}-{self.call or 'begin'}-{self.when.name.lower()}"


# Kratos has taken the code, and nobody knows for which address: a new code is needed.
UNTOLD = ("hook_code", When.UNSENT)
# Every call, before and after; every commit, before and after. A commit that the next
# call waits for is done where that call is UNSENT.
MAILING = [
    ("open", When.UNSENT),
    ("open", When.ANSWERED),
    ("open", When.UNCOMMITTED),
    ("send", When.UNSENT),
    ("send", When.ANSWERED),
    ("send", When.UNCOMMITTED),
    ("send", When.COMMITTED),
]
START = [Point("StartSignup", *one) for one in MAILING]
RESEND = [Point("ResendCode", *one) for one in MAILING]
VERIFY = [
    Point("VerifyCode", "", When.UNCOMMITTED),
    Point("VerifyCode", "code", When.UNSENT),
    Point("VerifyCode", "hook_code", When.UNSENT),
    Point("VerifyCode", "hook_code", When.ANSWERED),
    Point("VerifyCode", "code", When.ANSWERED),
    Point("VerifyCode", "look_up", When.UNSENT),
    Point("VerifyCode", "look_up", When.ANSWERED),
    Point("VerifyCode", "look_up", When.UNCOMMITTED),
    Point("VerifyCode", "look_up", When.COMMITTED),
]
SET = [
    Point("SetPassword", "open", When.UNSENT),
    Point("SetPassword", "open", When.ANSWERED),
    Point("SetPassword", "open", When.UNCOMMITTED),
    Point("SetPassword", "password", When.UNSENT),
    Point("SetPassword", "hook_password", When.UNSENT),
    Point("SetPassword", "hook_password", When.UNCOMMITTED),
    Point("SetPassword", "hook_password", When.ANSWERED, approved=True),
    Point("SetPassword", "password", When.ANSWERED, approved=True),
    Point("SetPassword", "password", When.UNCOMMITTED, approved=True),
    Point("SetPassword", "sessions", When.UNSENT),
    Point("SetPassword", "sessions", When.ANSWERED),
    Point("SetPassword", "sessions", When.COMMITTED),
]
# What PostgreSQL may do otherwise: its locks, its leases, and the clock they go by.
SHARED = {
    "StartSignup-open-uncommitted",
    "StartSignup-send-uncommitted",
    "ResendCode-send-uncommitted",
    "VerifyCode-begin-uncommitted",
    "VerifyCode-code-answered",
    "VerifyCode-look_up-uncommitted",
    "SetPassword-open-uncommitted",
    "SetPassword-hook_password-uncommitted",
    "SetPassword-hook_password-answered",
    "SetPassword-password-uncommitted",
    "SetPassword-sessions-unsent",
}
POINTS = [*START, *RESEND, *VERIFY, *SET]
CASES = [pytest.param(SQLITE, point, id=f"{SQLITE}-{point}") for point in POINTS]
CASES += [
    pytest.param(POSTGRESQL, point, id=f"{POSTGRESQL}-{point}")
    for point in POINTS
    if str(point) in SHARED
]
# What a row shows once the last commit of an RPC is done.
DONE = {
    "StartSignup": "state = 'code_required'",
    "ResendCode": "sends = 2 AND lease = 'none'",
    "VerifyCode": "state = 'password_required'",
    "SetPassword": "state = 'completed'",
}


def strike(stage: Stage, point: Point, request: Request) -> Outcome:
    """Make a call and have the server killed at a point of it."""
    if point.when is When.UNCOMMITTED:
        return strike_uncommitted(stage, point, request)
    server = stage.server
    if point.when is When.COMMITTED:
        count = done_count(stage, point)
        call = stage.caller.begin(request)
        wait_until(lambda: done_count(stage, point) > count, "the commit")
        server.kill()
        return call.outcome()
    if point.when is When.UNSENT:
        step = stage.proxy.before(point.call, server.kill, forward=False)
    else:
        step = stage.proxy.after(point.call, server.kill)
    call = stage.caller.begin(request)
    step.wait_over()
    return call.outcome()


def strike_uncommitted(stage: Stage, point: Point, request: Request) -> Outcome:
    """Lock the ledger before a commit, and kill the server while it is locked out."""
    with ExitStack() as locks:

        def lock() -> None:
            locks.enter_context(stage.books.locked())

        if not point.call:
            lock()
            call = stage.caller.begin(request)
        elif point.call.startswith("hook"):
            step = stage.proxy.before(point.call, lock)
            call = stage.caller.begin(request)
            step.wait_begun()
        else:
            step = stage.proxy.after(point.call, lock)
            call = stage.caller.begin(request)
            step.wait_over()
        stage.books.wait_blocked()
        stage.server.kill()
        return call.outcome()


def done_count(stage: Stage, point: Point) -> int:
    """Count the rows in which the last commit of an RPC shows."""
    query = f"SELECT count(*) FROM signups WHERE {DONE[point.rpc]}"  # noqa: S608
    return int(stage.books.run(query)[0][0])


def revive(stage: Stage, point: Point) -> None:
    """Start the server again, and let pass the time that only waiting would."""
    stage.server.start()
    stage.proxy.wait_idle()
    if stage.books.shared or point.approved:
        # Anybody may still hold a lease of PostgreSQL's, and what the hook agreed to
        # stands for 45 s in any ledger: by then Kratos has long ended, as it has here.
        stage.books.end_leases()


class TestKilled:
    """The server is killed, started again, and the same call repeated."""

    @pytest.mark.parametrize(("ledger", "point"), CASES)
    def test_goes_on(self, get_stage: GetStage, ledger: str, point: Point) -> None:
        """The sign-up goes on with the same token, and Kratos never held a half."""
        stage = get_stage(ledger)
        address = stage.new_address()
        with stage.world.watch(address):
            signup_id = sign_up(stage, point, address)

        (account,) = stage.world.admin.identities(address)
        assert 0 == stage.world.admin.session_count(account.id)
        stage.check_completed(address, signup_id, PASSWORD)
        sends, codes, passwords = stage.books.row(
            signup_id, "sends, code_attempts, password_attempts"
        )

        untold = UNTOLD == (point.call, point.when)
        mails = 2 if untold or point.rpc == "ResendCode" else 1

        assert (2 if untold else 1) == codes
        assert mails == stage.world.mails(address)
        assert mails <= sends <= mails + 1
        assert passwords <= 2


def sign_up(stage: Stage, point: Point, address: str) -> str:
    """Sign up, with a death on the way, and give the sign-up's id."""

    def ask(rpc: str, request: Request) -> Outcome:
        if rpc != point.rpc:
            return stage.caller.persist(request)
        struck = strike(stage, point, request)

        assert struck.what == UNAVAILABLE or point.when is When.COMMITTED
        revive(stage, point)
        return stage.caller.persist(request)

    started = ask("StartSignup", start_request(address, new_request_id()))

    assert "CODE_REQUIRED" == started.what
    if point.rpc == "ResendCode":
        again = ask("ResendCode", resend_request(started, new_request_id()))

        assert "CODE_REQUIRED" == again.what
    proved = ask("VerifyCode", verify_request(started, stage.code(address)))
    if UNTOLD == (point.call, point.when):
        assert "CODE_EXPIRED" == proved.what
        resend = resend_request(started, new_request_id())
        sent = stage.caller.persist(resend)
        proved = stage.caller.persist(verify_request(sent, stage.code(address)))

    assert "PASSWORD_REQUIRED" == proved.what
    done = ask("SetPassword", password_request(proved))

    assert "COMPLETED" == done.what
    return done.shown.signup_id
