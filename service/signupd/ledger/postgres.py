"""PostgreSQL: psycopg and its connection pool."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from signupd.errors import LedgerUnavailable
from signupd.ledger.database import (
    CALL_SECONDS,
    WAIT_SECONDS,
    Database,
    DuplicateKey,
    Result,
    Row,
    Steps,
    T,
    Values,
    unavailable,
    unopened,
)
from signupd.ledger.statements import POSTGRESQL

# Each statement is short. Ten replicas fit PostgreSQL's default of 100 connections.
CONNECTIONS: Final = 10
# libpq's limits, for a server that has vanished and cannot enforce its own.
_SOCKET: Final = {
    "connect_timeout": WAIT_SECONDS,
    "keepalives_idle": WAIT_SECONDS,
    "keepalives_interval": 1,
    "keepalives_count": WAIT_SECONDS,
    "tcp_user_timeout": WAIT_SECONDS * 1000,
}
rendered = functools.cache(POSTGRESQL.render)
_TROUBLES: Final = psycopg.Error, PoolTimeout, PoolClosed, OSError
_DENIALS: Final = (
    psycopg.errors.InsufficientPrivilege,
    psycopg.errors.ReadOnlySqlTransaction,
)


def is_readable(url: str) -> bool:
    """Return whether libpq reads a URL; its error may repeat the password."""
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return False
    return True


def connection_parameters(url: str, *, read_only: bool = False) -> dict[str, Any]:
    """Return libpq's parameters; those in the URL take precedence."""
    given = conninfo_to_dict(url)
    # PostgreSQL applies the options from left to right.
    options = [f"-c statement_timeout={WAIT_SECONDS}s", "-c timezone=UTC"]
    options.append(str(given.get("options", "")).strip())
    if read_only:
        options.append("-c default_transaction_read_only=on")
    return {**_SOCKET, **given, "options": " ".join(filter(None, options))}


def account(url: str) -> str:
    """Write ``user@host`` of a URL, whose defaults are libpq's."""
    options = psycopg.pq.Conninfo.get_defaults()
    defaults = {one.keyword.decode(): (one.val or b"").decode() for one in options}
    given = defaults | conninfo_to_dict(url)
    return f"{given['user']}@{given['host'] or given['hostaddr'] or 'localhost'}"


def connect(url: str) -> psycopg.Connection:
    """Connect for a migration, which is not asynchronous."""
    return psycopg.connect(**connection_parameters(url))


class PostgresDatabase(Database):
    """A PostgreSQL database, used by any number of servers.

    A call that takes longer than ``call_seconds`` is cancelled, and its connection is
    closed if that does not help.
    """

    shared = True

    def __init__(
        self,
        url: str,
        clock: Callable[[], int],
        *,
        read_only: bool = False,
        call_seconds: float = CALL_SECONDS,
    ) -> None:
        self._clock = clock
        self._ahead = 0
        self._call_seconds = call_seconds
        self._parameters = connection_parameters(url, read_only=read_only)
        self._account = account(url)
        self._pool = AsyncConnectionPool(
            kwargs={**self._parameters, "autocommit": True},
            min_size=1,
            max_size=CONNECTIONS,
            timeout=WAIT_SECONDS,
            # The pool's pauses between attempts grow to minutes and would outlast the
            # outage. It gives up after this time; the next statement begins anew.
            reconnect_timeout=WAIT_SECONDS,
            open=False,
            name="ledger",
        )
        self._checking: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect once, then start the pool, which connects in the background.

        The pool does not say why it cannot connect.
        """
        try:
            await (await psycopg.AsyncConnection.connect(**self._parameters)).close()
        except _TROUBLES as error:
            raise unopened(error, f"account {self._account}") from error
        await self._pool.open()

    async def close(self) -> None:
        """Close the pool."""
        await self._pool.close(timeout=WAIT_SECONDS)

    async def run(self, statement: str, /, **values: Any) -> Result:
        """Run a statement."""
        async with self._connection() as connection:
            return await _run(connection, statement, values)

    async def transact(self, steps: Steps[T]) -> T:
        """Run the statements of a generator as one transaction; return its result."""
        async with self._connection() as connection, connection.transaction():
            try:
                statement, values = next(steps)
                while True:
                    result = await _run(connection, statement, values)
                    statement, values = steps.send(result.rows)
            except StopIteration as done:
                value: T = done.value
                return value

    def connections(self) -> dict[str, int]:
        """Count those of the pool, and the calls that wait for one."""
        figures = self._pool.get_stats()
        idle = figures["pool_available"]
        in_use, waiting = figures["pool_size"] - idle, figures["requests_waiting"]
        return {"in_use": in_use, "idle": idle, "waiting": waiting}

    def now(self) -> int:
        """Return the server's time, as far as it is known."""
        return self._clock() + self._ahead

    def synchronize(self, now: int) -> None:
        """Continue from a time that the server has returned, in microseconds."""
        self._ahead = now - self._clock()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[Row]]:
        """Lend a connection, and translate what goes wrong with it."""
        try:
            async with (
                asyncio.timeout(self._call_seconds),
                self._pool.connection() as connection,
            ):
                yield connection
        except psycopg.errors.UniqueViolation as error:
            raise DuplicateKey from error
        except _DENIALS as error:
            # It names a table, a schema or a statement's kind, and no parameter.
            denied = f"account {self._account}: {error.diag.message_primary}"
            raise LedgerUnavailable(f"the ledger's database: {denied}") from error
        except _TROUBLES as error:
            if isinstance(error, psycopg.OperationalError):
                await self._discard_broken()
            raise unavailable(error) from error

    async def _discard_broken(self) -> None:
        """Replace the other connections that the server has ended too."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._pool.check())
        # Cancelling it would lose the connections that it looks at.
        await asyncio.wait([self._checking], timeout=WAIT_SECONDS)


async def _run(
    connection: psycopg.AsyncConnection[Row], statement: str, values: Values
) -> Result:
    text: Any = rendered(statement)
    cursor = await connection.execute(text, values)
    rows = await cursor.fetchall() if cursor.description else []
    return Result(rows, cursor.rowcount)
