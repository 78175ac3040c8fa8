"""One sign-up as the ledger keeps it: a row, its states and its lease."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import uuid


class State(enum.StrEnum):
    """Where a sign-up stands. STARTING: no code is known to have been mailed yet."""

    STARTING = "starting"
    CODE_REQUIRED = "code_required"
    PASSWORD_REQUIRED = "password_required"  # noqa: S105 - a state
    COMPLETED = "completed"
    ALREADY_REGISTERED = "already_registered"
    EXPIRED = "expired"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing can come after it."""
        return self in _FINAL


_FINAL = frozenset(
    {State.COMPLETED, State.ALREADY_REGISTERED, State.EXPIRED, State.CANCELLED}
)
# The states that wait for a code or a password.
WAITING = (State.CODE_REQUIRED, State.PASSWORD_REQUIRED)


class Lease(enum.StrEnum):
    """The work on Kratos that a sign-up is reserved for."""

    NONE = "none"
    SENDING = "sending"
    VERIFYING = "verifying"
    SETTING = "setting"


class Record(NamedTuple):
    """One row, its fields in the order of the table's columns.

    A tuple, since each step makes some, and a data class takes five times as long.
    Times are microseconds since the Unix epoch, by the ledger's clock.

    Args:
        signup_id: A random UUID (version 4); public.
        state: Where the sign-up stands.
        lease: The work it is reserved for.
        epoch: Counts the row's changes; every change names the epoch it builds on.
        lease_until: When the lease runs out. A lease found run out means that its
            holder died.
        approved_until: Until when Kratos may still store what the password hook
            approved; 0 if it approved nothing.
        address_digest: Keyed digest of the canonical address.
        sealed: Address, traits, locale and Kratos flow ids, sealed; none when final.
        sealed_mask: The masked address, sealed; kept.
        code_digest: Keyed digest of the code submitted last.
        password_flow_digest: Keyed digest of the flow a SETTING lease is for.
        sealed_passwords: Salted, keyed digests of the passwords tried, sealed.
        identity_id: The account's id in Kratos, once completed.
        code_attempts: Codes tried.
        code_repeats: Wrong codes tried after the proof.
        password_attempts: Passwords that Kratos refused or took.
        sends: Mails asked for; the first counts.
        create_time: When StartSignup came.
        send_time: When the last mail was asked for.
        expire_time: When the present step lapses.
        state_time: When the state changed last.
        caller: Whom ``request_id`` belongs to; empty without client certificates.
        request_id: StartSignup's, or none.
        request_digest: Keyed digest of what came with ``request_id``.
    """

    signup_id: uuid.UUID
    state: State
    lease: Lease
    epoch: int
    lease_until: int
    approved_until: int
    address_digest: bytes
    sealed: bytes | None
    sealed_mask: bytes
    code_digest: bytes | None
    password_flow_digest: bytes | None
    sealed_passwords: bytes | None
    identity_id: uuid.UUID | None
    code_attempts: int
    code_repeats: int
    password_attempts: int
    sends: int
    create_time: int
    send_time: int
    expire_time: int
    state_time: int
    caller: str
    request_id: uuid.UUID | None
    request_digest: bytes | None
