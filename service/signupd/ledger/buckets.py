"""Buckets: how many mails and wrong codes are still allowed.

The row of a bucket holds one number, the moment at which the bucket is full again. Each
debit puts it off by the time that one debit takes to come back (the generic cell rate
algorithm of ITU-T I.371). So no job refills buckets, and a full bucket needs no row.

The functions are transactions, or parts of one (``Database.transact``).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from signupd.ledger import statements
from signupd.ledger.database import Steps, Values


@dataclass(frozen=True, slots=True)
class Limit:
    """The size of a bucket, and how fast it fills."""

    size: int  # how many debits a full one holds; at least one
    refill: int  # how long one takes to come back, in microseconds

    @property
    def whole(self) -> int:
        """How long an empty bucket takes to fill."""
        return self.size * self.refill


@dataclass(frozen=True, slots=True)
class Debit:
    """One debit on the bucket ``digest``, made if at least ``leaves`` debits remain.

    ``leaves`` is negative for a debit that is counted rather than refused. It is at
    least minus the size, so that a bucket in debt fills again.
    """

    digest: bytes = field(repr=False)
    limit: Limit
    leaves: int = 0

    @property
    def room(self) -> int:
        """How far from full the bucket may be, in microseconds."""
        return (self.limit.size - 1 - self.leaves) * self.limit.refill


@dataclass(frozen=True, slots=True)
class Debited:
    """A debit that was made, and when, by the ledger's clock."""

    debit: Debit
    time: int


def ask(digest: bytes, span: int) -> Steps[Values | None]:
    """Note that a client asks, for ``span``; return what ``unask`` takes the note by.

    None says that an earlier note stands.
    """
    rows = yield statements.ASK, {"digest": digest, "span": span}
    full_time, stood = rows[0]
    return None if stood else {"digest": digest, "full_time": full_time}


def unask(note: Values) -> Steps[None]:
    """Take a note back, unless a later call has renewed it."""
    yield statements.UNASK, note


def debit_all(debits: Sequence[Debit]) -> Steps[list[Debited] | int]:
    """Make all debits, or none and return the microseconds until all have room.

    Transactions that debit several buckets must name them in the same order of kinds,
    so that they do not wait for each other.
    """
    made: list[Debited] = []
    for one in debits:
        rows = yield _debit(one)
        if not rows:
            yield from refund(made)
            longest = 1
            for other in debits:
                longest = max(longest, (yield from wait(other)))
            return longest
        made.append(Debited(one, rows[0][0]))
    return made


def debit_each(debits: Iterable[Debit]) -> Steps[list[Debited]]:
    """Make those of the debits that have room."""
    made = []
    for one in debits:
        rows = yield _debit(one)
        if rows:
            made.append(Debited(one, rows[0][0]))
    return made


def refund(debited: Iterable[Debited]) -> Steps[None]:
    """Undo debits, less what the bucket has regained by itself since.

    Without that, hours of failing calls would add up to a burst of mails.
    """
    for one in debited:
        digest, refill = one.debit.digest, one.debit.limit.refill
        yield statements.REFUND, {"digest": digest, "refill": refill, "time": one.time}


def wait(debit: Debit) -> Steps[int]:
    """Return in how many microseconds a debit has room; 0 if it has."""
    rows = yield statements.FULL_TIME, {"digest": debit.digest}
    if not rows:
        return 0
    full_time, now = rows[0]
    return max(0, int(full_time) - debit.room - int(now))


def fill(digest: bytes) -> Steps[None]:
    """Fill a bucket at once."""
    yield statements.FILL, {"digest": digest}


def _debit(debit: Debit) -> tuple[str, Values]:
    limit = debit.limit
    return statements.DEBIT, {
        "digest": debit.digest,
        "refill": limit.refill,
        "room": debit.room,
        "longest": 2 * limit.whole,  # at the deepest debt
    }
