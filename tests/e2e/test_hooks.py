"""The hook port as a real Kratos meets it: dead, or asked by a stranger meanwhile."""

import json
from concurrent.futures import ThreadPoolExecutor

import httpx
from kratos_signup.v1 import signup_service_pb2 as pb

from devstack.ports import LOOPBACK
from tests.e2e.broken import AFTER
from tests.e2e.caller import refusal
from tests.e2e.frail import Frail
from tests.e2e.holdings import registration_flow_ids
from tests.e2e.stack import GOOD_PASSWORD, wrong_codes

NOT_NOW = 9999003


def test_dead_code_hook(frail: Frail, address: str) -> None:
    """A right code still proves the mailbox, and the log names the setting."""
    frail.code_way.close()
    stack, log = frail.stack, frail.stack.log()
    token = stack.caller.start(address).continuation_token
    code = stack.code(address)
    (wrong,) = wrong_codes(code, 1)
    refused = refusal(stack.caller.verify, token, wrong)
    verified = stack.caller.verify(token, code)
    (line,) = log.said("code_hook_dead")
    nothing = stack.admin.identities(address)
    done = stack.caller.set_password(verified.continuation_token, GOOD_PASSWORD)

    assert "CODE_INCORRECT" == refused.reason
    assert pb.SIGNUP_STATE_PASSWORD_REQUIRED == verified.signup.state
    assert "error" == line["level"]
    assert f"{AFTER}.code.hooks" in line["why"]
    assert [] == nothing
    assert stack.admin.identity(done.signup.identity_id).verified


def test_other_address(frail: Frail, address: str) -> None:
    """The flow of a call at work is approved for the call's own address alone."""
    stack = frail.stack
    token, before = stack.proved(address), registration_flow_ids(stack.kratos)
    frail.password_way.hold()
    with ThreadPoolExecutor() as pool:
        call = pool.submit(stack.caller.set_password, token, GOOD_PASSWORD)
        frail.password_way.wait_for_request()
        (flow,) = registration_flow_ids(stack.kratos) - before
        answer = httpx.post(
            f"http://{LOOPBACK}:{stack.server.hook_port}/kratos/password",
            content=json.dumps({"flow_id": flow, "email": f"eve-{address}"}),
            headers={"X-Hook-Key": frail.hook_key},
            trust_env=False,
            timeout=60,
        )
        frail.password_way.open()
        done = call.result()

    assert (403, True) == (answer.status_code, str(NOT_NOW) in answer.text)
    assert pb.SIGNUP_STATE_COMPLETED == done.signup.state
    assert [] == stack.admin.identities(f"eve-{address}")
