"""The hooks of a real Kratos: ours out of reach, and an operator's beside ours."""

from collections.abc import Iterator

import pytest
from kratos_signup.v1 import signup_service_pb2 as pb

from tests.e2e.broken import AFTER
from tests.e2e.caller import refusal
from tests.e2e.frail import Frail
from tests.e2e.neighbours import OperatorHooks
from tests.e2e.site import Site
from tests.e2e.stack import GOOD_PASSWORD, Stack, wrong_codes


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


@pytest.fixture(scope="module")
def shared(site: Site) -> Iterator[tuple[Stack, OperatorHooks]]:
    """Start a Kratos that calls an operator's hooks too."""
    with OperatorHooks() as operator, site.stack(operator.mutate) as stack:
        stack.wait_for_proof()
        yield stack, operator


@pytest.fixture
def operator(shared: tuple[Stack, OperatorHooks]) -> Iterator[OperatorHooks]:
    """Give the operator's hooks, which want nothing yet."""
    yield shared[1]
    shared[1].forget()


@pytest.fixture
def beside(shared: tuple[Stack, OperatorHooks]) -> Stack:
    """Give the stack with them."""
    return shared[0]


@pytest.mark.parametrize("locale", ["de-CH", ""])
def test_payload(
    beside: Stack, operator: OperatorHooks, address: str, locale: str
) -> None:
    """An operator's hooks at the password get the sign-up's locale, if it has one."""
    started = beside.caller.start(address, locale=locale)
    code = beside.code(address)
    verified = beside.caller.verify(started.continuation_token, code)
    beside.caller.set_password(verified.continuation_token, GOOD_PASSWORD)

    expected = {"payload": {"locale": locale} if locale else {}}
    assert dict.fromkeys(["early", "late", "stored"], expected) == operator.asked
