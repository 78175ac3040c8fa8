"""The ledger's database: its connections, its clock, its troubles translated."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from signupd.errors import LedgerUnavailable
from signupd.ledger.engine import CONNECTIONS, WAIT_SECONDS
from signupd.ledger.statements import Rows, execute
from signupd.ledger.writer import MOST_TOGETHER, TransactionLostError, Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from signupd.ledger.statements import Values

_MICROS: Final = 1_000_000
# Nobody waits longer for a statement, whatever has become of the database: with SQLite
# it may have to wait for a group of changes, which waits for another process' lock.
LONGEST_SECONDS: Final = 3 * WAIT_SECONDS


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

    Statements run in threads, a connection each; SQLite's changes all in one. A driver
    for asyncio goes to a thread and back several times for each of them (SQLite), or
    runs more Python than it saves (PostgreSQL); see docs/rationale.md.

    Args:
        engine: From ``open_engine``.
        clock: Microseconds since the Unix epoch, never set back.
    """

    def __init__(self, engine: sa.Engine, clock: Callable[[], int]) -> None:
        self._engine = engine
        self._clock = clock
        self._ahead = 0
        self.shared = engine.dialect.name == "postgresql"
        most = CONNECTIONS[engine.dialect.name]
        self._threads = ThreadPoolExecutor(most, thread_name_prefix="ledger")
        self._turns = asyncio.Semaphore(most)
        self._writer = None if self.shared else Writer(engine)
        self._changes = asyncio.Semaphore(MOST_TOGETHER)
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
        if self._writer is not None:
            await self._writer.close()
        await asyncio.to_thread(self._threads.shutdown)
        self._engine.dispose()

    def now(self) -> int:
        """Tell the time that deadlines go by, in microseconds."""
        return self._clock() + self._ahead

    async def set_clock(self) -> None:
        """Read the database's clock, if it has one, before anything goes by it."""
        if self.shared:
            (now,) = (await self.run(sa.select(POSTGRESQL_NOW))).scalars
            self._ahead = now - self._clock()

    def timed(self, query: sa.Select[Any]) -> sa.Select[Any]:
        """Have a query bring the database's time along, for ``read_one``."""
        return query.add_columns(POSTGRESQL_NOW) if self.shared else query

    async def read_one(
        self, query: sa.Select[Any], values: Values | None = None
    ) -> tuple[Sequence[Any], int] | None:
        """Read one row, and the moment at which it was read.

        Args:
            query: As ``timed`` made it.
            values: Of its parameters.
        """
        row = (await self.run(query, values)).first
        if row is None:
            return None
        if not self.shared:
            return row, self._clock()
        self._ahead = row[-1] - self._clock()
        return row[:-1], row[-1]

    async def run(
        self,
        statement: sa.Executable,
        values: Values | None = None,
    ) -> Rows:
        """Run a statement, which commits by itself.

        It goes on when its waiter is gone, and keeps its connection until its end.

        Args:
            statement: Best made beforehand: to make one costs as much as to run it.
            values: Of its parameters.

        Raises:
            LedgerUnavailable: The database does not answer.
            sqlalchemy.exc.IntegrityError: A key is there already.
        """
        writer = self._writer if statement.is_dml else None
        turns = self._turns if writer is None else self._changes
        await _take(turns)
        try:
            done = self._begin(writer, statement, values)
        except RuntimeError as error:  # closed, or no thread is to be had
            turns.release()
            raise _unavailable(type(error).__name__) from error
        done.add_done_callback(lambda _: turns.release())
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                return await asyncio.shield(done)
        except sa.exc.IntegrityError:
            raise  # no trouble of the database's: a query asked for it
        except sa.exc.DBAPIError as error:
            raise _unavailable(type(error.orig).__name__) from error
        except TransactionLostError as error:
            raise _unavailable(type(error.__cause__).__name__) from error
        except (sa.exc.TimeoutError, RuntimeError, OSError) as error:
            raise _unavailable(type(error).__name__) from error

    def _begin(
        self, writer: Writer | None, statement: sa.Executable, values: Values | None
    ) -> asyncio.Future[Rows]:
        if writer is not None:
            return writer.begin(statement, values)
        return asyncio.get_running_loop().run_in_executor(
            self._threads, self._run, statement, values
        )

    def _run(self, statement: sa.Executable, values: Values | None) -> Rows:
        with self._engine.connect() as connection:
            return execute(connection, statement, values)


async def _take(turns: asyncio.Semaphore) -> None:
    """Wait for one's turn, but not for ever."""
    if not turns.locked():
        await turns.acquire()
        return
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await turns.acquire()
    except TimeoutError as error:
        raise _unavailable(type(error).__name__) from error


def _unavailable(trouble: str) -> LedgerUnavailable:
    return LedgerUnavailable(f"the ledger's database: {trouble}")
