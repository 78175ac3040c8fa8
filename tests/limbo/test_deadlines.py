"""A caller's deadline bounds its wait, never the work."""

import grpc
import pytest

from tests.limbo.caller import Request
from tests.limbo.stage import (
    Stage,
    get_request,
    new_request_id,
    password_request,
    resend_request,
    start_request,
    verify_request,
)

DEADLINE_SECONDS = 1.0
# RPC, the call that is held during it, and the right answer.
HELD = [
    ("StartSignup", "open", "CODE_REQUIRED"),
    ("StartSignup", "send", "CODE_REQUIRED"),
    ("ResendCode", "send", "CODE_REQUIRED"),
    ("VerifyCode", "code", "PASSWORD_REQUIRED"),
    ("VerifyCode", "look_up", "PASSWORD_REQUIRED"),
    ("SetPassword", "password", "COMPLETED"),
    ("SetPassword", "hook_password", "COMPLETED"),
]


def request_of(stage: Stage, rpc: str, address: str) -> Request:
    """Prepare a call: go up to it."""
    if rpc == "StartSignup":
        return start_request(address, new_request_id())
    if rpc == "SetPassword":
        return password_request(stage.proved(address))
    started = stage.started(address)
    code = stage.code(address)
    if rpc == "GetSignup":
        return get_request(started)
    if rpc == "ResendCode":
        return resend_request(started, new_request_id())
    return verify_request(started, code)


class TestHopeless:
    """A deadline that leaves no time is refused at once."""

    @pytest.mark.parametrize("seconds", [0.05, 0.25])
    @pytest.mark.parametrize(
        "rpc", ["StartSignup", "ResendCode", "VerifyCode", "SetPassword", "GetSignup"]
    )
    def test_refused(self, stage: Stage, rpc: str, seconds: float) -> None:
        """Nothing is begun: Kratos is not asked, no mail goes, nothing is counted."""
        address = stage.new_address()
        request = request_of(stage, rpc, address)
        mails, mark = stage.world.mails(address), stage.proxy.mark
        outcome = stage.caller.ask_in_time(request, seconds)

        assert "DEADLINE_TOO_SHORT" == outcome.what
        assert grpc.StatusCode.DEADLINE_EXCEEDED == outcome.status
        assert [] == stage.proxy.calls_since(mark)
        assert mails == stage.world.mails(address)


class TestTooShort:
    """The work takes longer than the caller waits."""

    @pytest.mark.parametrize(("rpc", "call", "right"), HELD)
    def test_busy(self, stage: Stage, rpc: str, call: str, right: str) -> None:
        """It is told in time that the work goes on; the repeat joins the work."""
        address = stage.new_address()
        request = request_of(stage, rpc, address)
        step = stage.proxy.hold(call)
        early = stage.caller.ask_in_time(request, DEADLINE_SECONDS)
        mark = stage.proxy.mark
        repeat = stage.caller.begin(request)
        step.release()
        joined = repeat.outcome()

        assert "SIGNUP_BUSY" == early.what
        assert grpc.StatusCode.ABORTED == early.status
        assert early.retry_seconds is not None
        assert right == joined.what
        assert call not in stage.proxy.calls_since(mark)
