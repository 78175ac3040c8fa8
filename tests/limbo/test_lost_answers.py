"""Answers that get lost on the way: the call or its repeat ends right."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.doubles.proxy import ADMIN, PUBLIC
from tests.limbo.caller import REPEATABLE, Outcome, Request
from tests.limbo.conftest import GetStage
from tests.limbo.stage import (
    OTHER_PASSWORD,
    PASSWORD,
    POSTGRESQL,
    SQLITE,
    Stage,
    cancel_request,
    new_request_id,
    password_request,
    resend_request,
    start_request,
    verify_request,
    wrong_code,
)

RPCS = ["StartSignup", "ResendCode", "VerifyCode", "SetPassword"]
# What aiohttp by itself asks again when the connection breaks: it is safe to repeat.
ASKED_TWICE = {"open", "flow_state", "look_up", "sessions", "courier"}
# RPC, the calls that are lost during it, and whether Kratos gets them: then it is the
# answers that are lost.
LOST = [
    ("StartSignup", ["open"], True),
    ("StartSignup", ["open"], False),
    ("StartSignup", ["send"], True),
    ("StartSignup", ["send"], False),
    ("StartSignup", ["send", "flow_state"], True),
    ("ResendCode", ["open"], True),
    ("ResendCode", ["send"], True),
    ("ResendCode", ["send"], False),
    ("ResendCode", ["send", "flow_state"], True),
    ("VerifyCode", ["hook_code"], True),
    ("VerifyCode", ["code"], True),
    ("VerifyCode", ["code"], False),
    ("VerifyCode", ["look_up"], True),
    ("VerifyCode", ["code", "look_up"], True),
    ("SetPassword", ["open"], True),
    ("SetPassword", ["open"], False),
    ("SetPassword", ["hook_password"], True),
    ("SetPassword", ["password"], True),
    ("SetPassword", ["password"], False),
    ("SetPassword", ["password", "look_up"], True),
    ("SetPassword", ["password", "look_up"], False),
    ("SetPassword", ["sessions"], True),
]
# RPC, the call during which its caller goes away, and its answer held or itself.
DESERTED = [
    ("StartSignup", "open"),
    ("StartSignup", "send"),
    ("ResendCode", "send"),
    ("VerifyCode", "code"),
    ("VerifyCode", "look_up"),
    ("SetPassword", "open"),
    ("SetPassword", "password"),
    ("SetPassword", "hook_password"),
    ("SetPassword", "sessions"),
]


@dataclass(slots=True)
class Trip:
    """One sign-up, on the way of which something happens to one RPC.

    Attributes:
        stage: Where.
        address: Whose.
        rpc: What it happens to.
        ask: How that RPC is called; its answer must be the right one.
    """

    stage: Stage
    address: str
    rpc: str
    ask: Callable[[Request], Outcome]

    def take(self) -> str:
        """Sign up to the end, and give the sign-up's id."""
        start = start_request(self.address, new_request_id())
        started = self.call("StartSignup", start, "CODE_REQUIRED")
        if self.rpc == "ResendCode":
            resend = resend_request(started, new_request_id())
            self.call("ResendCode", resend, "CODE_REQUIRED")
        verify = verify_request(started, self.stage.code(self.address))
        proved = self.call("VerifyCode", verify, "PASSWORD_REQUIRED")
        done = self.call("SetPassword", password_request(proved), "COMPLETED")
        other = self.stage.caller.ask(password_request(proved, OTHER_PASSWORD))

        assert "PASSWORD_ALREADY_SET" == other.what
        assert "COMPLETED" == self.stage.caller.ask(password_request(proved)).what
        return done.shown.signup_id

    def call(self, rpc: str, request: Request, right: str) -> Outcome:
        """Call, and repeat: both answers must be right, and alike."""
        ask = self.ask if rpc == self.rpc else self.stage.caller.ask
        outcome = ask(request)
        again = self.stage.caller.ask(request)

        assert right == outcome.what
        assert outcome.signup == again.signup
        return outcome

    def assert_done_once(self, signup_id: str) -> None:
        """There is one account, one code was counted, and each mail that went."""
        self.stage.check_completed(self.address, signup_id, PASSWORD)
        sends, codes = self.stage.books.row(signup_id, "sends, code_attempts")
        mails = 2 if self.rpc == "ResendCode" else 1

        assert 1 == codes
        assert mails == self.stage.world.mails(self.address)
        assert mails <= sends <= mails + 1


