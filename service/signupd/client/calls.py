"""The calls of SignupService, each repeated while that can help."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import grpc
from kratos_signup.v1 import signup_service_pb2 as pb
from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceStub

from signupd.client.refusal import Refusal, refusal_of
from signupd.errors import KratosUnavailable, LedgerUnavailable, SignupBusy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# What a call without a deadline has, by the contract; the server answers before it.
DEADLINE_SECONDS: Final = 60.0
MAX_TRIES: Final = 5
# Who is told to wait longer decides for himself; where nothing is said, this is waited.
MAX_PAUSE_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 1.0
# The same call helps later, whatever became of this one.
REPEATABLE: Final = frozenset(
    {
        SignupBusy.reason,
        "OVERLOADED",
        KratosUnavailable.reason,
        LedgerUnavailable.reason,
    }
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call that succeeded answered.

    Args:
        token: For the next call; empty where there is none.
        signup: How the sign-up stands.
    """

    token: str = field(repr=False)
    signup: pb.Signup


class _Response(Protocol):
    """What all responses of SignupService have."""

    @property
    def continuation_token(self) -> str: ...

    @property
    def signup(self) -> pb.Signup: ...


class Signups:
    """Calls SignupService. What is repeated is the same call, down to its request id.

    Args:
        channel: To the server.
        pause: Waits so many seconds before a call is repeated.
    """

    def __init__(self, channel: grpc.Channel, pause: Callable[[float], None]) -> None:
        self._stub = SignupServiceStub(channel)
        self._pause = pause

    def start(self, email: str, traits: Mapping[str, Any]) -> Answer | Refusal:
        """Begin a sign-up.

        Args:
            email: The address to sign up.
            traits: Further traits, JSON values by name.
        """
        request = pb.StartSignupRequest(email=email, request_id=str(uuid.uuid4()))
        request.traits.update(traits)
        return self._repeated(self._stub.StartSignup, request)

    def resend(self, token: str) -> Answer | Refusal:
        """Have another code mailed."""
        request = pb.ResendCodeRequest(
            continuation_token=token, request_id=str(uuid.uuid4())
        )
        return self._repeated(self._stub.ResendCode, request)

    def verify(self, token: str, code: str) -> Answer | Refusal:
        """Have the code checked."""
        request = pb.VerifyCodeRequest(continuation_token=token, code=code)
        return self._repeated(self._stub.VerifyCode, request)

    def set_password(self, token: str, password: str) -> Answer | Refusal:
        """Set the password, which makes the account."""
        request = pb.SetPasswordRequest(continuation_token=token, password=password)
        return self._repeated(self._stub.SetPassword, request)

    def get(self, token: str) -> Answer | Refusal:
        """See how the sign-up stands, and what became of its mail."""
        request = pb.GetSignupRequest(continuation_token=token)
        return self._repeated(self._stub.GetSignup, request)

    def cancel(self, token: str) -> Answer | Refusal:
        """End the sign-up."""
        request = pb.CancelSignupRequest(continuation_token=token)
        return self._repeated(self._stub.CancelSignup, request)

    def _repeated(
        self, method: Callable[..., _Response], request: Any
    ) -> Answer | Refusal:
        outcome = _once(method, request)
        for _ in range(MAX_TRIES - 1):
            if isinstance(outcome, Answer):
                break
            pause = _pause_before_another(outcome)
            if pause is None:
                break
            self._pause(pause)
            outcome = _once(method, request)
        return outcome


def _once(method: Callable[..., _Response], request: Any) -> Answer | Refusal:
    try:
        response = method(request, timeout=DEADLINE_SECONDS)
    except grpc.RpcError as error:
        return refusal_of(error)
    return Answer(response.continuation_token, response.signup)


def _pause_before_another(refusal: Refusal) -> float | None:
    """Tell how long to wait before the same call; None where it would not help."""
    lost = not refusal.reason and refusal.status is grpc.StatusCode.UNAVAILABLE
    if not lost and refusal.reason not in REPEATABLE:
        return None
    seconds = PAUSE_SECONDS if refusal.retry_seconds is None else refusal.retry_seconds
    return seconds if seconds <= MAX_PAUSE_SECONDS else None
