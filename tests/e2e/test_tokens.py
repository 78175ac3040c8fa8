"""Continuation tokens: of the wrong step, or none of ours."""

import os
import uuid
from collections.abc import Callable

import grpc
import pytest
from kratos_signup.v1 import signup_service_pb2 as pb
from signupd.sealing import KEY_BYTES, KeyRing, Step

from tests.e2e.errors import Refusal, refusal
from tests.e2e.stack import GOOD_PASSWORD, Stack

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class TestStep:
    """A token of one step, for the call of another."""

    def test_code_token_for_password(self, stack: Stack, address: str) -> None:
        """No password without a proof; the Signup says what is missing."""
        started = stack.caller.start(address)
        refused = refusal(
            stack.caller.set_password, started.continuation_token, GOOD_PASSWORD
        )

        assert grpc.StatusCode.FAILED_PRECONDITION == refused.status
        assert "STEP_MISMATCH" == refused.reason
        assert started.signup == refused.signup

    def test_code_token_after_the_proof(self, stack: Stack, address: str) -> None:
        """Nor does the proof make the old token good for it, not that of GetSignup."""
        started = stack.caller.start(address)
        token = started.continuation_token
        stack.caller.verify(token, stack.code(address))
        seen = stack.caller.get(token).continuation_token
        refusals = [
            refusal(stack.caller.set_password, one, GOOD_PASSWORD)
            for one in (token, seen)
        ]

        assert ["STEP_MISMATCH"] * 2 == [one.reason for one in refusals]
        assert [] == stack.admin.identities(address)

    def test_password_token_for_code(self, stack: Stack, address: str) -> None:
        """The token of the password is none for the code."""
        token = stack.proved(address)
        refused = refusal(stack.caller.verify, token, stack.code(address))

        assert "STEP_MISMATCH" == refused.reason
        assert stack.caller.get(token).signup == refused.signup


class TestGarbage:
    """What is no token of ours is one and the same error, wherever it comes."""

    @pytest.fixture
    def calls(self, stack: Stack) -> list[Callable[[str], Refusal]]:
        """Make the calls that take a token, each to be refused."""
        caller = stack.caller
        return [
            lambda token: refusal(caller.verify, token, "123456"),
            lambda token: refusal(caller.set_password, token, GOOD_PASSWORD),
            lambda token: refusal(caller.get, token),
        ]

    @pytest.mark.parametrize(
        "token",
        [
            "",
            "garbage",
            "A" * 67,
            "A" * 1024,
            "A" * 1025,
            "A" * 60_000,
            "ä" * 67,
            "\0" * 67,
            "../../../../etc/passwd",
            str(uuid.uuid4()),
        ],
        ids=lambda token: f"{token[:8]!r}-{len(token)}",
    )
    def test_garbage(self, calls: list[Callable[[str], Refusal]], token: str) -> None:
        """Garbage, short or long, is TOKEN_INVALID and nothing else."""
        refusals = [call(token) for call in calls]

        assert [refusals[0]] * 3 == refusals
        assert grpc.StatusCode.INVALID_ARGUMENT == refusals[0].status
        assert "TOKEN_INVALID" == refusals[0].reason
        assert (None, None) == (refusals[0].signup, refusals[0].retry_seconds)
        assert () == refusals[0].faults

    def test_changed(self, stack: Stack, address: str) -> None:
        """A token with any one character changed is garbage."""
        token = stack.caller.start(address).continuation_token
        changed = [
            token[:place] + _other(token[place]) + token[place + 1 :]
            for place in range(len(token))
        ]
        reasons = {refusal(stack.caller.get, one).reason for one in changed}

        assert {"TOKEN_INVALID"} == reasons

    def test_cut_or_longer(self, stack: Stack, address: str) -> None:
        """Nor is there a token in one that was cut, or added to."""
        token = stack.caller.start(address).continuation_token
        others = [token[:-1], token[1:], token + "A", token + "=", " " + token]
        reasons = {refusal(stack.caller.get, one).reason for one in others}

        assert {"TOKEN_INVALID"} == reasons

    def test_other_key(self, stack: Stack, address: str) -> None:
        """A token for a sign-up that is there, but under another key, is garbage."""
        started = stack.caller.start(address)
        ring = KeyRing([os.urandom(KEY_BYTES)], os.urandom(KEY_BYTES))
        forged = ring.seal_token(uuid.UUID(started.signup.signup_id), Step.PASSWORD)
        refused = refusal(stack.caller.set_password, forged, GOOD_PASSWORD)

        assert len(started.continuation_token) == len(forged)
        assert "TOKEN_INVALID" == refused.reason

    def test_of_another_signup(self, stack: Stack, address: str) -> None:
        """A token is for its own sign-up: another's code does not go with it."""
        mine = stack.caller.start(address).continuation_token
        theirs = stack.caller.start(f"eve-{address}").continuation_token
        code = stack.code(address)
        refused = refusal(stack.caller.verify, theirs, code)
        verified = stack.caller.verify(mine, code)

        assert "CODE_INCORRECT" == refused.reason
        assert pb.SIGNUP_STATE_PASSWORD_REQUIRED == verified.signup.state


def _other(character: str) -> str:
    """Give another character of the alphabet."""
    return ALPHABET[(ALPHABET.index(character) + 1) % len(ALPHABET)]
