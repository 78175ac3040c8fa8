"""What replicas do at once to what has fallen due, on both databases."""

from __future__ import annotations

import asyncio
import re
import uuid
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from signupd.ledger.backlog import AT_ONCE, Backlog
from signupd.ledger.database import Database
from signupd.ledger.engine import open_engine
from signupd.ledger.ledger import Ledger
from signupd.ledger.limits import Buckets, Draw
from signupd.ledger.outbox import Outbox
from signupd.ledger.record import Event
from signupd.ledger.schema import migrate
from signupd.ledger.tables import metadata

from tests.doubles.clock import ClockDouble
from tests.integration.rows import LONG_AGO, add_events, added_up
from tests.unit.samples import row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from signupd.ledger.prepared import Prepared

BATCH = 25
EVENTS = 4_000
SINCE_THEN = LONG_AGO + 1_000
# How plans name an index, PostgreSQL's and SQLite's; and what keys' indices are called.
BY_INDEX = re.compile(r"(?:Scan using|INDEX) (\w+)")
KEYS = {f"{table}_pkey" for table in metadata.tables} | {
    f"sqlite_autoindex_{table}_1" for table in metadata.tables
}
SCANNED = re.compile("SCAN (signups|send_buckets)")
# And those by which there is one row at the most.
UNIQUE = KEYS | {
    "signups_password_flow_digest_key",
    "uq_signups_request",
    "sqlite_autoindex_signups_2",
    "sqlite_autoindex_signups_3",
}


@pytest.fixture
async def ledger_url(url: str) -> str:
    """Make an empty ledger."""
    await migrate(url)
    return url


@pytest.fixture
async def database(ledger_url: str) -> AsyncIterator[Database]:
    """Give a ledger's database with old events in it, which are added up already."""
    engine = open_engine(ledger_url)
    opened = Database(engine, ClockDouble())
    add_events(engine, EVENTS)
    await added_up(Outbox(opened))
    yield opened
    await opened.close()


async def test_events_pruned_by_replicas(database: Database) -> None:
    """Replicas that prune at once hinder nobody and lose no count."""
    replicas = [Backlog(database, BATCH) for _ in range(4)]
    before = await Outbox(database).counts()
    pruned = 0
    while pruned < EVENTS:
        rounds = (one.forget_events(SINCE_THEN) for one in replicas)
        pruned += sum(await asyncio.gather(*rounds))

    assert EVENTS == pruned
    assert before == await Outbox(database).counts()
    assert EVENTS == sum(before.events[kind.value] for kind in Event)


@pytest.mark.parametrize("batch", [1, AT_ONCE, 2 * AT_ONCE + 3])
async def test_a_few_at_a_time(database: Database, batch: int) -> None:
    """A batch is a batch, however few rows one statement takes."""
    backlog = Backlog(database, batch)
    pruned = [await backlog.forget_events(SINCE_THEN) for _ in range(2)]
    rest = await Backlog(database, EVENTS).forget_events(SINCE_THEN)

    assert [batch, batch] == pruned
    assert EVENTS == rest + sum(pruned)


async def test_rests(database: Database) -> None:
    """After each statement callers have the database to themselves."""
    rests: list[float] = []

    async def rest(seconds: float) -> None:
        rests.append(seconds)

    await Backlog(database, 2 * AT_ONCE + 3, rest).forget_events(SINCE_THEN)

    assert 3 == len(rests)
    assert min(rests) > 0


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
    ledger_url: str, asks: Callable[[Backlog], Awaitable[object]], index: str
) -> None:
    """What is due is found by an index made for it, and changed by its key.

    Any other way rows are gone through that are not due, and changes wait meanwhile. No
    statistics have been gathered of this ledger, nor of one that has grown fast.
    """
    engine = open_engine(ledger_url)
    asked: list[tuple[str, Any]] = []

    def hear(_connection: object, _cursor: object, *what: Any) -> None:
        asked.append((what[0], what[1]))

    sa.event.listen(engine, "before_cursor_execute", hear)
    database = Database(engine, ClockDouble())
    await asks(Backlog(database, BATCH))
    ((statement, values),) = asked
    explain = "EXPLAIN" if database.shared else "EXPLAIN QUERY PLAN"
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(f"{explain} {statement}", values).all()
    await database.close()

    plan = "\n".join(row[-1] for row in rows)
    assert {index} == set(BY_INDEX.findall(plan)) - KEYS, plan
    assert "Seq Scan" not in plan
    assert "SCAN" not in plan


class Noting(Database):
    """A database that notes the statements that are prepared for it."""

    def prepare(self, statement: sa.Executable) -> Prepared:
        """Note it."""
        made = super().prepare(statement)
        self.__dict__.setdefault("prepared", []).append(made)
        return made


async def test_callers_rows_are_found_by_keys(ledger_url: str) -> None:
    """Whatever a call reads or changes is found by a key, in an empty ledger too.

    A way that is good for few rows is kept until statistics are gathered, and a ledger
    may have grown by many before that.
    """
    engine = open_engine(ledger_url)
    database = Noting(engine, ClockDouble())
    ledger, record = Ledger(database), row(sends=1)
    await ledger.add(record)
    record = await ledger.change(record, sends=2)
    record = await ledger.change(record, unapproved=True, sends=3)
    await Buckets(database).take([Draw(b"a" * 32, 1, 1), Draw(b"b" * 32, 1, 1)])
    prepared: list[Prepared] = database.__dict__["prepared"]
    with engine.connect() as connection:
        plans = [_plan(connection, one, shared=database.shared) for one in prepared]
    await database.close()

    assert len(prepared) > 9
    for one, plan in zip(prepared, plans, strict=True):
        assert set(BY_INDEX.findall(plan)) <= UNIQUE, (one.sql, plan)
        assert "Seq Scan" not in plan
        assert not SCANNED.search(plan), plan


def _plan(connection: sa.Connection, prepared: Prepared, *, shared: bool) -> str:
    """Tell how a statement will be run, whatever its values."""
    if not shared:
        driver: Any = connection.connection.driver_connection
        nothing = [None] * len(prepared.binary)
        steps = driver.execute(f"EXPLAIN QUERY PLAN {prepared.sql}", nothing)
        return "\n".join(step[-1] for step in steps)
    run = connection.exec_driver_sql
    run("SET plan_cache_mode = force_generic_plan")
    run(f"PREPARE asked AS {prepared.sql}")
    values = ", ".join(["NULL"] * len(prepared.binary))
    rows = run(f"EXPLAIN EXECUTE asked{f'({values})' if values else ''}").all()
    run("DEALLOCATE asked")
    return "\n".join(one[0] for one in rows)
