"""The ledger as SQL sees it, past the service."""

import contextlib
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
from signupd.ledger.database import sqlite_file

from devstack.waiting import wait_until

BUSY_SECONDS = 10.0
UNDER_WAY = ("starting", "code_required", "password_required")
FINAL = ("completed", "already_registered", "expired", "cancelled")
# Who in this database waits for a lock, but ourselves.
WAITING = """
    FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


class Books:
    """Looks into a ledger, locks it, and moves its clocks.

    Args:
        url: Of the ledger.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.file = sqlite_file(url)
        self.shared = self.file is None

    def run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run one statement, its values written as `?`."""
        with self._connected() as run:
            return run(statement, *values)

    def row(self, signup_id: str, columns: str) -> tuple[Any, ...]:
        """Read columns of one sign-up."""
        query = f"SELECT {columns} FROM signups WHERE signup_id = ?"  # noqa: S608
        return self.run(query, uuid.UUID(signup_id).hex)[0]

    def state(self, signup_id: str) -> str:
        """Read the state of one sign-up, as it is written down."""
        return str(self.row(signup_id, "state")[0])

    def change(self, signup_id: str, values: str) -> None:
        """Change columns of one sign-up, past the service."""
        statement = f"UPDATE signups SET {values} WHERE signup_id = ?"  # noqa: S608
        self.run(statement, uuid.UUID(signup_id).hex)

    def end_leases(self) -> None:
        """Let all leases run out, and what the hook agreed to: as if we had waited.

        Really waiting would take up to 75 s, the length of a lease.
        """
        self.run("UPDATE signups SET lease_until = 0, approved_until = 0")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Let nobody else write; what waits to write when this ends does not get to.

        It is for servers that are killed meanwhile: PostgreSQL would otherwise still
        do what a dead client asked for.
        """
        with self._connected() as run:
            run("BEGIN" if self.shared else "BEGIN IMMEDIATE")
            if self.shared:
                run("LOCK TABLE signups IN EXCLUSIVE MODE")
            try:
                yield
            finally:
                if self.shared:
                    self.run(f"SELECT pg_terminate_backend(pid) {WAITING}")
                run("ROLLBACK")

    def wait_blocked(self) -> None:
        """Wait until somebody waits for the lock. SQLite does not show that."""
        if self.shared:
            query = f"SELECT pid {WAITING}"
            wait_until(lambda: bool(self.run(query)), "a commit to wait for the lock")

    def check(self, secrets: list[str]) -> None:
        """Hold the books against the promises that are kept at every moment.

        Args:
            secrets: What may stand nowhere: addresses and passwords. Not codes: some
                id would hold their six digits by chance.
        """
        query = "SELECT state, count(*) FROM signups GROUP BY state"
        counts = dict(self.run(query))
        final = "SELECT count(*) FROM signups WHERE sealed IS NULL"

        assert counts.keys() <= {*UNDER_WAY, *FINAL}
        assert [(sum(counts.get(state, 0) for state in FINAL),)] == self.run(final)
        held = self._everything()

        assert [] == [secret for secret in secrets if secret.encode() in held]

    def _everything(self) -> bytes:
        """Read all that any column holds."""
        tables = ("signups", "send_buckets")
        rows = [row for t in tables for row in self.run(f"SELECT * FROM {t}")]  # noqa: S608
        values = [value for row in rows for value in row]
        return b"\n".join(
            value if isinstance(value, bytes) else str(value).encode()
            for value in values
        )

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
        connection: Any
        if self.shared:
            connection = psycopg.connect(self.url, autocommit=True)
        else:
            connection = sqlite3.connect(
                str(self.file),
                BUSY_SECONDS,
                isolation_level=None,
                check_same_thread=False,  # one at a time uses it
            )
        mark = "%s" if self.shared else "?"

        def run(statement: str, *values: object) -> list[tuple[Any, ...]]:
            cursor = connection.execute(statement.replace("?", mark), values)
            return list(cursor.fetchall()) if cursor.description else []

        with contextlib.closing(connection):
            yield run
