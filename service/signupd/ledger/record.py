"""One sign-up as the ledger keeps it: a row, its states and its lease."""

import enum
import uuid
from typing import NamedTuple


class State(enum.StrEnum):
    """Where a sign-up stands. STARTING: no code is known to have been mailed yet."""

    STARTING = "starting"
    CODE_REQUIRED = "code_required"
    PASSWORD_REQUIRED = "password_required"  # noqa: S105 - a state
    COMPLETED = "completed"
    ALREADY_REGISTERED = "already_registered"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


# The states that never change again.
FINAL = frozenset(
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


# The kinds of work.
WORK = (Lease.SENDING, Lease.VERIFYING, Lease.SETTING)


class Record(NamedTuple):
    """One row of the table, by its columns' names; defaults are those of a new row.

    A named tuple: each step of a sign-up makes some, and a frozen data class of this
    many fields takes ten times as long. Times are microseconds since the Unix epoch, by
    the ledger's clock. Digests are keyed.
    """

    # ``Ledger`` reads the first three by their places.
    signup_id: uuid.UUID  # random (version 4); public
    state: State
    lease: Lease
    lease_until: int  # a stale lease means that its holder died
    address_digest: bytes  # of the canonical address
    sealed: bytes | None  # address, traits, locale, Kratos flow ids; None when final
    sealed_mask: bytes  # the masked address; kept
    create_time: int  # when StartSignup was called
    send_time: int  # when the last mail was asked for
    expire_time: int  # when the current step lapses
    state_time: int  # when the state changed last
    # Counts the row's changes; every change names the epoch it builds on.
    epoch: int = 1
    # Until when Kratos may still store the account that the password hook approved; 0
    # if it approved none.
    approved_until: int = 0
    proof_time: int = 0  # when the code hook was asked under a VERIFYING lease, or 0
    code_digest: bytes | None = None  # of the code submitted last
    flow_digest: bytes | None = None  # of a VERIFYING or SETTING lease's flow
    sealed_passwords: bytes | None = None  # salted digests of the passwords tried
    identity_id: uuid.UUID | None = None  # the account's in Kratos, once completed
    # Of ALREADY_REGISTERED: whether that account has the address verified.
    existing_verified: bool | None = None
    code_attempts: int = 0
    code_repeats: int = 0  # of an undecided code, then wrong ones after the proof
    password_attempts: int = 0  # passwords that Kratos refused or accepted
    password_repeats: int = 0  # other passwords tried after the account was made
    sends: int = 1  # mails asked for, including the first
    caller: str = ""  # the client whose request_id it is; empty without certificates
    request_id: uuid.UUID | None = None  # that of StartSignup
    request_digest: bytes | None = None  # of what came with request_id
