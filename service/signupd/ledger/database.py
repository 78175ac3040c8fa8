"""The ledger's database: its connections, its clock, its troubles translated."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from signupd.errors import LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

_MICROS: Final = 1_000_000


def _in_micros(timestamp: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    epoch = sa.func.extract("epoch", timestamp)
    return sa.cast(epoch * _MICROS, sa.BigInteger)


# PostgreSQL's own clock, not the start of the statement.
POSTGRESQL_NOW: Final = _in_micros(sa.func.clock_timestamp())


def steady_clock() -> Callable[[], int]:
    """Make a clock of microseconds since the Unix epoch that is never set.

    It takes the machine's time once and runs on evenly: a step of the machine's clock
    must neither end a lease nor bring a dead one back.
    """
    ahead = time.time_ns() - time.monotonic_ns()
    return lambda: (time.monotonic_ns() + ahead) // 1000


class Database:
    """A ledger's database.

    All deadlines and leases go by one clock. SQLite has none better than the machine's.
    With PostgreSQL it is the server's, so that replicas whose clocks differ agree: each
    read brings its time along, and between reads this process' own clock runs on.

    Args:
        engine: From ``open_engine``.
        clock: Microseconds since the Unix epoch, never set back.
    """

    def __init__(self, engine: AsyncEngine, clock: Callable[[], int]) -> None:
        self._engine = engine
        self._clock = clock
        self._ahead = 0
        self.shared = engine.dialect.name == "postgresql"
        # The same clock inside a statement: as it goes on while the statement runs, or
        # waits for a lock; and as it stood when the statement began.
        self.moment: sa.ColumnElement[int] = POSTGRESQL_NOW
        self.beginning = _in_micros(sa.func.statement_timestamp())
        if not self.shared:
            self.moment = self.beginning = sa.bindparam(
                "moment", callable_=self.now, type_=sa.BigInteger
            )

    async def close(self) -> None:
        """Close all connections."""
        await self._engine.dispose()

    def now(self) -> int:
        """Tell the time that deadlines go by, in microseconds."""
        return self._clock() + self._ahead

    async def set_clock(self) -> None:
        """Read the database's clock, if it has one, before anything goes by it."""
        if self.shared:
            async with self.connection() as connection:
                now = (await connection.execute(sa.select(POSTGRESQL_NOW))).scalar_one()
            self._ahead = now - self._clock()

    async def read_one(self, query: sa.Select[Any]) -> tuple[Sequence[Any], int] | None:
        """Read one row, and the moment at which it was read."""
        if not self.shared:
            async with self.connection() as connection:
                row = (await connection.execute(query)).one_or_none()
            return None if row is None else (row, self._clock())
        async with self.connection() as connection:
            result = await connection.execute(query.add_columns(POSTGRESQL_NOW))
            row = result.one_or_none()
        if row is None:
            return None
        self._ahead = row[-1] - self._clock()
        return row[:-1], row[-1]

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """Lend a connection on which every statement commits by itself.

        Raises:
            LedgerUnavailable: The database does not answer.
        """
        try:
            async with self._engine.connect() as connection:
                yield connection
        except sa.exc.IntegrityError:
            raise  # no trouble of the database's: a query asked for it
        except sa.exc.DBAPIError as error:
            raise _unavailable(type(error.orig).__name__) from error
        except (sa.exc.TimeoutError, OSError) as error:
            raise _unavailable(type(error).__name__) from error


def _unavailable(trouble: str) -> LedgerUnavailable:
    return LedgerUnavailable(f"the ledger's database: {trouble}")
