"""What a person at the terminal is told of a call that failed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from signupd.client.calls import REPEATABLE
from signupd.errors import CodeIncorrect, PasswordRejected, SendLimitReached

if TYPE_CHECKING:
    from signupd.client.refusal import Refusal

# By step, the reasons after which the same question is put again.
ADDRESS: Final = frozenset({"EMAIL_INVALID", "REQUEST_INVALID"})
CODE: Final = REPEATABLE | {
    "CODE_EXPIRED",
    "CODE_INCORRECT",
    "REQUEST_INVALID",
    "RESEND_TOO_SOON",
    "SEND_LIMIT_REACHED",
}
PASSWORD: Final = REPEATABLE | {"PASSWORD_REJECTED", "REQUEST_INVALID"}

# After the others the sign-up ends here. What then helps, where the service's own
# sentence does not say it.
ADVICE: Final = {
    "ACCOUNT_NOT_FOUND": "",
    "CALLER_NOT_PERMITTED": "The certificate decides: --cert, --key.",
    "CODE_ATTEMPTS_EXHAUSTED": "Start again.",
    "DEADLINE_TOO_SHORT": "",
    "INTERNAL": "Its log says more.",
    "KRATOS_INCOMPATIBLE": "",
    "PASSWORD_ALREADY_SET": "Sign in with it.",
    "PASSWORD_ATTEMPTS_EXHAUSTED": "Start again.",
    "REQUEST_ID_REUSED": "Start again.",
    "SIGNUP_CANCELLED": "Start again.",
    "SIGNUP_EXPIRED": "Start again.",
    "STEP_MISMATCH": "Start again.",
    "TOKEN_INVALID": "Start again.",
    "TRAITS_INVALID": "--traits gives further ones.",
}


def asks_again(refusal: Refusal, reasons: frozenset[str]) -> bool:
    """Tell whether a step goes on: with one of its reasons, and an attempt left."""
    return refusal.reason in reasons and _attempts(refusal) != 0


def told(refusal: Refusal) -> list[str]:
    """Say why a call failed and what then helps, in lines."""
    if not refusal.reason:
        return [f"No answer of the service: {refusal.status.name}, {refusal.message}"]
    faults = [f"- {fault.field} {fault.description}" for fault in refusal.violations]
    reasons = [
        f" ({fault.reason})" * bool(fault.reason) for fault in refusal.violations
    ]
    return [
        f"{refusal.message} ({refusal.reason})",
        *map("".join, zip(faults, reasons, strict=True)),
        *filter(None, (_left(refusal), _when(refusal), ADVICE.get(refusal.reason, ""))),
    ]


def _when(refusal: Refusal) -> str:
    if refusal.retry_seconds is not None:
        return f"Try again in {math.ceil(refusal.retry_seconds)} s."
    no_more = refusal.reason == SendLimitReached.reason
    return "This sign-up has no mail left." if no_more else ""


def _left(refusal: Refusal) -> str:
    attempts = _attempts(refusal)
    match attempts:
        case None:
            return ""
        case 0:
            return "No attempt is left. Start again."
        case 1:
            return "One attempt is left."
        case _:
            return f"{attempts} attempts are left."


def _attempts(refusal: Refusal) -> int | None:
    """Count the attempts that are left, where the refusal is of an attempt."""
    signup = refusal.signup
    if signup is not None and refusal.reason == CodeIncorrect.reason:
        return signup.code_attempts_remaining
    if signup is not None and refusal.reason == PasswordRejected.reason:
        return signup.password_attempts_remaining
    return None
