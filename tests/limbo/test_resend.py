"""ResendCode: another mail, by the same sign-up, within its limits."""

import time

import pytest
from kratos_signup.v1 import signup_service_pb2 as pb

from tests.limbo.caller import Outcome
from tests.limbo.stage import (
    Stage,
    get_request,
    new_request_id,
    password_request,
    resend_request,
    verify_request,
    wrong_code,
)

# What a busy machine may be late by.
SLACK_SECONDS = 60.0
CODE_TTL_SECONDS = 15 * 60
RESENDS = 4


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    """Have an interval that passes only where a test lets it."""
    return {"RESEND_INTERVAL": "1h"}


def due(stage: Stage, started: Outcome) -> None:
    """Let the interval pass."""
    stage.books.change(started.shown.signup_id, "send_time = 1")


def resent(stage: Stage, started: Outcome, request_id: str = "") -> Outcome:
    """Let the interval pass, then ask for another mail."""
    due(stage, started)
    return stage.caller.ask(resend_request(started, request_id))


def seconds_left(signup: pb.Signup) -> float:
    """Tell how long the present step lasts."""
    return signup.expire_time.ToMicroseconds() / 1e6 - time.time()


def test_new_code(stage: Stage) -> None:
    """The old code is void, the new one works, and the tries go on counting."""
    address = stage.new_address()
    started = stage.started(address)
    old = stage.code(address)
    wrong = stage.caller.ask(verify_request(started, wrong_code(old)))
    again = resent(stage, started)
    new = stage.code(address)
    void = stage.caller.ask(verify_request(again, old))
    proved = stage.caller.ask(verify_request(started, new))

    assert old != new
    assert ["CODE_INCORRECT"] * 2 == [wrong.what, void.what]
    assert [4, 4, 3] == [
        one.shown.code_attempts_remaining for one in (wrong, again, void)
    ]
    assert "PASSWORD_REQUIRED" == proved.what
    assert 2 == stage.world.mails(address)


def test_refused_code_is_another(stage: Stage) -> None:
    """What was wrong before a resend is tried anew after it: it may be right now."""
    address = stage.new_address()
    started = stage.started(address)
    wrong = verify_request(started, wrong_code(stage.code(address)))
    before = [stage.caller.ask(wrong) for _ in range(2)]
    again = resent(stage, started)
    after = stage.caller.ask(wrong)

    assert [4, 4] == [one.shown.code_attempts_remaining for one in before]
    assert 4 == again.shown.code_attempts_remaining
    assert 3 == after.shown.code_attempts_remaining


def test_limit(stage: Stage) -> None:
    """Four resends, then none: waiting would not help, so no time is named."""
    address = stage.new_address()
    started = stage.started(address)
    left = [resent(stage, started).shown for _ in range(RESENDS)]
    over = resent(stage, started)
    proved = stage.caller.ask(verify_request(started, stage.code(address)))

    assert [3, 2, 1, 0] == [one.resends_remaining for one in left]
    assert [True] * 3 + [False] == [one.HasField("resend_time") for one in left]
    assert "SEND_LIMIT_REACHED" == over.what
    assert over.retry_seconds is None
    assert 1 + RESENDS == stage.world.mails(address)
    assert "PASSWORD_REQUIRED" == proved.what


def test_same_request_id(stage: Stage) -> None:
    """A repeat is no further mail, whatever came in between."""
    address = stage.new_address()
    started = stage.started(address)
    first, second = new_request_id(), new_request_id()
    resent(stage, started, first)
    due(stage, started)
    again = stage.caller.ask(resend_request(started, first))
    other = stage.caller.ask(resend_request(started, second))
    last = stage.caller.ask(resend_request(started, first))

    assert [3, 2, 2] == [one.shown.resends_remaining for one in (again, other, last)]
    assert 3 == stage.world.mails(address)


def test_time_begins_anew(stage: Stage) -> None:
    """The time for the code starts again with the mail."""
    started = stage.started(stage.new_address())
    soon = int((time.time() + 60) * 1e6)
    stage.books.change(started.shown.signup_id, f"expire_time = {soon}")
    before = stage.caller.ask(get_request(started)).shown
    after = resent(stage, started).shown

    assert seconds_left(before) < 61
    assert seconds_left(after) == pytest.approx(CODE_TTL_SECONDS, abs=SLACK_SECONDS)


def test_exhausted(stage: Stage) -> None:
    """Five tries over all mails, then neither a code nor a mail."""
    address = stage.new_address()
    started = stage.started(address)
    tried = []
    for count in (2, 3):
        code = stage.code(address)
        for _ in range(count):
            code = wrong_code(code)
            tried.append(stage.caller.ask(verify_request(started, code)))
        due(stage, started)
        last = stage.caller.ask(resend_request(started))
    mails = stage.world.mails(address)
    right = stage.caller.ask(verify_request(started, stage.code(address)))

    assert ["CODE_INCORRECT"] * 5 == [one.what for one in tried]
    assert [4, 3, 2, 1, 0] == [one.shown.code_attempts_remaining for one in tried]
    assert "CODE_ATTEMPTS_EXHAUSTED" == last.what
    assert last.retry_seconds is None
    assert "CODE_ATTEMPTS_EXHAUSTED" == right.what
    assert 2 == mails


def test_other_steps(stage: Stage) -> None:
    """There is no mail any more once the mailbox is proved."""
    address = stage.new_address()
    started = stage.started(address)
    proved = stage.caller.ask(verify_request(started, stage.code(address)))
    asked = [resent(stage, one) for one in (started, proved)]
    stage.caller.ask(password_request(proved))
    asked += [resent(stage, one) for one in (started, proved)]

    assert ["STEP_MISMATCH"] * 4 == [one.what for one in asked]
    assert 1 == stage.world.mails(address)


def test_expired(stage: Stage) -> None:
    """A sign-up that lapsed gets no mail: it would bring nothing back."""
    address = stage.new_address()
    started = stage.started(address)
    stage.books.change(started.shown.signup_id, "expire_time = 1")

    assert "SIGNUP_EXPIRED" == resent(stage, started).what
    assert 1 == stage.world.mails(address)
