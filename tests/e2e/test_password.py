"""The password: a real Kratos takes it as typed."""

import pytest

from tests.e2e.stack import Stack


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
