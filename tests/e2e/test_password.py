"""The password: a real Kratos takes it as typed, or refuses it by its own rules."""

import pytest
from kratos_signup.v1 import signup_service_pb2 as pb

from tests.e2e.caller import refusal
from tests.e2e.stack import GOOD_PASSWORD, Stack, similar_to


def test_refused_then_taken(stack: Stack, address: str) -> None:
    """After all refusals a good password still makes the account, with it alone."""
    token = stack.proved(address)
    similar = similar_to(address)
    bad = ["k7#Vqz!", "password", similar, "k7#Vqz!p" * 10, similar]
    refusals = [refusal(stack.caller.set_password, token, one) for one in bad]
    nothing = stack.admin.identities(address)
    left = stack.caller.get(token).signup.password_attempts_remaining
    done = stack.caller.set_password(token, GOOD_PASSWORD)

    expected = ["TOO_SHORT", "TOO_COMMON", "TOO_SIMILAR", "TOO_LONG", "TOO_SIMILAR"]
    assert expected == [rule for refused in refusals for rule in refused.rules]
    assert ([], 18) == (nothing, left)
    assert pb.SIGNUP_STATE_COMPLETED == done.signup.state
    assert stack.visitor.login(address, GOOD_PASSWORD)
    assert not stack.visitor.login(address, similar)


@pytest.mark.parametrize(
    "password",
    [
        # The bounds: 8 characters, 72 bytes.
        "ß7#Vqzü!",
        "äöüßÄÖ" * 6,
        "  seven  tall ladders  ",
        'seven "tall" \\ladders\\ {{.}} %s',
        "七つの高い梯子と猫",
        "7 🪜🪜🪜 tall",
        # Composed and decomposed; neither is turned into the other.
        "caf\u00e9 cafe\u0301 ladders",
    ],
)
def test_login(stack: Stack, address: str, password: str) -> None:
    """The user signs in with exactly the password that was typed."""
    stack.registered(address, password)

    assert stack.visitor.login(address, password)
