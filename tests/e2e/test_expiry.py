"""A server with little patience, in front of a Kratos whose hooks go to another."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import grpc
import pytest
from kratos_signup.v1 import signup_service_pb2 as pb

from tests.e2e.errors import refusal
from tests.e2e.site import Site
from tests.e2e.stack import (
    GOOD_PASSWORD,
    Stack,
    attached,
    new_address,
    similar_to,
    wait_until,
)

TTL_SECONDS = 5
SETTINGS = {
    "CODE_TTL": f"{TTL_SECONDS}s",
    "PASSWORD_TTL": f"{TTL_SECONDS}s",
    "CODE_ATTEMPTS": "2",
    "PASSWORD_ATTEMPTS": "2",
}


@dataclass(frozen=True, slots=True)
class Late:
    """Two sign-ups that have lapsed, each at its step, and what they had left."""

    code_address: str
    code_token: str
    password_address: str
    password_token: str


@pytest.fixture(scope="module")
def hasty(site: Site, stack: Stack) -> Iterator[Stack]:
    """Start a server of its own, ledger and hook port too, on the shared Kratos."""
    server = site.server(stack.kratos, settings=SETTINGS)
    with server, attached(stack.mailbox, stack.kratos, server) as made:
        yield made


@pytest.fixture(scope="module")
def late(hasty: Stack) -> Late:
    """Let two sign-ups lapse."""
    lapsed = Late(
        one := new_address(),
        hasty.caller.start(one).continuation_token,
        other := new_address(),
        hasty.proved(other),
    )
    for token in (lapsed.code_token, lapsed.password_token):
        wait_until(partial(_expired, hasty, token), "the sign-up lapses")
    return lapsed


class TestExpired:
    """What has taken too long."""

    @pytest.mark.parametrize("step", ["code_token", "password_token"])
    def test_get(self, hasty: Stack, late: Late, step: str) -> None:
        """GetSignup says EXPIRED, with nothing to go on with."""
        seen = hasty.caller.get(getattr(late, step))

        assert pb.SIGNUP_STATE_EXPIRED == seen.signup.state
        assert "" == seen.continuation_token
        assert "a***@example.com" == seen.signup.masked_email
        assert not seen.signup.HasField("expire_time")
        assert not seen.signup.HasField("resend_time")
        assert 0 == seen.signup.code_attempts_remaining
        assert pb.CODE_DELIVERY_UNSPECIFIED == seen.signup.code_delivery

    def test_code(self, hasty: Stack, late: Late) -> None:
        """The right code comes too late."""
        code = hasty.code(late.code_address)
        refused = refusal(hasty.caller.verify, late.code_token, code)

        assert grpc.StatusCode.FAILED_PRECONDITION == refused.status
        assert "SIGNUP_EXPIRED" == refused.reason
        assert hasty.caller.get(late.code_token).signup == refused.signup

    def test_password(self, hasty: Stack, late: Late) -> None:
        """So does a good password; nothing is stored."""
        refused = refusal(hasty.caller.set_password, late.password_token, GOOD_PASSWORD)

        assert "SIGNUP_EXPIRED" == refused.reason
        assert [] == hasty.admin.identities(late.password_address)

    def test_free(self, stack: Stack, late: Late) -> None:
        """The address is as free as ever."""
        identity_id = stack.registered(late.password_address)

        assert stack.admin.identity(identity_id).verified


class TestAttempts:
    """As many as the settings say."""

    def test_code(self, hasty: Stack, address: str) -> None:
        """Two codes, and no more."""
        token = hasty.caller.start(address).continuation_token
        reasons = [refusal(hasty.caller.verify, token, one).reason for one in "123"]

        assert ["CODE_INCORRECT"] * 2 + ["CODE_ATTEMPTS_EXHAUSTED"] == reasons

    def test_password(self, hasty: Stack, address: str) -> None:
        """Two refusals of Kratos are too many; then a good password comes late."""
        token = hasty.proved(address)
        refusals = [
            refusal(hasty.caller.set_password, token, password)
            for password in (similar_to(address), similar_to(address, 1), GOOD_PASSWORD)
        ]
        left = [
            one.signup and one.signup.password_attempts_remaining for one in refusals
        ]

        assert [["TOO_SIMILAR"], ["TOO_SIMILAR"], []] == [one.rules for one in refusals]
        assert "PASSWORD_ATTEMPTS_EXHAUSTED" == refusals[-1].reason
        assert grpc.StatusCode.RESOURCE_EXHAUSTED == refusals[-1].status
        assert [1, 0, 0] == left
        assert [] == hasty.admin.identities(address)


def test_foreign_hook(hasty: Stack, address: str) -> None:
    """Where Kratos asks another server, nothing is stored, and the log says so."""
    log = hasty.log()
    refused = refusal(hasty.caller.set_password, hasty.proved(address), GOOD_PASSWORD)

    assert "KRATOS_INCOMPATIBLE" == refused.reason
    assert "another server" in log.complaints()
    assert [] == hasty.admin.identities(address)


def _expired(stack: Stack, token: str) -> bool:
    return stack.caller.get(token).signup.state == pb.SIGNUP_STATE_EXPIRED
