"""SQLite's one writer: changes that wait for it share a commit, and nothing else."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from signupd.errors import LedgerUnavailable
from signupd.ledger.database import MOST_TOGETHER, Database
from signupd.ledger.engine import open_engine
from signupd.ledger.statements import ConstraintBroken, commits

from tests.doubles.clock import ClockDouble

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

things = sa.Table(
    "things",
    sa.MetaData(),
    sa.Column("name", sa.Text, primary_key=True),
)
ADDING = things.insert()
NAMES = sa.select(things.c.name).order_by(things.c.name)
# A statement that SQLite answers by giving up the whole transaction.
POISON = "poison"
TRIGGER = f"""
    CREATE TRIGGER poisoned BEFORE INSERT ON things WHEN new.name = '{POISON}'
    BEGIN SELECT RAISE(ROLLBACK, 'poisoned'); END
"""


class Ledger:
    """A database with one table, and a count of its commits."""

    def __init__(self, path: Path) -> None:
        self.commits = self.connections = 0
        self.threads: list[int] = []  # those that inserted
        self.path = path / "ledger.db"
        self._patient = True
        engine = open_engine(f"sqlite:///{self.path}")
        sa.event.listen(engine, "connect", self._connected)
        with engine.connect() as connection:
            things.create(connection)
            connection.exec_driver_sql(TRIGGER)
        self.database = Database(engine, ClockDouble())
        named = things.insert().values(name=sa.bindparam("name", type_=sa.Text))
        self._inserting = self.database.prepare(named)

    def impatient(self) -> None:
        """Have connections made from now on wait for no lock."""
        self._patient = False

    async def add(self, name: str) -> None:
        """Make one change."""
        await self.database.run(ADDING, {"name": name})

    async def insert(self, name: str) -> None:
        """Make one change by a prepared statement."""
        await self.database.run(self._inserting, {"name": name})

    async def names(self) -> list[str]:
        """Read what is there."""
        return (await self.database.run(NAMES)).scalars

    def _connected(self, connection: Any, _record: object) -> None:
        self.connections += 1
        connection.set_trace_callback(self._count)
        if not self._patient:
            connection.execute("PRAGMA busy_timeout = 0")

    def _count(self, statement: str) -> None:
        self.commits += statement == "COMMIT"
        if statement.startswith("INSERT"):
            self.threads.append(threading.get_ident())


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    """Open a database of its own."""
    opened = Ledger(tmp_path)
    yield opened
    await opened.database.close()


@pytest.mark.parametrize(
    ("changes", "commits"), [(2, 1), (MOST_TOGETHER, 1), (MOST_TOGETHER + 2, 2)]
)
async def test_commits(ledger: Ledger, changes: int, commits: int) -> None:
    """Changes that come at once share a commit, up to a number."""
    names = [f"{n:03}" for n in range(changes)]
    await asyncio.gather(*map(ledger.add, names))

    assert names == await ledger.names()
    assert commits == ledger.commits


async def test_in_place(ledger: Ledger) -> None:
    """Prepared ones are made by the loop itself, once there is a connection."""
    await ledger.insert("a")
    await asyncio.gather(*map(ledger.insert, "bcd"))

    assert ["a", "b", "c", "d"] == await ledger.names()
    assert threading.get_ident() != ledger.threads[0]
    assert {threading.get_ident()} == set(ledger.threads[-3:])
    assert 1 == ledger.commits


async def test_in_place_fails(ledger: Ledger) -> None:
    """There too a change that breaks a rule leaves those beside it alone."""
    await ledger.insert("a")
    names = ["b", "a", "c"]
    outcomes = await asyncio.gather(*map(ledger.insert, names), return_exceptions=True)

    assert [type(None), ConstraintBroken, type(None)] == [*map(type, outcomes)]
    assert ["a", "b", "c"] == await ledger.names()


async def test_in_place_lost(ledger: Ledger) -> None:
    """One that takes the transaction along is told as the thread has it."""
    await ledger.insert("a")
    names = ["b", POISON, "c"]
    outcomes = await asyncio.gather(*map(ledger.insert, names), return_exceptions=True)
    await ledger.insert("d")

    assert {LedgerUnavailable} == {*map(type, outcomes)}
    assert ["a", "d"] == await ledger.names()


async def test_in_place_locked(ledger: Ledger) -> None:
    """The loop does not wait for another process' lock; a thread does."""
    await ledger.insert("a")
    with closing(sqlite3.connect(ledger.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(ledger.insert("b"))
        done, _ = await asyncio.wait([waiting], timeout=0.2)
        other.execute("ROLLBACK")
    await waiting

    assert set() == done
    assert ["a", "b"] == await ledger.names()


async def test_change_alone(ledger: Ledger) -> None:
    """A single one commits by itself."""
    await ledger.add("a")

    assert ["a"] == await ledger.names()
    assert 0 == ledger.commits


async def test_one_fails(ledger: Ledger) -> None:
    """A change that breaks a rule leaves those beside it alone."""
    names = ["a", "b", "b", "c"]
    outcomes = await asyncio.gather(*map(ledger.add, names), return_exceptions=True)

    assert [type(None), type(None), ConstraintBroken, type(None)] == [
        type(outcome) for outcome in outcomes
    ]
    assert ["a", "b", "c"] == await ledger.names()


async def test_key_is_there(ledger: Ledger) -> None:
    """That a key is there already, which is usual, costs no connection."""
    await ledger.add("a")
    before = ledger.connections
    for _ in range(3):
        with pytest.raises(ConstraintBroken):
            await ledger.add("a")

    assert before == ledger.connections


async def test_locked(ledger: Ledger, tmp_path: Path) -> None:
    """Where another process does not let go of the file, all that wait are told."""
    ledger.impatient()
    with sqlite3.connect(tmp_path / "ledger.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        outcomes = await asyncio.gather(
            *map(ledger.add, ["a", "b"]), return_exceptions=True
        )
        other.execute("ROLLBACK")
    other.close()
    await ledger.add("c")

    assert [LedgerUnavailable] * 2 == [type(outcome) for outcome in outcomes]
    assert ["c"] == await ledger.names()


async def test_all_fail(ledger: Ledger) -> None:
    """Where SQLite gives the transaction up, nobody hears that theirs was made."""
    names = ["a", POISON, "c"]
    outcomes = await asyncio.gather(*map(ledger.add, names), return_exceptions=True)
    await ledger.add("d")

    assert [LedgerUnavailable] * 3 == [type(outcome) for outcome in outcomes]
    assert ["d"] == await ledger.names()


async def test_caller_gone(ledger: Ledger) -> None:
    """Who no longer waits does not keep the others from hearing of theirs."""
    tasks = [asyncio.create_task(ledger.add(name)) for name in ("a", "b")]
    await asyncio.sleep(0)  # both are waiting for the writer now
    tasks[0].cancel()
    await tasks[1]

    assert tasks[0].cancelled()
    assert "b" in await ledger.names()


async def test_close(tmp_path: Path) -> None:
    """What is under way is made before the database is closed; twice does no harm."""
    ledger = Ledger(tmp_path)
    change = asyncio.create_task(ledger.add("yesterday"))
    await asyncio.sleep(0)
    await ledger.database.close()
    await ledger.database.close()
    await change

    assert b"yesterday" in (tmp_path / "ledger.db").read_bytes()


async def test_closed(ledger: Ledger) -> None:
    """What comes afterwards is refused, reads and changes alike."""
    await ledger.database.close()

    for late in (ledger.add("a"), ledger.add("b"), ledger.names()):
        with pytest.raises(LedgerUnavailable):
            await late


def test_readers_in_the_way(tmp_path: Path) -> None:
    """Without a WAL a commit that readers are in the way of is left for later."""
    writer, reader = (
        sqlite3.connect(tmp_path / "journal.db", timeout=0, isolation_level=None)
        for _ in range(2)
    )
    writer.execute("CREATE TABLE things (name TEXT)")
    writer.executemany("INSERT INTO things VALUES (?)", [("a",), ("b",)])
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("INSERT INTO things VALUES ('c')")
    reading = reader.execute("SELECT name FROM things")
    reading.fetchone()
    before, open_still = commits(writer), writer.in_transaction
    reading.close()
    after = commits(writer)
    with pytest.raises(sqlite3.OperationalError):
        commits(writer)  # there is nothing to commit
    count = reader.execute("SELECT count(*) FROM things").fetchone()
    writer.close()
    reader.close()

    assert (False, True, True) == (before, open_still, after)
    assert (3,) == count
