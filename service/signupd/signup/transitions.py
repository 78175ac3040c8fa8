r"""The state machine, as rules without I/O: what may happen to a row, and how.

::

           code sent                right code                   account made
    STARTING -------> CODE_REQUIRED ----------> PASSWORD_REQUIRED -----------> COMPLETED
                       |   |    \                |   |    \
                       |   |     `- account there + - + ---`-----> ALREADY_REGISTERED
                cancel |   | too late     cancel |   | too late
                       v   v                     v   v
                CANCELLED EXPIRED         CANCELLED EXPIRED

Each function returns the columns to change; the ledger applies them by compare-and-set
on the epoch. A lease reserves the row for one piece of work on Kratos; it is granted
before the step's deadline, else there is SignupExpired. One that ran out means that its
holder died, and that Kratos has to be asked what happened.
"""

import enum
import uuid
from typing import Any

from signupd.errors import SignupBusy, SignupCancelled, SignupExpired
from signupd.ledger.record import FINAL, Lease, Record, State
from signupd.policy.rules import CODE_REPEATS, Rules

Changes = dict[str, Any]

# What the hooks note under a lease.
_UNNOTED: Changes = {"flow_digest": None, "approved_until": 0, "proof_time": 0}
_FREE: Changes = {**_UNNOTED, "lease": Lease.NONE, "lease_until": 0}


class Event(enum.StrEnum):
    """What happened to a sign-up, as the metrics and the log name it."""

    STARTED = "started"
    VERIFIED = "verified"
    COMPLETED = "completed"
    ALREADY_REGISTERED = "already_registered"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


def is_busy(record: Record, now: int) -> bool:
    """Return whether a live holder is at work, or an account may still be stored."""
    until = max(record.lease_until, record.approved_until)
    return record.lease is not Lease.NONE and now < until


def needs_recovery(record: Record, now: int) -> bool:
    """Return whether a holder died, or gave up, and left the row to recovery.

    An approval may still stand. Until it has run out, an account that is found settles
    the row, and finding none does not.
    """
    return record.lease is not Lease.NONE and now >= record.lease_until


def is_expired(record: Record, now: int) -> bool:
    """Return whether the present step has expired. Work begun in time may end."""
    late = now >= record.expire_time and record.state not in FINAL
    return late and not is_busy(record, now)


def state_shown(record: Record, now: int) -> State:
    """Return the state that callers see: EXPIRED from the deadline on.

    A row that a dead call left is an exception, because Kratos has to be asked first.
    """
    late = is_expired(record, now) and record.lease is Lease.NONE
    return State.EXPIRED if late else record.state


def demand_open(record: Record, now: int) -> None:
    """Refuse a step if the sign-up has expired, was cancelled, or is at work."""
    demand_live(record, now)
    if is_busy(record, now):
        raise SignupBusy


def demand_live(record: Record, now: int) -> None:
    """Refuse a step if the sign-up has expired or was cancelled."""
    shown = state_shown(record, now)
    if shown is State.EXPIRED:
        raise SignupExpired
    if shown is State.CANCELLED:
        raise SignupCancelled


def code_sent(now: int, rules: Rules) -> Changes:
    """STARTING -> CODE_REQUIRED: a code was mailed."""
    return _moved(State.CODE_REQUIRED, now) | {"expire_time": now + rules.code_ttl}


def sending(record: Record, now: int, rules: Rules, sealed: bytes) -> Changes:
    """Grant a SENDING lease, the mail counted before it goes."""
    return {
        **_leased(Lease.SENDING, record, now, rules),
        "sealed": sealed,
        "sends": record.sends + 1,
        "send_time": now,
    }


def resend_uncounted(before: Record) -> Changes:
    """CODE_REQUIRED stays as it was: no mail was sent."""
    return _FREE | _restored(before, "sealed", "sends", "send_time")


def code_sent_again(now: int, rules: Rules, sealed: bytes) -> Changes:
    """CODE_REQUIRED stays, with another code; the time for it begins anew."""
    return {
        **_FREE,
        "sealed": sealed,
        "code_digest": None,
        "expire_time": now + rules.code_ttl,
    }


