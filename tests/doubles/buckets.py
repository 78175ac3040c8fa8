"""Buckets of mails in memory, by another rule than the ledger's.

The ledger keeps the moment at which a bucket is full again. This model keeps what is
owed and when that was last computed, so that a test can compare the two.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from signupd.errors import SendLimitReached
from signupd.ledger.buckets import Debit, Debited

MICROSECONDS = 1_000_000


@dataclass(slots=True)
class Owed:
    """How far a bucket is from full, in microseconds, at a moment."""

    micros: int
    at: int


class MemoryBuckets:
    """Buckets of one process.

    Args:
        clock: Microseconds.

    Attributes:
        counted: The mails that were counted and not given back.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._owed: dict[bytes, Owed] = {}
        self.counted = 0

    async def debit_all(self, debits: Sequence[Debit]) -> list[Debited]:
        """Debit on all or on none."""
        wait = max(self._now_owed(one).micros - one.room for one in debits)
        if wait > 0:
            raise SendLimitReached(retry_after_seconds=wait / MICROSECONDS)
        return await self.debit_each(debits)

    async def debit_each(self, debits: Sequence[Debit]) -> list[Debited]:
        """Debit on those that have room."""
        fitting = [one for one in debits if self._now_owed(one).micros <= one.room]
        for one in fitting:
            self._owed[one.digest].micros += one.refill
        self.counted += 1
        return [Debited(one, self._clock()) for one in fitting]

    async def refund(self, debited: Sequence[Debited]) -> None:
        """Undo debits, but for what has come back by itself."""
        for one in debited:
            back = one.debit.refill - (self._clock() - one.time)
            owed = self._now_owed(one.debit)
            owed.micros = max(0, owed.micros - max(0, back))
        self.counted -= 1

    def _now_owed(self, debit: Debit) -> Owed:
        now = self._clock()
        owed = self._owed.setdefault(debit.digest, Owed(0, now))
        owed.micros, owed.at = max(0, owed.micros - (now - owed.at)), now
        return owed
