"""People who sign up: the requests they send to signupd."""

from __future__ import annotations

import enum
import secrets
from typing import TYPE_CHECKING

from kratos_signup.v1 import signup_service_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from google.protobuf.message import Message

# What go/kratos mails to everybody.
INSTANT_CODE = "123456"
PASSWORD = "seven tall ladders"  # noqa: S105 - nobody's


class Step(enum.StrEnum):
    """The RPCs that are measured, in the order in which a person calls them."""

    START = "StartSignup"
    VERIFY = "VerifyCode"
    GET = "GetSignup"
    SET_PASSWORD = "SetPassword"  # noqa: S105 - an RPC

    @property
    def method(self) -> str:
        """The method's full name on the wire."""
        return f"/kratos_signup.v1.SignupService/{self}"


def addresses(count: int) -> list[str]:
    """Make up addresses that nobody has used before."""
    return [f"{secrets.token_hex(8)}@example.com" for _ in range(count)]


def starts(count: int) -> list[Message]:
    """Make requests of StartSignup, each with a new address."""
    return [pb.StartSignupRequest(email=one) for one in addresses(count)]


def following(step: Step, tokens: Iterable[str]) -> list[Message]:
    """Make the requests that follow a step, where Kratos mails INSTANT_CODE."""
    return [_following(step, token) for token in tokens]


def _following(step: Step, token: str) -> Message:
    if step is Step.START:
        return pb.VerifyCodeRequest(continuation_token=token, code=INSTANT_CODE)
    if step is Step.VERIFY:
        return pb.GetSignupRequest(continuation_token=token)
    return pb.SetPasswordRequest(continuation_token=token, password=PASSWORD)
