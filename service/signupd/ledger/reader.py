"""Reads of SQLite's that are over at once, made where they are asked for.

A row found by its key is in memory as a rule: with SQLite's own journal mode no reader
waits for the writer. To hand that to a thread and back costs more than the read.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextvars import Context
from typing import TYPE_CHECKING, Any

from signupd.ledger.engine import let_go

if TYPE_CHECKING:
    import sqlalchemy as sa

    from signupd.ledger.prepared import Prepared, Rows, Values


class Reader:
    """Reads, and never waits: what cannot be read at once is left to others.

    Args:
        engine: Of SQLite.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._connection: sa.Connection | None = None
        self._driver: sqlite3.Connection | None = None
        self._opening: asyncio.Task[None] | None = None
        self._closed = False

    def read(self, query: Prepared, values: Values) -> Rows | None:
        """Read, if that can be done at once.

        Args:
            query: What to read, by a key.
            values: Of its parameters.

        Returns:
            What was read; None where a thread has to see to it, and tell what is wrong.
        """
        if self._driver is None:
            if self._opening is None and not self._closed:
                self._opening = asyncio.create_task(
                    self._open(),
                    context=Context(),  # not this caller's, whose wait it is not
                )
            return None
        try:
            return query.run(self._driver, values)
        except sqlite3.Error:
            self._drop()
            return None

    async def close(self) -> None:
        """Let go of the connection."""
        self._closed = True
        if self._opening is not None:
            await self._opening
        self._drop()

    async def _open(self) -> None:
        """Connect in a thread: others may have to be waited for."""
        try:
            await asyncio.to_thread(self._connect)
        except Exception:  # noqa: BLE001 - whoever reads meanwhile is told why
            self._drop()
        finally:
            self._opening = None

    def _connect(self) -> None:
        self._connection = self._engine.connect()
        driver: Any = self._connection.connection.driver_connection
        driver.execute("PRAGMA busy_timeout = 0")
        self._driver = driver

    def _drop(self) -> None:
        connection, self._connection, self._driver = self._connection, None, None
        let_go(connection)
