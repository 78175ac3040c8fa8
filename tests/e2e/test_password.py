"""The password: what is refused, by whom and at what cost."""

import grpc
import pytest
from kratos_signup.v1 import signup_service_pb2 as pb

from tests.e2e.errors import refusal
from tests.e2e.stack import GOOD_PASSWORD, Stack, similar_to

ATTEMPTS = 20


class TestRefusedHere:
    """What this service refuses by itself costs no attempt."""

    @pytest.mark.parametrize(
        ("password", "rule"),
        [
            ("k7#Vqz!", "TOO_SHORT"),
            ("ß7#Vqzü", "TOO_SHORT"),
            ("k7#Vqz!p" * 9 + "q", "TOO_LONG"),
            # 37 characters, 73 bytes.
            ("äöüßÄÖ" * 6 + "x", "TOO_LONG"),
            ("password", "TOO_COMMON"),
            ("Password1", "TOO_COMMON"),
            ("qwertyuiop", "TOO_COMMON"),
            ("12345678", "TOO_COMMON"),
            ("seven tall\0ladders", "REFUSED"),
            ("seven tall\nladders", "REFUSED"),
            ("seven tall\x7fladders", "REFUSED"),
            ("seven tall\x85ladders", "REFUSED"),
        ],
    )
    def test_rule(self, stack: Stack, address: str, password: str, rule: str) -> None:
        """The rule is named, Kratos is not asked, and all attempts are left."""
        token = stack.proved(address)
        before = stack.caller.get(token).signup
        refused = refusal(stack.caller.set_password, token, password)

        assert grpc.StatusCode.INVALID_ARGUMENT == refused.status
        assert "PASSWORD_REJECTED" == refused.reason
        assert ["password"] == refused.fields
        assert [rule] == refused.rules
        assert before == refused.signup
        assert ATTEMPTS == before.password_attempts_remaining
        assert [] == stack.admin.identities(address)

    def test_all_at_once(self, stack: Stack, address: str) -> None:
        """Each broken rule has its own violation."""
        refused = refusal(stack.caller.set_password, stack.proved(address), "k7\t#V")

        assert ["REFUSED", "TOO_SHORT"] == sorted(refused.rules)
        assert ["password"] * 2 == refused.fields

    def test_the_address(self, stack: Stack, address: str) -> None:
        """The address itself is a password that anybody would guess."""
        refused = refusal(stack.caller.set_password, stack.proved(address), address)

        assert ["TOO_COMMON"] == refused.rules

    @pytest.mark.parametrize("password", ["", "seven tall ladders " * 54])
    def test_no_password(self, stack: Stack, address: str, password: str) -> None:
        """Nothing, or more than 1024 bytes, is no password at all."""
        token = stack.proved(address)
        refused = refusal(stack.caller.set_password, token, password)

        assert "REQUEST_INVALID" == refused.reason
        assert ["password"] == refused.fields
        assert ATTEMPTS == stack.caller.get(token).signup.password_attempts_remaining


class TestRefusedByKratos:
    """What Kratos refuses costs an attempt."""

    def test_too_similar(self, stack: Stack, address: str) -> None:
        """A password too similar to the address is named so, and nothing is stored."""
        token = stack.proved(address)
        refused = refusal(stack.caller.set_password, token, similar_to(address))

        assert grpc.StatusCode.INVALID_ARGUMENT == refused.status
        assert "PASSWORD_REJECTED" == refused.reason
        assert ["password"] == refused.fields
        assert ["TOO_SIMILAR"] == refused.rules
        assert refused.signup is not None
        assert pb.SIGNUP_STATE_PASSWORD_REQUIRED == refused.signup.state
        assert ATTEMPTS - 1 == refused.signup.password_attempts_remaining
        assert refused.signup == stack.caller.get(token).signup
        assert [] == stack.admin.identities(address)

    def test_then_a_good_one(self, stack: Stack, address: str) -> None:
        """After all refusals a good password still makes the account, with it alone."""
        token = stack.proved(address)
        similar = similar_to(address)
        bad = ["k7#Vqz!", "password", similar, "k7#Vqz!p" * 10, similar]
        refusals = [refusal(stack.caller.set_password, token, one) for one in bad]
        nothing = stack.admin.identities(address)
        done = stack.caller.set_password(token, GOOD_PASSWORD)

        expected = ["TOO_SHORT", "TOO_COMMON", "TOO_SIMILAR", "TOO_LONG", "TOO_SIMILAR"]
        assert expected == [rule for refused in refusals for rule in refused.rules]
        assert [] == nothing
        assert pb.SIGNUP_STATE_COMPLETED == done.signup.state
        assert stack.visitor.login(address, GOOD_PASSWORD)
        assert not stack.visitor.login(address, similar)


class TestTaken:
    """A password that is good reaches Kratos as it was typed."""

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
    def test_login(self, stack: Stack, address: str, password: str) -> None:
        """The user signs in with exactly that password."""
        stack.registered(address, password)

        assert stack.visitor.login(address, password)
