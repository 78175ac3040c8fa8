"""A hook port that a real Kratos cannot reach."""

from kratos_signup.v1 import signup_service_pb2 as pb

from tests.e2e.broken import AFTER
from tests.e2e.caller import refusal
from tests.e2e.frail import Frail
from tests.e2e.stack import GOOD_PASSWORD, wrong_codes


def test_dead_code_hook(frail: Frail, address: str) -> None:
    """A right code still proves the mailbox, and the log names the setting."""
    frail.code_way.close()
    stack, log = frail.stack, frail.stack.log()
    token = stack.caller.start(address).continuation_token
    code = stack.code(address)
    (wrong,) = wrong_codes(code, 1)
    refused = refusal(stack.caller.verify, token, wrong)
    verified = stack.caller.verify(token, code)
    (line,) = log.said("code_hook_dead", 1)
    nothing = stack.admin.identities(address)
    done = stack.caller.set_password(verified.continuation_token, GOOD_PASSWORD)

    assert "CODE_INCORRECT" == refused.reason
    assert pb.SIGNUP_STATE_PASSWORD_REQUIRED == verified.signup.state
    assert "error" == line["level"]
    assert f"{AFTER}.code.hooks" in line["why"]
    assert [] == nothing
    assert stack.admin.identity(done.signup.identity_id).verified
