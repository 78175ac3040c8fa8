"""What has fallen due in the ledger: a batch at a time, a few rows by each statement.

Replicas sweep at the same time without getting in each other's way: PostgreSQL skips
rows that another one holds. The statement that changes rows picks and locks them, too,
and then finds them by their keys; with a second look at their states SQLite goes
through all that are in these states, for each batch.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from signupd.ledger.outbox import ADDED_UP
from signupd.ledger.record import WAITING, Lease, State
from signupd.ledger.tables import LEASED, events, send_buckets, signups

if TYPE_CHECKING:
    import uuid
    from collections.abc import Awaitable, Callable, Collection

    from signupd.ledger.database import Database

_FINAL = [state for state in State if state.final]

# By the ids alone SQLite would go through all rows in their order, for want of a few.
_BY_ID = sa.func.coalesce(signups.c.signup_id, signups.c.signup_id)

# Rows that one statement changes at the most: what others commit meanwhile waits until
# all that it has written is on the disk.
AT_ONCE: Final = 10
_MOST: Final = sa.bindparam("most", type_=sa.Integer)


class Backlog:
    """Finds and clears what has fallen due.

    Every method raises ``LedgerUnavailable`` when the database does not answer.

    Args:
        database: Of the ledger.
        batch: How many rows one call takes at the most.
        rest: Waits for so many seconds.
    """

    def __init__(
        self,
        database: Database,
        batch: int,
        rest: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._database = database
        self._rest = rest
        self.batch = batch

    async def ping(self) -> None:
        """Ask the database for a sign of life."""
        await self._database.run(sa.select(sa.literal(1)))

    async def set_clock(self) -> None:
        """Go by the database's clock from here on, however long nothing was read."""
        await self._database.set_clock()

    async def unopened(self, heads: Collection[bytes], most: int) -> list[uuid.UUID]:
        """Name sign-ups under way that are sealed otherwise than all of these begin.

        Args:
            heads: Beginnings of sealed columns, all of one length.
            most: How many to name at the most.
        """
        length = len(next(iter(heads)))
        head = sa.func.substr(signups.c.sealed, 1, length, type_=sa.LargeBinary)
        query = (
            sa.select(signups.c.signup_id)
            .where(
                signups.c.state.in_([State.STARTING, *WAITING]),
                head.not_in(sorted(heads)),
            )
            .limit(most)
        )
        return (await self._database.run(query)).scalars

    async def end_all_leases(self) -> int:
        """Declare every lease dead. Only for a ledger that nobody else works on."""
        statement = (
            signups.update().where(signups.c.lease != Lease.NONE).values(lease_until=0)
        )
        return (await self._database.run(statement)).count

    async def dead_leases(self, after: uuid.UUID | None) -> list[uuid.UUID]:
        """Name sign-ups whose lease ran out, by ascending id.

        Args:
            after: The last id of the batch before, or None to begin.
        """
        now = self._database.now()
        query = (
            sa.select(signups.c.signup_id)
            .where(
                LEASED, signups.c.lease_until <= now, signups.c.approved_until <= now
            )
            .order_by(_BY_ID)
            .limit(self.batch)
        )
        if after is not None:
            query = query.where(after < _BY_ID)
        return (await self._database.run(query)).scalars

    async def expire(self) -> int:
        """Write down that sign-ups have expired that nobody is at work on."""
        now = self._database.now()
        due = self._some(
            signups.c.state.in_(WAITING),
            signups.c.lease == Lease.NONE,
            signups.c.expire_time <= now,
        )
        statement = (
            signups.update()
            .where(signups.c.signup_id.in_(due))
            .values(
                state=State.EXPIRED,
                state_time=now,
                epoch=signups.c.epoch + 1,
                sealed=None,
                sealed_passwords=None,
                password_flow_digest=None,
            )
        )
        return await self._count(statement)

    async def forget_passwords(self, before: int) -> int:
        """Erase the password digests of sign-ups completed before a moment."""
        due = self._some(
            signups.c.state == State.COMPLETED,
            signups.c.sealed_passwords.is_not(None),
            signups.c.state_time <= before,
        )
        statement = (
            signups.update()
            .where(signups.c.signup_id.in_(due))
            .values(sealed_passwords=None, epoch=signups.c.epoch + 1)
        )
        return await self._count(statement)

    async def forget_signups(self, before: int) -> int:
        """Delete sign-ups that were final before a moment."""
        due = self._some(signups.c.state.in_(_FINAL), signups.c.state_time <= before)
        return await self._count(signups.delete().where(signups.c.signup_id.in_(due)))

    async def forget_events(self, before: int) -> int:
        """Delete events from before a moment that are in the totals."""
        due = (
            sa.select(events.c.event_id)
            .where(events.c.event_time <= before, events.c.event_id <= ADDED_UP)
            .order_by(events.c.event_time)  # as its index has them
            .limit(_MOST)
            .with_for_update(skip_locked=True)
        )
        return await self._count(events.delete().where(events.c.event_id.in_(due)))

    async def forget_buckets(self) -> int:
        """Delete buckets that are full again: one that is not there is full."""
        due = (
            sa.select(send_buckets.c.digest)
            .where(send_buckets.c.full_time <= self._database.beginning)
            .limit(_MOST)
            .with_for_update(skip_locked=True)
        )
        return await self._count(
            send_buckets.delete().where(send_buckets.c.digest.in_(due))
        )

    def _some(self, *where: sa.ColumnElement[bool]) -> sa.Select[Any]:
        """Pick some rows, leaving out those that another replica holds."""
        return (
            sa.select(signups.c.signup_id)
            .where(*where)
            .limit(_MOST)
            .with_for_update(skip_locked=True)
        )

    async def _count(self, statement: sa.Update | sa.Delete) -> int:
        """Have a statement that changes some rows change a batch, a few at a time.

        After each time callers have the database to themselves for as long.
        """
        count = 0
        while count < self.batch:
            most = min(AT_ONCE, self.batch - count)
            begun = time.monotonic()
            met = (await self._database.run(statement, {_MOST.key: most})).count
            await self._rest(time.monotonic() - begun)
            count += met
            if met < most:
                break
        return count
