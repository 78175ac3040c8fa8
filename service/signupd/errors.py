"""Everything that can go wrong with a call, as one tree.

The name of a class, in capitals, is the ``reason`` that the contract promises to
callers: ``CODE_EXPIRED`` for ``CodeExpired``. What a caller reads is a constant
sentence chosen by reason (``signupd.rpc.statuses``); only the log gets ``detail``.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Final

# The domain of the reasons in google.rpc.ErrorInfo.
DOMAIN: Final = "kratos-signup"


@dataclass(frozen=True, slots=True)
class Violation:
    """One fault of one request field, as google.rpc.BadRequest wants it."""

    field: str  # its path, such as ``email`` or ``traits.name``
    description: str  # a constant English sentence, never the caller's own input
    reason: str = ""  # a constant in capitals that a program may act on


class SignupdError(Exception):
    """The root of the tree; never raised itself.

    Args:
        detail: For operators; it goes only to the log.
        signup: The current sign-up (the contract's ``Signup``), which the answer
            shows; None unless the caller's token was valid.
        retry_after_seconds: When a retry can help; by default ``retry_seconds``.
        violations: The faulty fields.
    """

    reason: ClassVar[str]
    retry_seconds: ClassVar[float | None] = None

    def __init_subclass__(cls, *, reason: str | None = None) -> None:
        """Take the reason from the class' name, unless it is given."""
        cls.reason = reason or re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper()

    def __init__(
        self,
        detail: str = "",
        *,
        signup: object | None = None,
        retry_after_seconds: float | None = None,
        violations: tuple[Violation, ...] = (),
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.signup = signup
        self.retry_after_seconds = (
            self.retry_seconds if retry_after_seconds is None else retry_after_seconds
        )
        self.violations = violations


class RequestInvalid(SignupdError):
    """A field is missing or malformed."""


class EmailInvalid(RequestInvalid):
    """No mail can be sent to the address."""


class TraitsInvalid(RequestInvalid):
    """The traits do not fit the identity schema, or a caller may not set them."""


class PasswordRejected(RequestInvalid):
    """The password breaks a rule of this service or of Kratos."""


class RequestIdReused(SignupdError):
    """A request id was used again with other content."""


class TokenInvalid(SignupdError):
    """The continuation token was not issued here, or its sign-up is gone."""


class StepMismatch(SignupdError):
    """The token, or the sign-up's state, is for another step."""


class CodeIncorrect(SignupdError):
    """The code is not the one that was mailed last."""


class CodeExpired(SignupdError):
    """The code has expired in Kratos; a new one can be sent."""


class CodeAttemptsExhausted(SignupdError):
    """Too many codes were tried on this sign-up."""


class ResendTooSoon(SignupdError):
    """It is too early for another mail."""


class SendLimitReached(SignupdError):
    """No further mail may be sent."""


class SignupExpired(SignupdError):
    """The sign-up's present step has expired."""


class SignupCancelled(SignupdError):
    """The sign-up was cancelled."""


class PasswordAttemptsExhausted(SignupdError):
    """Kratos, or this service, refused too many passwords on this sign-up."""


class PasswordAlreadySet(SignupdError):
    """The sign-up is complete, with another password."""


class SignupBusy(SignupdError):
    """Another call is at work on this sign-up."""

    retry_seconds = 1.0  # most work on a sign-up takes well below that


class DeadlineTooShort(SignupdError):
    """The caller's deadline leaves too little time to begin."""


class AccountNotFound(SignupdError):
    """Kratos has no such account."""


class CallerNotPermitted(SignupdError):
    """The caller's certificate or address does not permit this call."""


class Overloaded(SignupdError):
    """MAX_CONCURRENT_RPCS calls are at work already."""

    retry_seconds = 1.0


class KratosUnavailable(SignupdError):
    """Kratos did not answer, so what it did is not known."""

    retry_seconds = 2.0


class KratosUnreached(KratosUnavailable, reason="KRATOS_UNAVAILABLE"):
    """No connection to Kratos could be made, so it did nothing."""


class LedgerUnavailable(SignupdError):
    """The ledger's database did not answer."""

    retry_seconds = 2.0


class KratosIncompatible(SignupdError):
    """Kratos is set up, or answers, in a way that cannot work."""


class KratosFlowGone(KratosIncompatible, reason="KRATOS_INCOMPATIBLE"):
    """Kratos has no such flow, or no such method for it, so it did nothing."""
