"""A sign-up as its caller sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from signupd.ledger.record import State
from signupd.signup.sealed import open_mask
from signupd.signup.transitions import state_shown

if TYPE_CHECKING:
    import uuid

    from signupd.address import Address
    from signupd.kratos.outcomes import Delivery
    from signupd.ledger.record import Record
    from signupd.policy.rules import Rules
    from signupd.sealing import KeyRing


@dataclass(frozen=True, slots=True)
class View:
    """What the contract's message Signup says. Times are in microseconds.

    Fields that do not apply to the state are None or 0.
    """

    signup_id: uuid.UUID
    state: State
    masked_email: str
    create_time: int
    expire_time: int | None = None
    resend_time: int | None = None
    code_attempts_remaining: int = 0
    resends_remaining: int = 0
    password_attempts_remaining: int = 0
    password_min_length: int | None = None
    password_max_bytes: int | None = None
    identity_id: uuid.UUID | None = None
    delivery: Delivery | None = None


def view_of(  # noqa: PLR0913 - each is a thing of its own
    record: Record,
    now: int,
    *,
    keys: KeyRing,
    rules: Rules,
    delivery: Delivery | None = None,
    address: Address | None = None,
) -> View:
    """Return a row as its caller sees it at a moment.

    Args:
        record: The row.
        now: The moment, in microseconds by the ledger's clock.
        keys: Open the mask.
        rules: What limits the view tells.
        delivery: What the courier says of the last mail, if it was asked.
        address: The row's address, if it is known; otherwise the mask is opened.

    Raises:
        SealBroken: The row's key is gone, or it was tampered with.
    """
    state = state_shown(record, now)
    match state:
        case State.CODE_REQUIRED:
            fields = _waiting_for_code(record, rules, delivery)
        case State.PASSWORD_REQUIRED:
            fields = _waiting_for_password(record, rules)
        case State.COMPLETED:
            fields = {"identity_id": record.identity_id}
        case _:
            fields = {}
    mask = (
        open_mask(keys, record.signup_id, record.sealed_mask)
        if address is None
        else address.masked
    )
    return View(record.signup_id, state, mask, record.create_time, **fields)


def _waiting_for_code(
    record: Record, rules: Rules, delivery: Delivery | None
) -> dict[str, Any]:
    attempts = max(0, rules.code_attempts - record.code_attempts)
    resends = max(0, rules.sends - record.sends) if attempts else 0
    return {
        "expire_time": record.expire_time,
        "resend_time": record.send_time + rules.resend_interval if resends else None,
        "code_attempts_remaining": attempts,
        "resends_remaining": resends,
        "delivery": delivery,
    }


def _waiting_for_password(record: Record, rules: Rules) -> dict[str, Any]:
    attempts = max(0, rules.password_attempts - record.password_attempts)
    return {
        "expire_time": record.expire_time,
        "password_attempts_remaining": attempts,
        "password_min_length": rules.password_min_length,
        "password_max_bytes": rules.password_max_bytes,
    }
