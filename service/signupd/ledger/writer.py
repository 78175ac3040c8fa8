"""SQLite's one writer: changes that wait for it share a commit.

SQLite has one writer at a time whatever one does, and a commit, which waits for the
disk, costs more than a statement. So one thread with one connection makes all changes;
those that came while it was at work go into one transaction, and each of them learns
how it fared once that is committed.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from signupd.ledger.statements import Rows, execute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from signupd.ledger.statements import Values

# Changes in one transaction, so that the first of them does not wait long for the last.
MOST_TOGETHER: Final = 64


class TransactionLostError(Exception):
    """SQLite gave up a transaction, with all changes in it, because of one of them."""


@dataclass(frozen=True, slots=True)
class _Change:
    statement: sa.Executable
    values: Values | None = field(repr=False)
    done: asyncio.Future[Rows]


class Writer:
    """Makes changes.

    Args:
        engine: Of a SQLite file, where every statement commits by itself unless told
            otherwise. The writer keeps one of its connections.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger-writer")
        self._connection: sa.Connection | None = None
        self._waiting: list[_Change] = []
        self._work: asyncio.Task[None] | None = None

    def begin(
        self, statement: sa.Executable, values: Values | None
    ) -> asyncio.Future[Rows]:
        """Have a change made.

        Returns:
            Done when it is committed, or is not made: then with a DBAPIError of
            SQLAlchemy's, a TransactionLostError, or a RuntimeError once it is closed.
        """
        done: asyncio.Future[Rows] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Change(statement, values, done))
        if self._work is None:
            self._work = asyncio.create_task(self._empty())
        return done

    async def close(self) -> None:
        """Close its connection, once nothing is under way."""
        if self._work is not None:
            await self._work
        await asyncio.to_thread(self._thread.shutdown)
        await asyncio.to_thread(self._drop)

    async def _empty(self) -> None:
        """Make all changes that wait, and those that come meanwhile."""
        try:
            while self._waiting:
                changes = self._waiting[:MOST_TOGETHER]
                del self._waiting[:MOST_TOGETHER]
                outcomes = await self._made(changes)
                for change, outcome in zip(changes, outcomes, strict=True):
                    _tell(change.done, outcome)
        finally:
            self._work = None

    async def _made(self, changes: list[_Change]) -> Sequence[Rows | Exception]:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, self._make, changes)
        except Exception as error:  # noqa: BLE001 - nobody may wait for ever
            return [error] * len(changes)

    def _make(self, changes: list[_Change]) -> Sequence[Rows | Exception]:
        """Make changes in one transaction; tell of each how it fared."""
        try:
            if self._connection is None:
                self._connection = self._engine.connect()
            return _make(self._connection, changes)
        except Exception as error:  # noqa: BLE001 - it is each one's outcome
            self._drop()  # and with it what is not committed
            return [error] * len(changes)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


def _make(
    connection: sa.Connection, changes: list[_Change]
) -> Sequence[Rows | Exception]:
    if len(changes) == 1:  # commits by itself
        return [_attempt_alone(connection, changes[0])]
    connection.exec_driver_sql("BEGIN IMMEDIATE")
    outcomes = [_attempt(connection, change) for change in changes]
    connection.exec_driver_sql("COMMIT")
    return outcomes


def _attempt_alone(connection: sa.Connection, change: _Change) -> Rows | Exception:
    """Make one change; one that meets a key that is there is no trouble."""
    try:
        return execute(connection, change.statement, change.values)
    except sa.exc.IntegrityError as error:
        return error


def _attempt(connection: sa.Connection, change: _Change) -> Rows | Exception:
    """Make one change of several; one that fails leaves the others alone.

    Raises:
        TransactionLostError: It took the others along; some faults do
            (https://sqlite.org/lang_transaction.html, section 3).
    """
    try:
        return execute(connection, change.statement, change.values)
    except Exception as error:
        driver: Any = connection.connection.driver_connection
        if not driver.in_transaction:
            raise TransactionLostError from error
        return error


def _tell(done: asyncio.Future[Rows], outcome: Rows | Exception) -> None:
    if done.done():
        return  # nobody waits any more
    if isinstance(outcome, Exception):
        done.set_exception(outcome)
    else:
        done.set_result(outcome)