def verifying(
    record: Record, now: int, rules: Rules, digest: bytes, flow_digest: bytes
) -> Changes:
    """Grant a VERIFYING lease for one code, by one Kratos flow.

    A code that a dead holder left undecided was counted already.
    """
    return {
        **_leased(Lease.VERIFYING, record, now, rules),
        "flow_digest": flow_digest,
        "code_digest": digest,
        "code_attempts": attempts_with(record, digest),
        "code_repeats": record.code_repeats + (record.code_digest == digest),
    }


def attempts_with(record: Record, digest: bytes) -> int:
    """Count a code among those submitted, unless it may repeat the last one for free.

    The last one is undecided: Kratos may break off at it each time.
    """
    again = record.code_digest == digest and record.code_repeats < CODE_REPEATS
    return record.code_attempts + (0 if again else 1)


def code_refused(refused_digest: bytes) -> Changes:
    """CODE_REQUIRED stays: Kratos refused the code."""
    return {**_FREE, "code_digest": refused_digest}


def code_uncounted(before: Record) -> Changes:
    """CODE_REQUIRED stays, as it was before: Kratos was never reached."""
    return _FREE | _restored(before, "code_digest", "code_attempts", "code_repeats")


def flow_spent(sealed: bytes) -> Changes:
    """CODE_REQUIRED stays, but its Kratos flow takes no further code."""
    return {**_FREE, "code_digest": None, "sealed": sealed}


def proved(now: int, rules: Rules) -> Changes:
    """CODE_REQUIRED -> PASSWORD_REQUIRED: the mailbox is proved, no account there."""
    expire_time = now + rules.password_ttl
    return _moved(State.PASSWORD_REQUIRED, now) | {"expire_time": expire_time}


def setting(
    record: Record, now: int, rules: Rules, flow_digest: bytes, passwords: bytes
) -> Changes:
    """Grant a SETTING lease for one password, by one Kratos flow."""
    return {
        **_leased(Lease.SETTING, record, now, rules),
        "flow_digest": flow_digest,
        "sealed_passwords": passwords,
        "password_attempts": record.password_attempts + 1,
    }


def password_refused(before: Record) -> Changes:
    """PASSWORD_REQUIRED stays: Kratos refused the password, so it made no account."""
    return lease_ended() | _restored(before, "sealed_passwords")


def password_uncounted(before: Record) -> Changes:
    """PASSWORD_REQUIRED stays, as it was before: the password was not judged."""
    return password_refused(before) | _restored(before, "password_attempts")


def completed(now: int, identity_id: uuid.UUID, passwords: bytes | None) -> Changes:
    """PASSWORD_REQUIRED -> COMPLETED: Kratos made the account."""
    kept = {"identity_id": identity_id, "sealed_passwords": passwords}
    return ended(State.COMPLETED, now) | kept


def already_registered(now: int, *, verified: bool) -> Changes:
    """Move to ALREADY_REGISTERED, noting whether that account proved the address."""
    return ended(State.ALREADY_REGISTERED, now) | {"existing_verified": verified}


def ended(state: State, now: int) -> Changes:
    """Move to a final state, which keeps nothing of what was sealed but the mask."""
    return {**_moved(state, now), "sealed": None, "sealed_passwords": None}


def undecided() -> Changes:
    """Leave a lease to recovery: now, or when the approval has run out."""
    return {"lease_until": 0}


def lease_ended() -> Changes:
    """End a dead lease of whose work Kratos knows nothing; the attempt is kept."""
    return {**_FREE}


def _leased(lease: Lease, record: Record, now: int, rules: Rules) -> Changes:
    """Grant a lease, unless the deadline has passed since the row was read."""
    if now >= record.expire_time:
        raise SignupExpired
    return {**_UNNOTED, "lease": lease, "lease_until": now + rules.lease}


def _moved(state: State, now: int) -> Changes:
    return {**_FREE, "state": state, "state_time": now, "code_repeats": 0}


def _restored(before: Record, *columns: str) -> Changes:
    return {column: getattr(before, column) for column in columns}