def ended(stage: Stage, request: Request) -> Outcome:
    """Call until the answer is none that asks for a repeat.

    What the hook agreed to may still stand, for 45 s; that wait is not waited here.
    """
    outcome = stage.caller.ask(request)
    if outcome.what in REPEATABLE:
        stage.proxy.wait_idle()
        stage.books.end_leases()
    return stage.caller.persist(request)


def lose(plan: Callable[[str], object], call: str) -> None:
    """Have a call lost for good, and not for its first try only."""
    for _ in range(2 if call in ASKED_TWICE else 1):
        plan(call)


class TestLost:
    """What Kratos answers does not arrive."""

    @pytest.mark.parametrize(("rpc", "calls", "sent"), LOST)
    def test_once(
        self, stage: Stage, rpc: str, calls: list[str], *, sent: bool
    ) -> None:
        """The call or its repeat ends right, with nothing done twice."""

        def ask(request: Request) -> Outcome:
            for call in calls:
                lose(stage.proxy.cut if sent else stage.proxy.refuse, call)
            mark = stage.proxy.mark
            outcome = ended(stage, request)
            stage.proxy.clear()

            assert {*calls} <= {*stage.proxy.calls_since(mark)}
            return outcome

        trip = Trip(stage, stage.new_address(), rpc, ask)
        with stage.world.watch(trip.address):
            signup_id = trip.take()

        trip.assert_done_once(signup_id)

    @pytest.mark.parametrize("rpc", RPCS)
    @pytest.mark.parametrize("lane", [PUBLIC, ADMIN])
    def test_refused(self, get_stage: GetStage, rpc: str, lane: str) -> None:
        """A Kratos that is away costs nothing: no mail, no attempt, no time to wait."""
        stage = get_stage(SQLITE)

        def ask(request: Request) -> Outcome:
            with stage.proxy.down(lane):
                down = stage.caller.ask(request)
            needed = lane == PUBLIC or rpc == "VerifyCode"
            done = "COMPLETED" if rpc == "SetPassword" else "CODE_REQUIRED"

            assert ("KRATOS_UNAVAILABLE" if needed else done) == down.what
            return ended(stage, request)

        trip = Trip(stage, stage.new_address(), rpc, ask)
        signup_id = trip.take()

        trip.assert_done_once(signup_id)

    def test_wrong_code(self, stage: Stage) -> None:
        """A wrong code whose answer is lost stays wrong, and counts once."""
        address = stage.new_address()
        started = stage.started(address)
        code = stage.code(address)
        lose(stage.proxy.cut, "code")
        wrong = verify_request(started, wrong_code(code))
        first = ended(stage, wrong)
        second = stage.caller.ask(wrong)
        right = stage.caller.ask(verify_request(started, code))

        assert ["CODE_INCORRECT"] * 2 == [first.what, second.what]
        assert 4 == second.shown.code_attempts_remaining
        assert "PASSWORD_REQUIRED" == right.what

    def test_code_in_the_hook(self, stage: Stage) -> None:
        """A call lost before the hook is asked about the right code: it is proved."""
        address = stage.new_address()
        started = stage.started(address)
        request = verify_request(started, stage.code(address))
        post, step = stage.proxy.follow("code"), stage.proxy.hold("hook_code")
        repeat = stage.proxy.hold("code", nth=2)
        call = stage.caller.begin(request)
        step.wait()
        post.break_off()
        repeat.wait()
        step.release()
        step.wait_over()
        repeat.release()
        first = call.outcome()
        again = stage.caller.ask(request)

        assert "PASSWORD_REQUIRED" == first.what
        assert first.signup == again.signup

    @pytest.mark.parametrize("late", [False, True], ids=["first", "late"])
    def test_code_posted_twice(self, stage: Stage, *, late: bool) -> None:
        """A call that seemed lost lands before its repeat, or after: it is proved."""
        address = stage.new_address()
        started = stage.started(address)
        request = verify_request(started, stage.code(address))
        lost, repeat = stage.proxy.hold("code"), stage.proxy.hold("code", nth=2)
        call = stage.caller.begin(request)
        lost.wait()
        lost.break_off()
        repeat.wait()
        for step in (repeat, lost) if late else (lost, repeat):
            step.release()
            step.wait_over()
        first = call.outcome()
        again = stage.caller.ask(request)

        assert "PASSWORD_REQUIRED" == first.what
        assert first.signup == again.signup
        assert (1,) == stage.books.row(first.shown.signup_id, "code_attempts")

    def test_refused_password(self, stage: Stage) -> None:
        """A password refused on the way does not count as set; a good one is."""
        address = stage.new_address()
        proved = stage.proved(address)
        similar = password_request(proved, address[3:-2] + "#00")
        stage.proxy.cut("password")
        lost = stage.caller.ask(similar)
        again = stage.caller.persist(similar)
        good = stage.caller.ask(password_request(proved))

        assert "KRATOS_UNAVAILABLE" == lost.what
        assert "PASSWORD_REJECTED" == again.what
        assert "COMPLETED" == good.what
        assert stage.world.opens(address, PASSWORD)

    def test_another_password_after(self, stage: Stage) -> None:
        """Whoever goes on with another password learns that it is not the one."""
        address = stage.new_address()
        proved = stage.proved(address)
        lose(stage.proxy.cut, "password")
        lose(stage.proxy.cut, "look_up")
        lost = stage.caller.ask(password_request(proved))
        stage.books.end_leases()
        other = stage.caller.persist(password_request(proved, OTHER_PASSWORD))
        same = stage.caller.persist(password_request(proved))

        assert "KRATOS_UNAVAILABLE" == lost.what
        assert "PASSWORD_ALREADY_SET" == other.what
        assert "COMPLETED" == same.what
        assert stage.world.opens(address, PASSWORD)
        assert not stage.world.opens(address, OTHER_PASSWORD)


