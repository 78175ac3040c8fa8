"""The counts of events, and how the sweeper adds them up, on both databases."""

from __future__ import annotations

import asyncio
import re
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic import command
from signupd.ledger import schema
from signupd.ledger.backlog import Backlog
from signupd.ledger.database import Database
from signupd.ledger.engine import open_engine
from signupd.ledger.outbox import MOST_AT_ONCE, Outbox
from signupd.ledger.record import Event
from signupd.ledger.schema import migrate
from signupd.ledger.tables import event_totals, event_watermark, events

from tests.integration.rows import (
    LONG_AGO,
    add_events,
    add_signups,
    added_up,
    event,
    expire,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from devstack.postgres import Postgres
    from tests.doubles.clock import ClockDouble

EVENTS = 2 * MOST_AT_ONCE + 500
BATCH = 100
REPLICAS = 4
ALL_EVENTS = re.compile(r"Seq Scan on events|SCAN events")
BY_KEY = re.compile(
    r"events_pkey on events|events USING INTEGER PRIMARY KEY \(rowid>\?\)"
)
# At no cost PostgreSQL takes other processes, as it does for what seems to be much.
FOR_PARALLEL_WORK = (
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "min_parallel_index_scan_size",
    "min_parallel_table_scan_size",
)


@pytest.fixture
async def database(url: str, clock: ClockDouble) -> AsyncIterator[Database]:
    """Give an empty ledger's database."""
    await migrate(url)
    opened = Database(open_engine(url), clock)
    yield opened
    await opened.close()


@pytest.fixture
def engine(url: str, database: Database) -> Iterator[sa.Engine]:
    """Give a way into the ledger past the service."""
    with _way_into(url) as engine:
        yield engine


@dataclass(frozen=True, slots=True)
class Postgresql:
    """A ledger on PostgreSQL, and ways into it past the service."""

    database: Database
    engine: sa.Engine
    other: sa.Engine

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Write in a transaction that is committed at the end."""
        with self.other.begin() as connection:
            connection.exec_driver_sql("SELECT pg_current_xact_id()")
            yield connection


@pytest.fixture
async def postgresql(
    postgres: Postgres, clock: ClockDouble
) -> AsyncIterator[Postgresql]:
    """Give an empty ledger on PostgreSQL."""
    url = postgres.create_database(f"outbox_{uuid.uuid4().hex}")
    await migrate(url)
    with _way_into(url) as engine, _way_into(url, transactions=True) as other:
        database = Database(open_engine(url), clock)
        yield Postgresql(database, engine, other)
        await database.close()


@contextmanager
def _way_into(url: str, *, transactions: bool = False) -> Iterator[sa.Engine]:
    engine = open_engine(url, transactions=transactions)
    yield engine
    engine.dispose()


def _all(engine: sa.Engine, statement: Any) -> list[Any]:
    with engine.connect() as connection:
        result = connection.execute(statement)
        return [*result] if result.returns_rows else []


def _totals(engine: sa.Engine) -> int:
    (row,) = _all(engine, sa.select(sa.func.sum(event_totals.c["count"])))
    return int(row[0] or 0)


async def _counted(outbox: Outbox) -> dict[str, int]:
    return (await outbox.counts()).events


async def test_added_up(database: Database, engine: sa.Engine) -> None:
    """Events are added up some at a time, and what is told of them stays the same."""
    outbox = Outbox(database)
    add_events(engine, EVENTS)
    before = await _counted(outbox)
    await outbox.look()
    more, totals, told = [], [], []
    for _ in range(4):
        more.append(await outbox.add_up())
        totals.append(_totals(engine))
        told.append(await outbox.counts())

    assert EVENTS == sum(before[kind] for kind in Event)
    assert all(before[kind] > EVENTS / len(Event) / 2 for kind in Event)
    assert [before] * 4 == [counts.events for counts in told]
    assert [EVENTS - total for total in totals] == [counts.pending for counts in told]
    assert [True, True, False, False] == more
    assert [MOST_AT_ONCE, 2 * MOST_AT_ONCE, EVENTS, EVENTS] == totals


async def test_counted_since(database: Database, engine: sa.Engine) -> None:
    """What comes later is counted at once, and added up when its turn comes."""
    outbox = Outbox(database)
    add_events(engine, 7)
    await added_up(outbox)
    before = await _counted(outbox)
    _all(engine, events.insert().values(event(Event.EXPIRED)))
    at_once, totals = await _counted(outbox), _totals(engine)
    await added_up(outbox)

    assert before | {Event.EXPIRED: before[Event.EXPIRED] + 1} == at_once
    assert at_once == await _counted(outbox)
    assert [7, 8] == [totals, _totals(engine)]


async def test_only_seen_ones_are_added_up(
    database: Database, engine: sa.Engine
) -> None:
    """What was written after the last look waits for the next one."""
    outbox = Outbox(database)
    add_events(engine, 7)
    await outbox.look()
    add_events(engine, 5)

    assert (False, 7) == (await outbox.add_up(), _totals(engine))


async def test_replicas(url: str, clock: ClockDouble, engine: sa.Engine) -> None:
    """Replicas that add up and prune at once, while events come, count each once."""
    databases = [Database(open_engine(url), clock) for _ in range(REPLICAS)]
    waiting = add_signups(engine, 300)

    async def sweep(one: Database) -> None:
        outbox, backlog = Outbox(one), Backlog(one, BATCH)
        while waiting:
            await added_up(outbox)
            await backlog.forget_events(LONG_AGO)

    def write() -> None:
        while waiting:
            with engine.connect() as connection:
                expire(connection, waiting[-1])
            waiting.pop()

    told = []
    async with asyncio.TaskGroup() as group:
        for one in databases:
            group.create_task(sweep(one))
        writing = group.create_task(asyncio.to_thread(write))
        while not writing.done():
            told.append((await _counted(Outbox(databases[0])))[Event.EXPIRED])
    await added_up(Outbox(databases[0]))
    await Backlog(databases[0], 300).forget_events(LONG_AGO)
    for one in databases:
        await one.close()

    assert sorted(told) == told
    assert 300 == _totals(engine)
    assert [] == _all(engine, sa.select(events))


async def test_transactions_that_cross(postgresql: Postgresql) -> None:
    """Events are counted once, in whichever order they are committed, if they are."""
    waiting = add_signups(postgresql.engine, 600)
    writers = 3

    async def sweep() -> None:
        outbox, backlog = Outbox(postgresql.database), Backlog(postgresql.database, 9)
        while writers:
            await added_up(outbox)
            await backlog.forget_events(LONG_AGO)

    def write() -> None:
        for round_ in range(100):
            with (
                postgresql.other.connect() as first,
                postgresql.other.connect() as second,
            ):
                expire(first, waiting.pop())
                expire(second, waiting.pop())
                second.commit()
                if round_ % 4:
                    first.commit()
                else:
                    first.rollback()

    async with asyncio.TaskGroup() as group:
        for _ in range(REPLICAS):
            group.create_task(sweep())
        await asyncio.gather(*(asyncio.to_thread(write) for _ in range(writers)))
        writers = 0
    outbox = Outbox(postgresql.database)
    for _ in range(2):
        await added_up(outbox)
    counts = await _counted(outbox)

    assert 600 - 3 * 25 == counts[Event.EXPIRED] == _totals(postgresql.engine)


async def test_event_committed_late(postgresql: Postgresql) -> None:
    """An event whose id was given before others', and committed after, is counted."""
    outbox = Outbox(postgresql.database)
    with postgresql.transaction() as connection:
        connection.execute(events.insert().values(event(Event.COMPLETED)))
        add_events(postgresql.engine, 3)
        await outbox.look()
        before = await outbox.add_up(), _totals(postgresql.engine)
    counts = await _counted(outbox)
    after = await outbox.add_up(), _totals(postgresql.engine)

    assert [(False, 0), (False, 4)] == [before, after]
    assert 4 == sum(counts[kind] for kind in Event)


async def test_transaction_under_way_for_long(postgresql: Postgresql) -> None:
    """While somebody writes for long all is pending, and added up after it."""
    outbox, pending = Outbox(postgresql.database), []
    with postgresql.transaction():
        for _ in range(3):
            add_events(postgresql.engine, 5)
            await added_up(outbox)
            pending.append((await outbox.counts()).pending)
        before = _totals(postgresql.engine)
    for _ in range(2):
        await added_up(outbox)
        pending.append((await outbox.counts()).pending)

    assert (0, 15) == (before, _totals(postgresql.engine))
    assert [5, 10, 15, 10, 0] == pending


async def test_somebody_always_writes(postgresql: Postgresql) -> None:
    """Those who write need not all be done at once: it is enough that each is some day.

    They may be in another of the server's databases.
    """
    outbox, totals = Outbox(postgresql.database), []
    with ExitStack() as last:
        last.enter_context(postgresql.transaction())
        for _ in range(4):
            add_events(postgresql.engine, 5)
            await added_up(outbox)
            totals.append(_totals(postgresql.engine))
            before = last.pop_all()
            last.enter_context(postgresql.transaction())
            await added_up(outbox)
            before.close()

    assert [0, 5, 5, 10] == totals


async def test_deleted_while_it_is_added_up(postgresql: Postgresql) -> None:
    """A server of before may delete an event just as the watermark passes it."""
    outbox = Outbox(postgresql.database)
    add_events(postgresql.engine, 5)
    await outbox.look()
    delete = events.delete().where(events.c.event_id == 3)
    with (
        postgresql.engine.connect() as watching,
        postgresql.other.begin() as connection,
    ):
        moved = event_watermark.update().values(counted=event_watermark.c.seen)
        connection.execute(moved)
        deleting = asyncio.create_task(
            asyncio.to_thread(_all, postgresql.engine, delete)
        )
        waits = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while not deleting.done():
            if watching.exec_driver_sql(waits).all():
                break
            await asyncio.sleep(0)
    await deleting
    counts = await _counted(outbox)

    assert 5 == sum(counts[kind] for kind in Event) == _totals(postgresql.engine)


@pytest.mark.parametrize("seen_by", [1, 2**62])
async def test_restored_elsewhere(postgresql: Postgresql, seen_by: int) -> None:
    """The next event gets a watermark with another server's transaction going again."""
    outbox, engine = Outbox(postgresql.database), postgresql.engine
    add_events(engine, 5)
    await outbox.look()
    _all(engine, event_watermark.update().values(seen_by=seen_by))
    add_events(engine, 1)
    await added_up(outbox)
    await added_up(outbox)

    assert 6 == _totals(engine)


@pytest.mark.parametrize("is_added_up", [True, False])
async def test_deleted_by_hand(
    database: Database, engine: sa.Engine, *, is_added_up: bool
) -> None:
    """Whoever deletes an event, and when: it has been counted once."""
    outbox = Outbox(database)
    add_events(engine, 60)
    if is_added_up:
        await added_up(outbox)
    before = await _counted(outbox)
    _all(engine, events.delete().where(events.c.event_id % 3 == 0))
    between = await _counted(outbox)
    await added_up(outbox)

    assert [before, before] == [between, await _counted(outbox)]
    assert (60, 40) == (_totals(engine), len(_all(engine, sa.select(events))))


async def test_not_pruned_before(database: Database, engine: sa.Engine) -> None:
    """An event stays until it is added up, however old."""
    backlog = Backlog(database, BATCH)
    add_events(engine, 7)

    assert 0 == await backlog.forget_events(LONG_AGO)
    await added_up(Outbox(database))
    assert 7 == await backlog.forget_events(LONG_AGO)


async def test_idle(database: Database, engine: sa.Engine) -> None:
    """Where nothing has happened a round writes nothing."""
    outbox = Outbox(database)
    add_events(engine, 7)
    await added_up(outbox)
    version = "PRAGMA data_version"
    if database.shared:
        version = "SELECT xmin::text FROM event_watermark"
    with engine.connect() as connection:
        before = connection.exec_driver_sql(version).all()
        await added_up(outbox)
        after = connection.exec_driver_sql(version).all()
        add_events(engine, 1)
        await added_up(outbox)
        changed = connection.exec_driver_sql(version).all()

    assert before == after
    assert before != changed


async def test_read_by_key(url: str, clock: ClockDouble, engine: sa.Engine) -> None:
    """Counting goes through the events since the last round, and no others."""
    asking = open_engine(url)
    asked: list[tuple[str, Any]] = []

    def hear(_connection: object, _cursor: object, *what: Any) -> None:
        asked.append((what[0], what[1]))

    sa.event.listen(asking, "before_cursor_execute", hear)
    database = Database(asking, clock)
    await Outbox(database).counts()
    explain = "EXPLAIN" if database.shared else "EXPLAIN QUERY PLAN"
    await database.close()
    ((statement, values),) = asked
    with engine.connect() as connection:
        if database.shared:
            for freely in FOR_PARALLEL_WORK:
                connection.exec_driver_sql(f"SET {freely} = 0")
        rows = connection.exec_driver_sql(f"{explain} {statement}", values).all()
    plan = "\n".join(row[-1] for row in rows)

    assert BY_KEY.search(plan), plan
    assert not ALL_EVENTS.search(plan), plan
    assert "Parallel" not in plan


async def test_upgraded(url: str, clock: ClockDouble) -> None:
    """A ledger of before the watermark tells the same counts as it did."""
    with (
        _way_into(url, transactions=True) as other,
        other.begin() as connection,
    ):
        command.upgrade(schema._config(connection), "0004")  # noqa: SLF001
    with _way_into(url) as engine:
        add_events(engine, 60)
        _all(engine, events.delete().where(events.c.event_id % 3 == 0))
        before = _totals(engine)
        await migrate(url)
        database = Database(open_engine(url), clock)
        outbox = Outbox(database)
        counts = await _counted(outbox)
        await added_up(outbox)
        after, totals = await _counted(outbox), _totals(engine)
        await database.close()

    assert (20, 60) == (before, totals)
    assert counts == after
    assert 60 == sum(counts[kind] for kind in Event)
