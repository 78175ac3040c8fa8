"""Rows of a ledger that has long been in use: copies of one that is there."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Any, Final

import psycopg
from signupd.ledger import statements
from signupd.ledger.database import sqlite_file
from signupd.ledger.record import Lease, Record, State
from signupd.ledger.sqlite import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH: Final = 10_000
# Another writer may be at work: the service, with SQLite.
WAIT_SECONDS: Final = 60
DIGEST_BYTES: Final = 32
LONG_AGO: Final = 1
DUE: Final = """
    SELECT count(*) FROM signups WHERE state = 'code_required' AND expire_time = 1
"""
COLUMNS: Final = ", ".join(Record._fields)
# What each database does by itself in time, but perhaps while it is measured.
UPKEEP: Final = {
    "sqlite": ("PRAGMA wal_checkpoint(TRUNCATE)",),
    "postgresql": ("VACUUM ANALYZE", "CHECKPOINT"),
}


class Rows:
    """Adds rows to a ledger, past the service.

    Args:
        url: The ledger's, as the service knows it. A sign-up is in it.
    """

    def __init__(self, url: str) -> None:
        file = sqlite_file(url)
        self._kind = "postgresql" if file is None else "sqlite"
        self._connection: Any
        if file is None:
            self._connection = psycopg.connect(url, autocommit=True)
            spelling = statements.POSTGRESQL
        else:
            self._connection = connect(file)
            self._connection.execute(f"PRAGMA busy_timeout = {WAIT_SECONDS * 1000}")
            spelling = statements.SQLITE
        self._adding = spelling.render(statements.ADD)

    def count(self) -> int:
        """Count the sign-ups."""
        return self._number("SELECT count(*) FROM signups")

    def due(self) -> int:
        """Count what is left of those that `add_due` added."""
        return self._number(DUE)

    def add_final(self, count: int) -> None:
        """Add sign-ups that have come to their end."""
        now = self._number("SELECT max(state_time) FROM signups")
        self._add(count, state=State.COMPLETED, sealed=None, state_time=now)

    def add_due(self, count: int) -> None:
        """Add sign-ups whose time for the code is up."""
        self._add(count, state=State.CODE_REQUIRED, expire_time=LONG_AGO)

    def settle(self) -> None:
        """Have the database do now what it would do by itself while others wait."""
        for upkeep in UPKEEP[self._kind]:
            self._connection.execute(upkeep)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _number(self, query: str) -> int:
        return int(self._connection.execute(query).fetchone()[0])

    def _add(self, count: int, **changes: Any) -> None:
        one = Record(
            *self._connection.execute(f"SELECT {COLUMNS} FROM signups").fetchone()  # noqa: S608
        )
        for start in range(0, count, BATCH):
            copies = _copies(one._replace(**changes), min(BATCH, count - start))
            self._connection.execute("BEGIN")
            self._connection.cursor().executemany(self._adding, list(copies))
            self._connection.execute("COMMIT")


def _copies(row: Record, count: int) -> Iterator[dict[str, Any]]:
    """Make copies that differ where rows must."""
    row = row._replace(lease=Lease.NONE, request_id=None, password_flow_digest=None)
    for _ in range(count):
        fresh = row._replace(
            signup_id=uuid.uuid4(), address_digest=os.urandom(DIGEST_BYTES)
        )
        yield fresh._asdict()
