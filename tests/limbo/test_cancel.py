"""CancelSignup: nothing in Kratos to undo, and the address is free."""

import pytest

from tests.limbo.stage import (
    PASSWORD,
    Stage,
    cancel_request,
    get_request,
    new_request_id,
    password_request,
    resend_request,
    start_request,
    verify_request,
)


@pytest.mark.parametrize("step", ["code", "password"])
def test_cancelled(stage: Stage, step: str) -> None:
    """It is final: every later call says so, and cancelling again says the same."""
    address = stage.new_address()
    started = stage.started(address)
    code = stage.code(address)
    verify = verify_request(started, code)
    last = stage.caller.ask(verify) if step == "password" else started
    done = [stage.caller.ask(cancel_request(last)) for _ in range(2)]
    refused = [
        stage.caller.ask(resend_request(started)),
        stage.caller.ask(verify),
        stage.caller.ask(get_request(last)),
        stage.caller.ask(cancel_request(started)),
    ]
    if step == "password":
        refused.append(stage.caller.ask(password_request(last)))
    whats = ["SIGNUP_CANCELLED", "SIGNUP_CANCELLED", "CANCELLED", "CANCELLED"]

    assert ["CANCELLED"] * 2 == [one.what for one in done]
    assert done[0].signup == done[1].signup
    assert ["", ""] == [one.token for one in done]
    assert whats + ["SIGNUP_CANCELLED"] * (len(refused) - 4) == [
        one.what for one in refused
    ]
    assert 0 == stage.world.accounts(address)
    assert "cancelled" == stage.books.state(started.shown.signup_id)


def test_start_repeated(stage: Stage) -> None:
    """A repeated StartSignup tells that its sign-up was cancelled; no mail goes."""
    address = stage.new_address()
    request = start_request(address, new_request_id())
    started = stage.caller.ask(request)
    stage.caller.ask(cancel_request(started))
    again = stage.caller.ask(request)

    assert "CANCELLED" == again.what
    assert "" == again.token
    assert 1 == stage.world.mails(address)


def test_too_late(stage: Stage) -> None:
    """What is complete, or turned out to be an account's, cannot be cancelled."""
    address = stage.new_address()
    proved, rival = stage.proved(address), stage.proved(address)
    stage.caller.ask(password_request(proved))
    known = stage.caller.ask(password_request(rival))
    cancels = [stage.caller.ask(cancel_request(one)) for one in (proved, rival)]

    assert "ALREADY_REGISTERED" == known.what
    assert ["STEP_MISMATCH"] * 2 == [one.what for one in cancels]
    assert ["COMPLETED", "ALREADY_REGISTERED"] == [
        stage.caller.ask(get_request(one)).what for one in (proved, rival)
    ]
    assert stage.world.opens(address, PASSWORD)


def test_expired(stage: Stage) -> None:
    """What has lapsed is not cancelled any more."""
    proved = stage.proved(stage.new_address())
    stage.books.change(proved.shown.signup_id, "expire_time = 1")

    assert "SIGNUP_EXPIRED" == stage.caller.ask(cancel_request(proved)).what
