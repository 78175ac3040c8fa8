"""What is due in the ledger: a batch by each statement.

Replicas sweep at the same time without waiting for each other: PostgreSQL skips rows
that another one holds. The statement that changes rows picks and locks them too.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from signupd.ledger import statements

if TYPE_CHECKING:
    from collections.abc import Collection

    from signupd.ledger.database import Database

_BEFORE_ALL: Final = (-1, uuid.UUID(int=0))


@dataclass(frozen=True, slots=True)
class Expired:
    """A sign-up that was written down as expired, and the caller who began it."""

    signup_id: uuid.UUID
    caller: str


class Backlog:
    """Finds and clears what is due.

    Every method raises ``LedgerUnavailable`` if the database does not answer.

    Args:
        database: Of the ledger.
        batch: How many rows one call takes at the most.
    """

    def __init__(self, database: Database, batch: int) -> None:
        self._database = database
        self._after = _BEFORE_ALL
        self.batch = batch

    async def ping(self) -> None:
        """Run a query that reads nothing."""
        await self._database.fetch_one(statements.PING)

    async def read_clock(self) -> None:
        """Continue from the database's time, however long nothing was read."""
        await self._database.read_clock()

    async def under_way(self) -> dict[str, int]:
        """Count the sign-ups that wait for a code or a password, by state."""
        rows = await self._database.fetch_all(statements.UNDER_WAY)
        return {str(state): int(count) for state, count in rows}

    async def unopened(self, heads: Collection[bytes], most: int) -> list[uuid.UUID]:
        """List sign-ups under way whose seal begins with none of these.

        Args:
            heads: Beginnings of sealed columns, all of one length.
            most: How many to list at the most.
        """
        known = sorted(heads)
        rows = await self._database.fetch_all(
            statements.sealed_otherwise(len(known)),
            length=len(known[0]),
            most=most,
            **{f"head_{n}": head for n, head in enumerate(known)},
        )
        return [row[0] for row in rows]

    async def end_all_leases(self) -> int:
        """Declare every lease dead. Only for a ledger that no other server uses."""
        return await self._database.execute(statements.END_ALL_LEASES)

    async def dead_leases(self) -> list[uuid.UUID]:
        """List a batch of sign-ups whose lease ran out.

        Each call continues where the last one stopped, and begins anew at the end: rows
        that fail again and again do not hold up the others.
        """
        after_until, after_id = self._after
        rows = await self._database.fetch_all(
            statements.DEAD_LEASES,
            after_until=after_until,
            after_id=after_id,
            batch=self.batch,
        )
        full = len(rows) == self.batch
        self._after = (rows[-1][1], rows[-1][0]) if full else _BEFORE_ALL
        return [row[0] for row in rows]

    async def expire(self) -> list[Expired]:
        """Write down a batch of sign-ups that have expired and have no lease."""
        rows = await self._database.fetch_all(statements.EXPIRE, batch=self.batch)
        return [Expired(*row) for row in rows]

    async def forget_passwords(self, before: int) -> int:
        """Erase the password digests of sign-ups completed before a moment."""
        return await self._database.execute(
            statements.FORGET_PASSWORDS, before=before, batch=self.batch
        )

    async def forget_signups(self, before: int) -> int:
        """Delete sign-ups that were final before a moment."""
        return await self._database.execute(
            statements.FORGET_SIGNUPS, before=before, batch=self.batch
        )

    async def forget_buckets(self) -> int:
        """Delete buckets that are full again: a bucket without a row is full."""
        return await self._database.execute(statements.FORGET_BUCKETS, batch=self.batch)
