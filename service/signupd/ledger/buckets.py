"""Buckets of mails: what an address, or a client, may still have sent.

A bucket is one number, the moment at which it is full again; each mail puts that off by
the time one mail takes to come back (the generic cell rate algorithm of ITU-T I.371).
So nothing has to be refilled, and a bucket that is full needs no row.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from signupd.errors import SendLimitReached
from signupd.ledger import statements

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    """A debit that was made.

    Args:
        debit: As it was asked for.
        time: When it was made, by the ledger's clock.
    """

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
        async with self._atomically(debits) as connection:
            debited = [
                made for one in ordered for made in await _debit(connection, one)
            ]
            if len(debited) < len(debits):
                waits = [await _wait(connection, one) for one in ordered]
                raise SendLimitReached(retry_after_seconds=max(waits) / _MICROS)
        return debited

    async def debit_each(self, debits: Sequence[Debit]) -> list[Debited]:
        """Count a mail in those of the buckets that have room."""
        return [made for one in debits for made in await _debit(self._database, one)]

    async def refund(self, debited: Sequence[Debited]) -> None:
        """Undo debits, less what has come back by itself since.

        Otherwise calls that fail one after the other for hours save up for a burst.
        """
        for one in debited:
            await self._database.execute(
                statements.REFUND,
                digest=one.debit.digest,
                refill=one.debit.refill,
                time=one.time,
            )

    def _atomically(
        self, debits: Sequence[Debit]
    ) -> contextlib.AbstractAsyncContextManager[Connection]:
        """Begin a transaction, unless there is only one debit."""
        if len(debits) > 1:
            return self._database.transaction()
        return contextlib.nullcontext(self._database)


async def _debit(connection: Connection, debit: Debit) -> list[Debited]:
    row = await connection.fetch_one(
        statements.DEBIT, digest=debit.digest, refill=debit.refill, room=debit.room
    )
    return [] if row is None else [Debited(debit, row[0])]


async def _wait(connection: Connection, debit: Debit) -> int:
    """Return in how many microseconds a bucket has room."""
    row = await connection.fetch_one(statements.FULL_TIME, digest=debit.digest)
    if row is None:
        return 0
    full_time, now = row
    return max(0, int(full_time) - debit.room - int(now))
