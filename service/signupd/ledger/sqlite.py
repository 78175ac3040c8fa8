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
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from signupd.errors import LedgerUnavailable
from signupd.ledger.database import (
    CALL_SECONDS,
    WAIT_SECONDS,
    Database,
    DuplicateKey,
    Result,
    Steps,
    T,
    Values,
    sqlite_file,
    unavailable,
    unopened,
)
from signupd.ledger.statements import SQLITE

# Their texts are SQLite's own, without a statement or a parameter.
_OF_THE_FILE: Final = frozenset(
    (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL)
)
_RETRY_SECONDS: Final = 0.01
# Extended result codes have the primary one in their last byte.
_PRIMARY: Final = 0xFF

rendered = functools.cache(SQLITE.render)

# A UUID column is CHAR(32) here; nothing else in the schema is CHAR.
sqlite3.register_adapter(uuid.UUID, lambda value: value.hex)
sqlite3.register_converter("CHAR", lambda value: uuid.UUID(value.decode()))


def connect(file: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Connect to a SQLite file; create it unless ``read_only``.

    A file that cannot be opened is a sqlite3.Error or an OSError.
    """
    if not read_only:
        _create_private(file)
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


class _Worker:
    """One connection, made anew after an error, and the thread that does its jobs."""

    def __init__(self, file: Path, connect: Callable[[], sqlite3.Connection]) -> None:
        self._file = file
        self._connect = connect
        self._connection: sqlite3.Connection | None = None
        self._executor = ThreadPoolExecutor(1, "ledger")

    async def do(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Do a job with the connection, and translate what goes wrong with it."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await loop.run_in_executor(self._executor, self._do, job)
        except sqlite3.IntegrityError as error:
            raise DuplicateKey from error
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & _PRIMARY not in _OF_THE_FILE:
                raise unavailable(error) from error
            where = f"file {self._file}, or -wal or -shm beside it"
            raise LedgerUnavailable(
                f"the ledger's database: {where}: {error}"
            ) from error
        except (sqlite3.Error, OSError, RuntimeError) as error:
            raise unavailable(error) from error

    async def close(self) -> None:
        """Let jobs that have begun end, then close the connection."""
        with contextlib.suppress(RuntimeError):  # it was closed before
            await asyncio.get_running_loop().run_in_executor(self._executor, self._drop)
        self._executor.shutdown(wait=False)

    def _do(self, job: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._connect()
            return job(self._connection)
        except sqlite3.Error as error:
            if not isinstance(error, sqlite3.IntegrityError):
                self._drop()  # the next job connects anew
            raise

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class SqliteDatabase(Database):
    """A SQLite file, used by one server at a time."""

    shared = False

    def __init__(
        self, file: Path, clock: Callable[[], int], *, read_only: bool = False
    ) -> None:
        self.now = clock
        self._file = file
        self._connect = functools.partial(connect, file, read_only=read_only)
        self._reader = _Worker(file, self._connect)
        self._writer = _Worker(file, self._connect)

    async def open(self) -> None:
        """Connect once; each thread connects at its first statement."""
        try:
            (await asyncio.to_thread(self._connect)).close()
        except (sqlite3.Error, OSError) as error:
            raise unopened(error, f"file {self._file}") from error

    async def close(self) -> None:
        """Close both connections."""
        await self._reader.close()
        await self._writer.close()

    def run(self, statement: str, /, **values: Any) -> Coroutine[Any, Any, Result]:
        """Run a statement."""
        reads = rendered(statement).startswith("SELECT")
        worker = self._reader if reads else self._writer
        return worker.do(functools.partial(self._run, statement, values))

    def synchronize(self, now: int) -> None:
        """Do nothing: the machine's time is the ledger's."""

    def transact(self, steps: Steps[T]) -> Coroutine[Any, Any, T]:
        """Run the statements of a generator as one transaction; return its result."""
        return self._writer.do(functools.partial(self._transact, steps))

    def _run(
        self, statement: str, values: Values, connection: sqlite3.Connection
    ) -> Result:
        values["now"] = self.now()
        cursor = connection.execute(rendered(statement), values)
        return Result(cursor.fetchall(), cursor.rowcount)

    def _transact(self, steps: Steps[T], connection: sqlite3.Connection) -> T:
        with connection:  # commits, or rolls back
            connection.execute("BEGIN IMMEDIATE")
            try:
                statement, values = next(steps)
                while True:
                    result = self._run(statement, values, connection)
                    statement, values = steps.send(result.rows)
            except StopIteration as done:
                value: T = done.value
                return value


def _create_private(file: Path) -> None:
    """Create an empty file with mode 0600, whatever the umask; leave one that exists.

    O_EXCL does not open an existing file: when a process closes any descriptor of it,
    SQLite's locks end (https://sqlite.org/howtocorrupt.html, 2.2). SQLite gives the
    files beside it the same mode.
    """
    with contextlib.suppress(FileExistsError):
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.fchmod(descriptor, 0o600)
        os.close(descriptor)


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
    SQLite's locks on the ledger end when any descriptor of it is closed. A ledger that
    servers share needs no lock. LedgerUnavailable says that another server has it, or
    that the file cannot be made.
    """
    ledger = sqlite_file(url)
    if ledger is None:
        yield
        return
    lock = ledger.with_name(f"{ledger.name}.lock")
    try:
        _create_private(lock)
        file = lock.open("ab")
    except OSError as error:
        raise unopened(error, f"file {lock}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LedgerUnavailable(f"another server has {ledger} open") from error
        yield
