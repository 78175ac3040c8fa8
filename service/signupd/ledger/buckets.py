"""Buckets of mails: how many mails an address or a client may still ask for.

The row of a bucket holds one number, the moment at which the bucket is full again. Each
mail puts it off by the time that one mail takes to come back (the generic cell rate
algorithm of ITU-T I.371). So no job refills buckets, and a full bucket needs no row.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from signupd.errors import SendLimitReached
from signupd.ledger import statements
from signupd.ledger.database import Connection, Database

_MICROS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Debit:
    """One mail, as one bucket counts it.

    Args:
        digest: Names the bucket.
        refill: How long one mail takes to come back, in microseconds.
        room: How far off the bucket may be from being full for this mail to be allowed,
            in microseconds.
    """

    digest: bytes = field(repr=False)
    refill: int
    room: int


@dataclass(frozen=True, slots=True)
class Debited:
    """A debit that was made, and when, by the ledger's clock."""

    debit: Debit
    time: int


class Buckets:
    """Counts mails in buckets.

    Every method raises ``LedgerUnavailable`` if the database does not answer.

    Args:
        database: Where they are kept. Its clock fills them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def debit_all(self, debits: Sequence[Debit]) -> list[Debited]:
        """Count a mail in all of the buckets or in none.

        Args:
            debits: One for each bucket.

        Raises:
            SendLimitReached: One has no room; with the time until all would have.
        """
        # Always in the same order, so that two transactions do not wait for each other.
        ordered = sorted(debits, key=lambda debit: debit.digest)
        alone = contextlib.nullcontext(self._database)
        transaction = self._database.transaction() if len(debits) > 1 else alone
        async with transaction as connection:
            debited = await _debit(connection, ordered)
            if len(debited) < len(debits):
                waits = [await _wait(connection, one) for one in ordered]
                raise SendLimitReached(retry_after_seconds=max(waits) / _MICROS)
        return debited

    async def debit_each(self, debits: Sequence[Debit]) -> list[Debited]:
        """Count a mail in those of the buckets that have room."""
        return await _debit(self._database, debits)

    async def refund(self, debited: Sequence[Debited]) -> None:
        """Undo debits, less what the bucket has regained by itself since.

        Without that, hours of failing calls would add up to a burst of mails.
        """
        for one in debited:
            await self._database.execute(
                statements.REFUND,
                digest=one.debit.digest,
                refill=one.debit.refill,
                time=one.time,
            )


async def _debit(connection: Connection, debits: Sequence[Debit]) -> list[Debited]:
    """Make those of the debits that have room."""
    made = []
    for one in debits:
        row = await connection.fetch_one(
            statements.DEBIT, digest=one.digest, refill=one.refill, room=one.room
        )
        if row is not None:
            made.append(Debited(one, row[0]))
    return made


async def _wait(connection: Connection, debit: Debit) -> int:
    """Return in how many microseconds a bucket has room."""
    row = await connection.fetch_one(statements.FULL_TIME, digest=debit.digest)
    if row is None:
        return 0
    full_time, now = row
    return max(0, int(full_time) - debit.room - int(now))
