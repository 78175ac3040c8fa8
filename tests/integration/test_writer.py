"""SQLite's one writer: changes that wait for it share a commit, and nothing else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from signupd.errors import LedgerUnavailable
from signupd.ledger.database import Database
from signupd.ledger.engine import open_engine
from signupd.ledger.writer import MOST_TOGETHER

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
        engine = open_engine(f"sqlite:///{path}/ledger.db")
        with engine.connect() as connection:
            things.create(connection)
            connection.exec_driver_sql(TRIGGER)
        sa.event.listen(engine, "before_cursor_execute", self._count)
        self.database = Database(engine, ClockDouble())
        self.commits = 0

    async def add(self, name: str) -> None:
        """Make one change."""
        await self.database.run(ADDING, {"name": name})

    async def names(self) -> list[str]:
        """Read what is there."""
        return (await self.database.run(NAMES)).scalars

    def _count(self, *what: object) -> None:
        self.commits += "COMMIT" in what


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


async def test_change_alone(ledger: Ledger) -> None:
    """A single one commits by itself."""
    await ledger.add("a")

    assert ["a"] == await ledger.names()
    assert 0 == ledger.commits


async def test_one_fails(ledger: Ledger) -> None:
    """A change that breaks a rule leaves those beside it alone."""
    names = ["a", "b", "b", "c"]
    outcomes = await asyncio.gather(*map(ledger.add, names), return_exceptions=True)

    assert [type(None), type(None), sa.exc.IntegrityError, type(None)] == [
        type(outcome) for outcome in outcomes
    ]
    assert ["a", "b", "c"] == await ledger.names()


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
    change = asyncio.create_task(ledger.add("a"))
    await asyncio.sleep(0)
    await ledger.database.close()
    await ledger.database.close()

    await change

    assert "a" in (tmp_path / "ledger.db").read_bytes().decode("latin-1")