class TestDeserted:
    """The caller goes away after the server has begun."""

    @pytest.mark.parametrize(("rpc", "call"), DESERTED)
    @pytest.mark.parametrize("at_once", [True, False], ids=["at_once", "later"])
    def test_repeat(
        self, get_stage: GetStage, rpc: str, call: str, *, at_once: bool
    ) -> None:
        """The work is done all the same; the repeat joins it, or finds it done."""
        stage = get_stage(SQLITE if at_once else POSTGRESQL)

        def ask(request: Request) -> Outcome:
            step = stage.proxy.hold(call)
            first = stage.caller.begin(request)
            step.wait()
            first.cancel()
            mark = stage.proxy.mark
            again = stage.caller.begin(request) if at_once else None
            step.release()
            stage.proxy.wait_idle()
            outcome = again.outcome() if again else stage.caller.persist(request)

            assert call not in stage.proxy.calls_since(mark)
            return outcome

        trip = Trip(stage, stage.new_address(), rpc, ask)
        with stage.world.watch(trip.address):
            signup_id = trip.take()

        trip.assert_done_once(signup_id)
        assert 1 == stage.books.row(signup_id, "password_attempts")[0]

    def test_cancel(self, get_stage: GetStage) -> None:
        """A CancelSignup whose caller left is done; its repeat is answered alike."""
        stage = get_stage(SQLITE)
        address = stage.new_address()
        request = cancel_request(stage.proved(address))
        with stage.books.locked():
            first = stage.caller.ask_in_time(request, 1.0)
        again = stage.caller.persist(request)

        assert "SIGNUP_BUSY" == first.what
        assert "CANCELLED" == again.what
        assert "cancelled" == stage.books.state(again.shown.signup_id)
