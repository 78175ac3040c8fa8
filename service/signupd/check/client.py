"""What the canary needs of a client of our own contract."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Step:
    """An answer of SignupService.

    Args:
        signup_id: The sign-up.
        state: The contract's name for it, such as ``CODE_REQUIRED``.
        delivery: What the courier says of the mail, such as ``SENT``; empty where the
            answer does not tell.
        token: To go on with; empty when the sign-up is final.
    """

    signup_id: uuid.UUID
    state: str
    delivery: str = ""
    token: str = field(default="", repr=False)


class CallRefusedError(Exception):
    """A call was refused, or nobody answered.

    Args:
        reason: The contract's; empty where it was not our service that answered.
        status: gRPC's, such as ``UNAVAILABLE``.
    """

    def __init__(self, reason: str, status: str) -> None:
        super().__init__(reason or status)
        self.reason = reason
        self.status = status


class SignupClient(Protocol):
    """Calls SignupService. Every method raises ``CallRefusedError``."""

    async def start(self, email: str, traits: Mapping[str, Any]) -> Step:
        """Call StartSignup."""

    async def get(self, token: str) -> Step:
        """Call GetSignup."""

    async def verify(self, token: str, code: str) -> Step:
        """Call VerifyCode."""

    async def set_password(self, token: str, password: str) -> Step:
        """Call SetPassword."""

    async def cancel(self, token: str) -> Step:
        """Call CancelSignup."""
