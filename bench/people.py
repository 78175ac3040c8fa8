"""People who sign up: what they send to the service, and what it answers them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kratos_signup.v1 import signup_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# What go/kratos mails to everybody.
INSTANT_CODE = "123456"
PASSWORD = "seven tall ladders"  # noqa: S105 - nobody's


@dataclass(frozen=True, slots=True)
class Step:
    """One RPC of the service.

    Attributes:
        name: In the contract.
    """

    name: str

    @property
    def method(self) -> str:
        """The method's full name on the wire."""
        return f"/kratos_signup.v1.SignupService/{self.name}"


START = Step("StartSignup")
VERIFY = Step("VerifyCode")
GET = Step("GetSignup")
SET_PASSWORD = Step("SetPassword")


def addresses(count: int) -> list[str]:
    """Make up addresses that nobody has used before."""
    return [f"{secrets.token_hex(8)}@example.com" for _ in range(count)]


def starts(emails: Iterable[str]) -> list[bytes]:
    """Make requests of StartSignup."""
    return [pb.StartSignupRequest(email=one).SerializeToString() for one in emails]


def verifies(tokens: Iterable[str], codes: Iterable[str]) -> list[bytes]:
    """Make requests of VerifyCode."""
    return [
        pb.VerifyCodeRequest(continuation_token=token, code=code).SerializeToString()
        for token, code in zip(tokens, codes, strict=True)
    ]


def set_passwords(tokens: Iterable[str]) -> list[bytes]:
    """Make requests of SetPassword."""
    return [
        pb.SetPasswordRequest(
            continuation_token=token, password=PASSWORD
        ).SerializeToString()
        for token in tokens
    ]


def holders(tokens: Iterable[str]) -> list[bytes]:
    """Make requests of those RPCs that want a token and no more.

    All of them have it as their first field, and so the same bytes.
    """
    return [
        pb.GetSignupRequest(continuation_token=token).SerializeToString()
        for token in tokens
    ]


def tokens_of(answers: Sequence[bytes]) -> list[str]:
    """Read the tokens that people go on with; all answers have them as first field."""
    read = map(pb.GetSignupResponse.FromString, answers)
    return [one.continuation_token for one in read]


def following(step: Step, tokens: Sequence[str]) -> list[bytes]:
    """Make the requests that follow a step, on the way to an account.

    GetSignup is asked in between, by people who have proved their mailboxes.
    """
    if step is START:
        return verifies(tokens, [INSTANT_CODE] * len(tokens))
    return holders(tokens) if step is VERIFY else set_passwords(tokens)
