"""The outbox' counts: how many events there were of each kind since the ledger began.

To count the rows takes the longer the more there are, and some replica is asked every
few seconds. So the sweeper adds them up as they come, and what is left to count are
those since its last round. A trigger on the watermark does the adding, in the
transaction that moves it (migration 0005).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from signupd.ledger.record import WAITING, Event
from signupd.ledger.tables import event_totals, event_watermark, events, signups

if TYPE_CHECKING:
    from signupd.ledger.database import Database

# Events that one statement adds up at the most; that takes it a millisecond or two.
MOST_AT_ONCE: Final = 1000

_MARK: Final = event_watermark.c
_THE_ROW: Final = _MARK.id == 1
ADDED_UP: Final = sa.select(_MARK.counted).where(_THE_ROW).scalar_subquery()
# In the place of an event's kind.
_IN_PROGRESS: Final = "in_progress"
# Whether a row's count is pending: yet to be added up.
_PENDING: Final[sa.ColumnClause[int]] = sa.literal_column("1")
_NOT_PENDING: Final[sa.ColumnClause[int]] = sa.literal_column("0")


@dataclass(frozen=True, slots=True)
class Counts:
    """What one look at the ledger counts.

    Started is the sum of completed, already registered, expired, cancelled and in
    progress, always.

    Args:
        events: How many events of each kind there were since the ledger began.
        in_progress: How many sign-ups wait for a code or a password.
        pending: How many of the events are not added up yet.
    """

    events: dict[str, int]
    in_progress: int
    pending: int


class Outbox:
    """Counts events.

    Every method raises ``LedgerUnavailable`` when the database does not answer.

    Args:
        database: Of the ledger.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        # SQLite has one writer at a time, so no event comes before one that is there.
        # In PostgreSQL one may: its id is given before it is committed. But not before
        # its transaction has a number, since a change of the sign-up comes first.
        self._own: sa.ColumnElement[int] = sa.literal(0)
        self._oldest: sa.ColumnElement[int] = sa.literal(1)
        self._next: sa.ColumnElement[int] = sa.literal(1)
        if database.shared:
            snapshot = sa.func.pg_current_snapshot()
            self._own = _number(sa.func.pg_current_xact_id())
            self._oldest = _number(sa.func.pg_snapshot_xmin(snapshot))
            self._next = _number(sa.func.pg_snapshot_xmax(snapshot))

    async def counts(self) -> Counts:
        """Count all of it with one statement, so that the sum is right."""
        added_up = sa.select(event_totals.c.kind, event_totals.c["count"], _NOT_PENDING)
        since = (
            sa.select(events.c.kind, sa.func.count(), _PENDING)
            .where(events.c.event_id > ADDED_UP)
            .group_by(events.c.kind)
        )
        open_now = sa.select(
            sa.literal(_IN_PROGRESS), sa.func.count(), _NOT_PENDING
        ).where(signups.c.state.in_(WAITING))
        rows: sa.CompoundSelect[Any] = sa.union_all(
            _as_text(added_up), _as_text(since), open_now
        )
        counts: dict[str, int] = {event.value: 0 for event in Event}
        pending = 0
        for kind, count, is_pending in (await self._database.run(rows)).rows:
            counts[kind] = counts.get(kind, 0) + count
            pending += count if is_pending else 0
        return Counts(counts, counts.pop(_IN_PROGRESS), pending)

    async def look(self) -> None:
        """Note the newest event, and the newest of the transactions that write.

        What was seen is added up when those that were under way are over: the ids of
        their events may be lower. Until then nothing else is noted, or there would be
        others under way each time. A number that is yet to come is another server's,
        from which this ledger was restored.
        """
        newest = sa.select(sa.func.max(events.c.event_id)).scalar_subquery()
        is_due = sa.or_(_MARK.counted == _MARK.seen, _MARK.seen_by >= self._next)
        await self._database.run(
            event_watermark.update()
            .where(_THE_ROW, newest > _MARK.seen, is_due)
            .values(seen=newest, seen_by=self._own)
        )

    async def add_up(self) -> bool:
        """Add some of the events that were seen to the totals.

        Returns:
            Whether there are more of them.
        """
        last_of_some = (
            sa.select(events.c.event_id)
            .where(events.c.event_id > _MARK.counted, events.c.event_id < _MARK.seen)
            .order_by(events.c.event_id)
            .offset(MOST_AT_ONCE - 1)
            .limit(1)
            .scalar_subquery()
        )
        statement = (
            event_watermark.update()
            .where(_THE_ROW, _MARK.counted < _MARK.seen, _MARK.seen_by < self._oldest)
            .values(counted=sa.func.coalesce(last_of_some, _MARK.seen))
            .returning(_MARK.counted < _MARK.seen)
        )
        return any((await self._database.run(statement)).scalars)


def _number(transaction: sa.Function[Any]) -> sa.ColumnElement[int]:
    """Make a transaction's id, which PostgreSQL does not calculate with, a number."""
    return sa.cast(sa.cast(transaction, sa.String), sa.BigInteger)


def _as_text(query: sa.Select[Any]) -> sa.Select[Any]:
    kind, *others = query.selected_columns
    return query.with_only_columns(sa.cast(kind, sa.String), *others)
