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
    """Draws on buckets.

    Every method raises ``LedgerUnavailable`` if the database does not answer.

    Args:
        database: Where they are kept. Its clock fills them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, draws: Sequence[Draw]) -> list[Drawn]:
        """Draw on all of the buckets or on none.

        Args:
            draws: One for each bucket.

        Raises:
            SendLimitReached: One has no room; with the time until all would have.
        """
        # Always in the same order, so that two transactions do not wait for each other.
        ordered = sorted(draws, key=lambda draw: draw.digest)
        async with self._atomically(draws) as connection:
            drawn = [taken for one in ordered for taken in await _draw(connection, one)]
            if len(drawn) < len(draws):
                waits = [await _wait(connection, one) for one in ordered]
                raise SendLimitReached(retry_after_seconds=max(waits) / _MICROS)
        return drawn

    async def draw(self, draws: Sequence[Draw]) -> list[Drawn]:
        """Draw on those of the buckets that have room."""
        return [taken for one in draws for taken in await _draw(self._database, one)]

    async def give_back(self, drawn: Sequence[Drawn]) -> None:
        """Undo draws.

        What has come back by itself meanwhile is not given again: else calls that fail,
        one after the other for hours, would save up for a burst.
        """
        for one in drawn:
            await self._database.execute(
                statements.GIVE_BACK,
                digest=one.draw.digest,
                refill=one.draw.refill,
                time=one.time,
            )

    def _atomically(
        self, draws: Sequence[Draw]
    ) -> contextlib.AbstractAsyncContextManager[Connection]:
        """Begin a transaction, unless there is but one draw, which needs none."""
        if len(draws) > 1:
            return self._database.transaction()
        return contextlib.nullcontext(self._database)


async def _draw(connection: Connection, draw: Draw) -> list[Drawn]:
    row = await connection.fetch_one(
        statements.DRAW, digest=draw.digest, refill=draw.refill, room=draw.room
    )
    return [] if row is None else [Drawn(draw, row[0])]


async def _wait(connection: Connection, draw: Draw) -> int:
    """Return in how many microseconds a bucket has room."""
    row = await connection.fetch_one(statements.FULL_TIME, digest=draw.digest)
    if row is None:
        return 0
    full_time, now = row
    return max(0, int(full_time) - draw.room - int(now))
