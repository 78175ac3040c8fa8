"""Buckets of mails: what an address, or a client, may still have sent.

A bucket is one number, the moment at which it is full again; each mail puts that off by
the time one mail takes to come back (the generic cell rate algorithm of ITU-T I.371).
So nothing has to be refilled, and a bucket that is full needs no row.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from signupd.errors import SendLimitReached, SignupBusy
from signupd.ledger.statements import ConstraintBroken
from signupd.ledger.tables import send_buckets, signups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.sql.dml import ReturningInsert

    from signupd.ledger.database import Database
    from signupd.ledger.record import Record

# An address and a client; statements are made beforehand, for as many draws as this.
MOST_DRAWS: Final = 2
_MICROS: Final = 1_000_000
_row: Final = send_buckets.c


@dataclass(frozen=True, slots=True)
class Draw:
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
class Drawn:
    """A draw that was made.

    Args:
        draw: As it was asked for.
        time: When it was made, by the ledger's clock.
    """

    draw: Draw
    time: int


class Buckets:
    """Draws on buckets, each time by one statement that holds against all others.

    Every method raises ``LedgerUnavailable`` when the database does not answer.

    Args:
        database: Where they are kept. Its clock fills them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        drawing = [_drawing(database, n + 1) for n in range(MOST_DRAWS)]
        self._alone = [database.prepare(one) for one in drawing]
        self._beginning = [
            database.prepare_both(one, signups.insert(), n + 1)
            for n, one in enumerate(drawing)
        ]

    async def take(
        self, draws: Sequence[Draw], beginning: Record | None = None
    ) -> list[Drawn]:
        """Draw on all of the buckets or on none.

        Args:
            draws: One for each bucket.
            beginning: A new row of a sign-up, inserted with that or not at all.

        Raises:
            SendLimitReached: One has no room; with the time until all would have.
            SignupBusy: The row's caller used its request id before.
        """
        drawn = await self._draw(draws, beginning)
        if len(drawn) == len(draws):
            return drawn
        # Somebody was faster on the other one, after this statement looked at it.
        await self.give_back(drawn)
        raise SendLimitReached(retry_after_seconds=await self._wait(draws) / _MICROS)

    async def draw(self, draws: Sequence[Draw]) -> list[Drawn]:
        """Draw on those of the buckets that have room."""
        return [drawn for one in draws for drawn in await self._draw([one])]

    async def give_back(self, drawn: Sequence[Drawn]) -> None:
        """Undo draws.

        What has come back by itself meanwhile is not given again: else calls that fail,
        one after the other for hours, would save up for a burst.
        """
        for one in drawn:  # one at a time, so that nobody waits who holds another lock
            digest, refill = one.draw.digest, one.draw.refill
            passed = _later(self._database.moment - one.time, sa.literal(0))
            statement = (
                send_buckets.update()
                .where(_row.digest == digest, passed < refill)
                .values(full_time=_row.full_time - refill + passed)
            )
            await self._database.run(statement)

    async def _draw(
        self, draws: Sequence[Draw], beginning: Record | None = None
    ) -> list[Drawn]:
        values, statements = _values(draws), self._alone
        if beginning is not None:
            values, statements = values | beginning._asdict(), self._beginning
        try:
            rows = (await self._database.run(statements[len(draws) - 1], values)).rows
        except ConstraintBroken as error:
            raise SignupBusy from error
        times: dict[bytes, int] = {row[0]: row[1] for row in rows}
        return [Drawn(one, times[one.digest]) for one in draws if one.digest in times]

    async def _wait(self, draws: Sequence[Draw]) -> int:
        """Tell in how many microseconds all of the buckets have room."""
        room = sa.case(*[(_row.digest == one.digest, one.room) for one in draws])
        query = sa.select(sa.func.max(_row.full_time - room)).where(
            _row.digest.in_([one.digest for one in draws])
        )
        read = await self._database.read_one(self._database.timed(query))
        if read is None:
            raise AssertionError("an aggregate is always one row")
        (free_time,), now = read
        return max(0, (free_time or now) - now)


def _drawing(database: Database, count: int) -> ReturningInsert[Any]:
    """Make the statement that draws on so many buckets.

    It returns the digests of those it drew on, and when. If it sees one without room it
    touches none: who may not draw on the one must not wear out the other.
    """
    now, slots = database.beginning, [_slot(n) for n in range(count)]
    # Each found by its key: of two at once PostgreSQL would look through all.
    spent = sa.or_(
        *[
            sa.exists().where(_row.digest == digest, _row.full_time > now + room)
            for digest, _, room in slots
        ]
    )
    drawn = [
        sa.select(digest, now + refill).where(~spent) for digest, refill, _ in slots
    ]
    insert_into = postgresql.insert if database.shared else sqlite.insert
    insert = insert_into(send_buckets).from_select(
        ["digest", "full_time"], sa.union_all(*drawn)
    )
    # Where there is a row already, its figures are found by its digest.
    refill = sa.case(*[(_row.digest == digest, refill) for digest, refill, _ in slots])
    room = sa.case(*[(_row.digest == digest, room) for digest, _, room in slots])
    first = insert.excluded.full_time  # what it would be if the bucket had been full
    return insert.on_conflict_do_update(
        index_elements=[_row.digest],
        set_={"full_time": _later(_row.full_time + refill, first)},
        where=_row.full_time <= first - refill + room,
    ).returning(_row.digest, now.label("time"))


def _slot(n: int) -> tuple[sa.ColumnElement[Any], ...]:
    """Make the places in a statement for the figures of a draw."""
    return (
        sa.bindparam(f"digest_{n}", type_=sa.LargeBinary),
        sa.bindparam(f"refill_{n}", type_=sa.BigInteger),
        sa.bindparam(f"room_{n}", type_=sa.BigInteger),
    )


def _values(draws: Sequence[Draw]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for n, one in enumerate(draws):
        values |= {
            f"digest_{n}": one.digest,
            f"refill_{n}": one.refill,
            f"room_{n}": one.room,
        }
    return values


def _later(
    one: sa.ColumnElement[int], other: sa.ColumnElement[int]
) -> sa.ColumnElement[int]:
    return sa.case((one > other, one), else_=other)
