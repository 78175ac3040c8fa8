"""Rows of a ledger that has long been in use: copies of one that is there."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from signupd.ledger.record import Lease, State
from signupd.ledger.tables import events, signups

if TYPE_CHECKING:
    from collections.abc import Iterator

DRIVERS: Final = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}
BATCH: Final = 10_000
# Another writer may be at work: the service, with SQLite.
WAIT_SECONDS: Final = 60
DIGEST_BYTES: Final = 32
LONG_AGO: Final = 1
# What each database does by itself in time, but perhaps while it is measured.
UPKEEP: Final = {
    "sqlite": ("PRAGMA wal_checkpoint(TRUNCATE)",),
    "postgresql": ("VACUUM ANALYZE", "CHECKPOINT"),
}

Values = dict[str, Any]


class Rows:
    """Adds rows to a ledger, past the service.

    Args:
        url: The ledger's, as the service knows it. A sign-up and an event are in it.
    """

    def __init__(self, url: str) -> None:
        parsed = sa.make_url(url)
        driver = DRIVERS[parsed.drivername]
        timeout = {"timeout": WAIT_SECONDS} if driver == "sqlite" else {}
        self._engine = sa.create_engine(
            parsed.set(drivername=driver), connect_args=timeout
        )

    def count(self) -> int:
        """Count the sign-ups."""
        query = sa.select(sa.func.count()).select_from(signups)
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def due(self) -> int:
        """Count what is left of those that `add_due` added."""
        query = sa.select(sa.func.count()).where(
            signups.c.state == State.CODE_REQUIRED, signups.c.expire_time == LONG_AGO
        )
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def add_final(self, count: int) -> None:
        """Add sign-ups that have come to their end, with an event each."""
        now = self._newest()
        changes = {"state": State.COMPLETED, "sealed": None, "state_time": now}
        self._add(signups, count, changes)
        self._add(events, count, {})

    def add_due(self, count: int) -> None:
        """Add sign-ups whose time for the code is up."""
        changes = {"state": State.CODE_REQUIRED, "expire_time": LONG_AGO}
        self._add(signups, count, changes)

    def settle(self) -> None:
        """Have the database do now what it would do by itself while others wait."""
        with self._engine.connect() as connection:
            apart = connection.execution_options(isolation_level="AUTOCOMMIT")
            for upkeep in UPKEEP[connection.dialect.name]:
                apart.execute(sa.text(upkeep)).close()

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _newest(self) -> int:
        query = sa.select(sa.func.max(signups.c.state_time))
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def _add(self, table: sa.Table, count: int, changes: Values) -> None:
        with self._engine.begin() as connection:
            one = connection.execute(sa.select(table).limit(1)).mappings().one()
        for start in range(0, count, BATCH):
            copies = _copies(dict(one) | changes, min(BATCH, count - start))
            with self._engine.begin() as connection:
                connection.execute(table.insert(), list(copies))


def _copies(row: Values, count: int) -> Iterator[Values]:
    """Make copies that differ where rows must."""
    fresh: Values = {}
    if "lease" in row:
        row |= {"lease": Lease.NONE, "request_id": None, "password_flow_digest": None}
    row.pop("event_id", None)
    for _ in range(count):
        fresh["signup_id"] = uuid.uuid4()
        fresh["address_digest"] = os.urandom(DIGEST_BYTES)
        yield row | fresh
