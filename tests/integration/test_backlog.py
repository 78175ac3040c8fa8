"""What replicas do at once to what has fallen due, on both databases."""

from __future__ import annotations

import asyncio
import random
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from signupd.ledger.backlog import Backlog
from signupd.ledger.database import Database
from signupd.ledger.engine import open_engine
from signupd.ledger.record import Event
from signupd.ledger.schema import migrate
from signupd.ledger.tables import events

from tests.doubles.clock import ClockDouble

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from devstack.postgres import Postgres

BATCH = 25
EVENTS = 4_000
LONG_AGO, SINCE_THEN = 1_000, 2_000


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Database]:
    """Give a database of either kind, with old events of all kinds in it."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.create_database(f"backlog_{uuid.uuid4().hex}")
    await migrate(url)
    engine = open_engine(url)
    opened = Database(engine, ClockDouble())
    # In no order, as they come: each batch then locks the totals in another.
    kinds = random.Random(1).choices([*Event], k=EVENTS)  # noqa: S311 - no secret
    rows = [
        {
            "kind": kind,
            "signup_id": uuid.uuid4(),
            "address_digest": b"a" * 32,
            "event_time": LONG_AGO,
        }
        for kind in kinds
    ]
    with engine.connect() as connection:
        connection.execute(events.insert(), rows)
    yield opened
    await opened.close()


async def test_events_pruned_by_replicas(database: Database) -> None:
    """Replicas that prune at once hinder nobody and lose no count."""
    replicas = [Backlog(database, BATCH) for _ in range(4)]
    before = await replicas[0].counts()
    pruned = 0
    while pruned < EVENTS:
        rounds = (one.forget_events(SINCE_THEN) for one in replicas)
        pruned += sum(await asyncio.gather(*rounds))

    assert EVENTS == pruned
    assert before == await replicas[0].counts()
    assert EVENTS == sum(before[kind.value] for kind in Event)


@pytest.mark.parametrize("after", [None, uuid.UUID(int=2**127)])
async def test_dead_leases_have_an_index(
    tmp_path: Path, after: uuid.UUID | None
) -> None:
    """SQLite does not go through all rows to find the few that are leased."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    await migrate(url)
    engine = open_engine(url)
    asked: list[tuple[str, Any]] = []

    def hear(_connection: object, _cursor: object, *what: Any) -> None:
        asked.append((what[0], what[1]))

    sa.event.listen(engine, "before_cursor_execute", hear)
    database = Database(engine, ClockDouble())
    await Backlog(database, BATCH).dead_leases(after)
    ((statement, values),) = asked
    with engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        steps = [row[-1] for row in plan]
    await database.close()

    assert any("ix_signups_lease" in step for step in steps), steps
