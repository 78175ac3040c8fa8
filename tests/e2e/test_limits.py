"""Mails to one address, counted where they go out: in Kratos' courier."""

import grpc
import pytest

from tests.e2e.broken import setting
from tests.e2e.errors import Refusal, refusal
from tests.e2e.frail import Frail
from tests.e2e.holdings import make_account
from tests.e2e.stack import GOOD_PASSWORD, Stack, new_address

SENDS = 5
REFILL_SECONDS = 30 * 60
# What a test may take until it is refused.
SLACK_SECONDS = 60.0


def test_free_and_taken(stack: Stack) -> None:
    """Five mails go, and no sixth, whether there is an account or not."""
    free, taken = new_address(), new_address()
    make_account(stack.kratos, taken, GOOD_PASSWORD)
    seen = []
    for address in (free, taken):
        for _ in range(SENDS):
            stack.caller.start(address)
        refused = refusal(stack.caller.start, address)
        assert_limited(refused)
        mails = len(stack.admin.courier_messages(address))
        seen.append((refused.status, refused.reason, refused.message, mails))

    assert seen[0] == seen[1]
    assert SENDS == seen[0][-1]


def test_killed(frail: Frail, address: str) -> None:
    """A server that is killed and started again goes on with the count."""
    stack = frail.stack
    for count in (3, 2):
        for _ in range(count):
            stack.caller.start(address)
        stack.server.kill()
        stack.server.start()

    assert_limited(refusal(stack.caller.start, address))
    assert SENDS == len(stack.admin.courier_messages(address))


def test_nothing_went(frail: Frail, address: str) -> None:
    """What Kratos refused, or was never asked, is not counted."""
    stack = frail.stack
    traits = {"no such trait": "x"}
    reasons = [
        refusal(stack.caller.start, address, traits=traits).reason
        for _ in range(SENDS + 1)
    ]
    stack.kratos.kill()
    reasons += [refusal(stack.caller.start, address).reason for _ in range(SENDS + 1)]
    stack.kratos.start()
    for _ in range(SENDS):
        stack.caller.start(address)

    assert {"TRAITS_INVALID", "KRATOS_UNAVAILABLE"} == set(reasons)
    assert_limited(refusal(stack.caller.start, address))
    assert SENDS == len(stack.admin.courier_messages(address))


def test_mails_all_the_same(frail: Frail, address: str) -> None:
    """Nor can anybody be flooded by a Kratos that mails and says that it does not."""
    stack = frail.stack
    path = "selfservice.methods.code.passwordless_enabled"
    frail.bend(setting(path, value=False))
    reasons = [refusal(stack.caller.start, address).reason for _ in range(SENDS)]

    assert ["KRATOS_INCOMPATIBLE"] * SENDS == reasons
    assert_limited(refusal(stack.caller.start, address))
    assert SENDS == len(stack.admin.courier_messages(address))


def assert_limited(refused: Refusal) -> None:
    """Demand that a caller learns that too many mails went, and when to come back."""
    assert "SEND_LIMIT_REACHED" == refused.reason
    assert grpc.StatusCode.RESOURCE_EXHAUSTED is refused.status
    assert refused.retry_seconds == pytest.approx(REFILL_SECONDS, abs=SLACK_SECONDS)
    assert None is refused.signup
