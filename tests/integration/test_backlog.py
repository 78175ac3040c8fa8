"""What replicas do at once to what has fallen due, on both databases."""

from __future__ import annotations

import asyncio
import random
import re
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
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from devstack.postgres import Postgres

BATCH = 25
EVENTS = 4_000
LONG_AGO, SINCE_THEN = 1_000, 2_000
# SQLite's own names: of a primary key's index, and of a key that is the row's number.
KEY = re.compile(r"sqlite_autoindex_\w+_1 |INTEGER PRIMARY KEY ")


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


@pytest.mark.parametrize(
    ("asks", "index"),
    [
        (lambda backlog: backlog.dead_leases(None), "ix_signups_lease"),
        (lambda backlog: backlog.dead_leases(uuid.uuid4()), "ix_signups_lease"),
        (lambda backlog: backlog.expire(), "ix_signups_expire"),
        (lambda backlog: backlog.forget_passwords(LONG_AGO), "ix_signups_passwords"),
        (lambda backlog: backlog.forget_signups(LONG_AGO), "ix_signups_state"),
        (lambda backlog: backlog.forget_events(LONG_AGO), "ix_events_time"),
        (lambda backlog: backlog.forget_buckets(), "ix_send_buckets_full"),
    ],
)
async def test_what_is_due_has_an_index(
    tmp_path: Path, asks: Callable[[Backlog], Awaitable[object]], index: str
) -> None:
    """SQLite finds what is due by an index made for it, and changes it by its key.

    Any other way it goes through rows that are not due, and all changes wait meanwhile.
    """
    url = f"sqlite:///{tmp_path}/ledger.db"
    await migrate(url)
    engine = open_engine(url)
    asked: list[tuple[str, Any]] = []

    def hear(_connection: object, _cursor: object, *what: Any) -> None:
        asked.append((what[0], what[1]))

    sa.event.listen(engine, "before_cursor_execute", hear)
    database = Database(engine, ClockDouble())
    await asks(Backlog(database, BATCH))
    ((statement, values),) = asked
    with engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        steps = [row[-1] for row in plan if " USING " in row[-1]]
    await database.close()

    *changed, found = (step for step in steps if "TEMP B-TREE" not in step)
    assert f"INDEX {index} " in found, steps
    assert all(KEY.search(step) for step in changed), steps
