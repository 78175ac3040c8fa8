"""Rows of a ledger that has long been in use: copies of one that is there."""

import sqlite3
from typing import Any, Final

import psycopg

SQLITE_PREFIX: Final = "sqlite:///"
# Another writer may be at work: the service, with SQLite.
WAIT_SECONDS: Final = 60
LONG_AGO: Final = 1  # microseconds since the Unix epoch; in DUE too
DUE: Final = """
    SELECT count(*) FROM signups WHERE state = 'code_required' AND expire_time = 1
"""
# What differs in each copy. No copy is at work on Kratos, or meets another one in a
# unique column.
FRESH: Final = {"lease": "'none'", "request_id": "NULL", "flow_digest": "NULL"}
SQLITE: Final = {
    **FRESH,
    "signup_id": "lower(hex(randomblob(16)))",
    "address_digest": "randomblob(32)",
}
POSTGRESQL: Final = {
    **FRESH,
    "signup_id": "gen_random_uuid()",
    "address_digest": "sha256(uuid_send(gen_random_uuid()))",
}
NUMBERS: Final = """
    WITH RECURSIVE numbers(number) AS (
        SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {count}
    )
"""


class Rows:
    """Adds rows to a ledger, past the service.

    Args:
        url: The ledger's, as the service knows it. A sign-up is in it.
    """

    def __init__(self, url: str) -> None:
        self._connection: Any
        if url.startswith(SQLITE_PREFIX):
            file = url.removeprefix(SQLITE_PREFIX)
            self._connection = sqlite3.connect(
                file, timeout=WAIT_SECONDS, isolation_level=None
            )
            self._fresh, self._upkeep = SQLITE, ["PRAGMA wal_checkpoint(TRUNCATE)"]
        else:
            self._connection = psycopg.connect(url, autocommit=True)
            self._fresh, self._upkeep = POSTGRESQL, ["VACUUM ANALYZE", "CHECKPOINT"]

    def count(self) -> int:
        """Count the sign-ups."""
        return self._number("SELECT count(*) FROM signups")

    def due(self) -> int:
        """Count what is left of those that `add_due` added."""
        return self._number(DUE)

    def add_final(self, count: int) -> None:
        """Add completed sign-ups, and have the database tidy up now, not later."""
        newest = "(SELECT max(state_time) FROM signups)"
        self._add(count, state="'completed'", sealed="NULL", state_time=newest)
        for statement in self._upkeep:
            self._connection.execute(statement)

    def add_due(self, count: int) -> None:
        """Add sign-ups whose time for the code is up."""
        self._add(count, state="'code_required'", expire_time=str(LONG_AGO))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _number(self, query: str) -> int:
        return int(self._connection.execute(query).fetchone()[0])

    def _add(self, count: int, **changes: str) -> None:
        """Copy a row, with these expressions in place of its columns."""
        if not count:
            return
        found = self._connection.execute("SELECT * FROM signups LIMIT 1")
        columns = [column[0] for column in found.description]
        replaced = {**self._fresh, **changes}
        values = ", ".join(replaced.get(column, f"one.{column}") for column in columns)
        self._connection.execute(
            f"{NUMBERS.format(count=count)} INSERT INTO signups ({', '.join(columns)}) "  # noqa: S608
            f"SELECT {values} FROM (SELECT * FROM signups LIMIT 1) AS one, numbers"
        )
