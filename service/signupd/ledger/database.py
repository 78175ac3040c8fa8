"""The ledger's database: its connections, its clock, its troubles translated."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from signupd.errors import LedgerUnavailable
from signupd.ledger.engine import CONNECTIONS
from signupd.ledger.prepared import Followed, Prepared
from signupd.ledger.reader import Reader
from signupd.ledger.statements import Statement, TransactionLost
from signupd.ledger.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from signupd.ledger.lanes import Lanes
    from signupd.ledger.prepared import Rows, Values

_MICROS: Final = 1_000_000
_NONE: Final[Values] = MappingProxyType({})
# Of PostgreSQL's connections, those for the few statements that are not prepared.
_POSTGRESQL_THREADS: Final = 2
# Changes in one transaction, so that the first of them does not wait long for the last.
MOST_TOGETHER: Final = 64


def _in_micros(timestamp: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    epoch = sa.func.extract("epoch", timestamp)
    return sa.cast(epoch * sa.literal_column(f"{_MICROS}"), sa.BigInteger)


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

    A trip to a thread costs more than a statement, so those that callers wait for take
    none where they need not: PostgreSQL is asked from the event loop (lanes.py), and
    what SQLite reads by a key is read in place (reader.py). So are its changes made,
    but for their commit, which waits for the disk. SQLite has one writer at a time
    whatever one does, so those that came while one was committed share the next commit.
    Other statements have threads, a connection each.

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
        self._lanes: Lanes | None = None
        if self.shared:
            # Made here, since SQLite's servers do without PostgreSQL's driver.
            from signupd.ledger.lanes import Lanes  # noqa: PLC0415

            self._lanes = Lanes(engine, most=most - _POSTGRESQL_THREADS)
            most = _POSTGRESQL_THREADS
        self._workers = self._writer = Workers(engine, "ledger", most=most)
        self._reader: Reader | None = None
        if not self.shared:
            self._reader = Reader(engine)
            self._writer = Workers(
                engine, "ledger-writer", most=1, together=MOST_TOGETHER, in_place=True
            )
        dbapi: Any = engine.dialect.dbapi
        self._troubles = dbapi.Error, sa.exc.SQLAlchemyError, RuntimeError, OSError
        # The same clock inside a statement: as it goes on while the statement runs, or
        # waits for a lock; and as it stood when the statement began.
        self.moment: sa.ColumnElement[int] = POSTGRESQL_NOW
        self.beginning = _in_micros(sa.func.statement_timestamp())
        if not self.shared:
            self.moment = self.beginning = sa.bindparam(
                "moment", callable_=self.now, type_=sa.BigInteger
            )

    async def close(self) -> None:
        """Close all connections, once nothing is under way."""
        if self._lanes is not None:
            await self._lanes.close()
        if self._reader is not None:
            await self._reader.close()
        await self._writer.close()
        await self._workers.close()
        self._engine.dispose()

    def now(self) -> int:
        """Tell the time that deadlines go by, in microseconds."""
        return self._clock() + self._ahead

    async def set_clock(self) -> None:
        """Read the database's clock, if it has one, before anything goes by it."""
        if self.shared:
            (now,) = (await self.run(sa.select(POSTGRESQL_NOW))).scalars
            self._ahead = now - self._clock()

    def prepare(self, statement: sa.Executable) -> Prepared:
        """Make a statement ready that is going to be run often."""
        return Prepared(statement, self._engine.dialect)

    def prepare_both(self, first: Any, then: sa.Insert, wanted: int) -> Prepared:
        """Make two changes ready that are made together.

        Args:
            first: Returns rows, which are the result.
            then: Made only where these are as many as they should be.
            wanted: How many that is.
        """
        if not self.shared:
            return Followed(first, then, wanted, self._engine.dialect)
        made = first.cte("made")
        count = sa.select(sa.func.count()).select_from(made).scalar_subquery()
        columns = then.table.columns
        given = sa.select(*[sa.bindparam(one.name, type_=one.type) for one in columns])
        following = then.from_select([*columns], given.where(count == wanted))
        return self.prepare(sa.select(made).add_cte(following.cte("following")))

    def timed(self, query: sa.Select[Any]) -> sa.Select[Any]:
        """Have a query bring the database's time along, for ``read_one``."""
        return query.add_columns(POSTGRESQL_NOW) if self.shared else query

    async def read_one(
        self, query: Prepared | sa.Select[Any], values: Values = _NONE
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
        self, statement: Prepared | sa.Executable, values: Values = _NONE
    ) -> Rows:
        """Run a statement, which commits by itself.

        Once begun it goes on, whether or not its waiter is still there.

        Args:
            statement: Prepared, where it is run often.
            values: Of its parameters.

        Raises:
            LedgerUnavailable: The database does not answer.
            ConstraintBroken: A key is there already.
        """
        if self._reader is not None and isinstance(statement, Prepared):
            read = None if statement.is_dml else self._reader.read(statement, values)
            if read is not None:
                return read
        try:
            return await self._runner(statement).begin(Statement(statement, values))
        except TransactionLost as error:
            raise _unavailable(error.__cause__ or error) from error
        except self._troubles as error:
            raise _unavailable(error) from error

    def _runner(self, statement: Prepared | sa.Executable) -> Lanes | Workers:
        if self._lanes is not None and isinstance(statement, Prepared):
            return self._lanes
        return self._writer if statement.is_dml else self._workers


def _unavailable(trouble: BaseException) -> LedgerUnavailable:
    return LedgerUnavailable(f"the ledger's database: {type(trouble).__name__}")
