"""SQLite: one thread for reads and one for changes, with a connection each.

Another process that holds SQLite's lock delays changes, but not reads.
"""

import asyncio
import contextlib
import fcntl
import functools
import os
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from urllib.parse import quote

from signupd.errors import LedgerUnavailable
from signupd.ledger.database import (
    CALL_SECONDS,
    WAIT_SECONDS,
    Connection,
    Database,
    DuplicateKey,
    Result,
    Values,
    sqlite_file,
    unavailable,
    unopened,
)
from signupd.ledger.statements import SQLITE

_RETRY_SECONDS: Final = 0.01
# Extended result codes have the primary one in their last byte.
_PRIMARY: Final = 0xFF

rendered = functools.cache(SQLITE.render)

# A UUID column is CHAR(32) here; nothing else in the schema is CHAR.
sqlite3.register_adapter(uuid.UUID, lambda value: value.hex)
sqlite3.register_converter("CHAR", lambda value: uuid.UUID(value.decode()))


def connect(file: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Connect to a SQLite file; create it with mode 0600 if it does not exist.

    Args:
        file: The database.
        read_only: Whether SQLite refuses changes; then no file is created.

    Raises:
        sqlite3.Error, OSError: The file cannot be opened.
    """
    if not read_only:
        # O_EXCL does not open an existing file: when a process closes any descriptor of
        # it, SQLite's locks end (https://sqlite.org/howtocorrupt.html, 2.2).
        with contextlib.suppress(FileExistsError):
            os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    # https://sqlite.org/uri.html
    mode = "ro" if read_only else "rw"
    connection = sqlite3.connect(
        f"file:{quote(str(file))}?mode={mode}",
        uri=True,
        timeout=WAIT_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        detect_types=sqlite3.PARSE_DECLTYPES,
    )
    try:
        # A commit that was acknowledged survives a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        if not read_only:
            _use_wal(connection)
    except BaseException:
        connection.close()
        raise
    return connection


class _Worker(Connection):
    """One connection, and the thread that runs its statements.

    Args:
        connect: Makes the connection, at the first statement and after an error.
        now: The ledger's time, for statements that need it.
    """

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], now: Callable[[], int]
    ) -> None:
        self._connect = connect
        self._now = now
        self._connection: sqlite3.Connection | None = None
        self._executor = ThreadPoolExecutor(1, "ledger")

    async def run(self, statement: str, values: Values) -> Result:
        """Run a statement with its parameters."""
        values["now"] = self._now()
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await asyncio.get_running_loop().run_in_executor(
                    self._executor, self._run, rendered(statement), values
                )
        except sqlite3.IntegrityError as error:
            raise DuplicateKey from error
        except (sqlite3.Error, OSError, RuntimeError) as error:
            raise unavailable(error) from error

    async def close(self) -> None:
        """Let statements that have begun end, then close the connection."""
        with contextlib.suppress(RuntimeError):  # it was closed before
            await asyncio.get_running_loop().run_in_executor(self._executor, self._drop)
        self._executor.shutdown(wait=False)

    def _run(self, text: str, values: Values) -> Result:
        try:
            if self._connection is None:
                self._connection = self._connect()
            cursor = self._connection.execute(text, values)
            return cursor.fetchall(), cursor.rowcount
        except sqlite3.Error as error:
            if not isinstance(error, sqlite3.IntegrityError):
                self._drop()  # the next statement connects anew
            raise

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class SqliteDatabase(Database):
    """A SQLite file, used by one server at a time.

    Args:
        file: The database.
        clock: As ``Database`` takes it.
        read_only: Whether SQLite refuses changes.
    """

    shared = False

    def __init__(
        self, file: Path, clock: Callable[[], int], *, read_only: bool = False
    ) -> None:
        super().__init__(clock)

        self._connect = functools.partial(connect, file, read_only=read_only)
        self._reader = _Worker(self._connect, self.now)
        self._writer = _Worker(self._connect, self.now)
        self._writing = asyncio.Lock()

    async def open(self) -> None:
        """Connect once; each thread connects at its first statement."""
        try:
            (await asyncio.to_thread(self._connect)).close()
        except (sqlite3.Error, OSError) as error:
            raise unopened(error) from error

    async def close(self) -> None:
        """Close both connections."""
        await self._reader.close()
        await self._writer.close()

    async def run(self, statement: str, values: Values) -> Result:
        """Run a statement with its parameters."""
        if rendered(statement).startswith("SELECT"):
            return await self._reader.run(statement, values)
        async with self._writing:
            return await self._writer.run(statement, values)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Run several statements as one; an exception rolls all of them back."""
        async with self._writing:
            try:
                await self._writer.execute("BEGIN IMMEDIATE")
                yield self._writer
            except BaseException:
                # A connection that failed was dropped, and its transaction with it.
                with contextlib.suppress(LedgerUnavailable):
                    await self._writer.execute("ROLLBACK")
                raise
            await self._writer.execute("COMMIT")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to the write-ahead log, in which readers do not wait for the writer.

    SQLite does not wait by itself when two connections switch a new file at once
    (https://sqlite.org/c3ref/busy_handler.html).
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & _PRIMARY == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return


@contextlib.contextmanager
def alone_on(url: str) -> Iterator[None]:
    """Lock a SQLite ledger against a second server that is started by mistake.

    A server on SQLite ends all leases that it finds. The lock is on a file of its own:
    SQLite's locks on the ledger end when any descriptor of it is closed.

    Args:
        url: Of the ledger; one that servers share needs no lock.

    Raises:
        LedgerUnavailable: Another server has it.
        OSError: The file cannot be made.
    """
    ledger = sqlite_file(url)
    if ledger is None:
        yield
        return
    with ledger.with_name(f"{ledger.name}.lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LedgerUnavailable(f"another server has {ledger} open") from error
        yield
