"""The canary's way to the server: the terminal's own client, each call in a thread."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

from kratos_signup.v1 import signup_service_pb2 as pb

from signupd.check.client import CallRefusedError, Step
from signupd.client.refusal import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from signupd.client.calls import Answer, Signups

    Outcome = Answer | Refusal


class CanaryClient:
    """Calls SignupService for a canary.

    Args:
        signups: Makes the calls.
    """

    def __init__(self, signups: Signups) -> None:
        self._signups = signups

    async def start(self, email: str, traits: Mapping[str, Any]) -> Step:
        """Call StartSignup."""
        return await _step(lambda: self._signups.start(email, traits))

    async def get(self, token: str) -> Step:
        """Call GetSignup."""
        return await _step(lambda: self._signups.get(token))

    async def verify(self, token: str, code: str) -> Step:
        """Call VerifyCode."""
        return await _step(lambda: self._signups.verify(token, code))

    async def set_password(self, token: str, password: str) -> Step:
        """Call SetPassword."""
        return await _step(lambda: self._signups.set_password(token, password))

    async def cancel(self, token: str) -> Step:
        """Call CancelSignup."""
        return await _step(lambda: self._signups.cancel(token))


async def _step(call: Callable[[], Outcome]) -> Step:
    outcome = await asyncio.to_thread(call)
    if isinstance(outcome, Refusal):
        raise CallRefusedError(outcome.reason, outcome.status.name)
    signup = outcome.signup
    return Step(
        uuid.UUID(signup.signup_id),
        pb.SignupState.Name(signup.state).removeprefix("SIGNUP_STATE_"),
        pb.CodeDelivery.Name(signup.code_delivery).removeprefix("CODE_DELIVERY_"),
        outcome.token,
    )
