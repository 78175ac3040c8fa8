"""SQLite's reads where they are asked for: as a thread's, and never in the way."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from signupd.errors import LedgerUnavailable
from signupd.ledger.database import Database
from signupd.ledger.engine import open_engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from signupd.ledger.prepared import Prepared

    from tests.doubles.clock import ClockDouble

things = sa.Table("things", sa.MetaData(), sa.Column("name", sa.Text, primary_key=True))
FINDING = sa.select(things.c.name).where(things.c.name == sa.bindparam("name"))


class Ledger:
    """A database with one table, and a note of which threads read it."""

    def __init__(self, path: Path, clock: ClockDouble) -> None:
        self.file = path / "ledger.db"
        self.threads: list[int] = []
        self.connected = 0
        engine = open_engine(f"sqlite:///{self.file}")
        with engine.connect() as connection:
            things.create(connection)
        engine.dispose()  # that one tells nothing of itself
        sa.event.listen(engine, "connect", self._connected)
        self.database = Database(engine, clock)
        self.finding: Prepared = self.database.prepare(FINDING)

    async def add(self, name: str) -> None:
        """Make a change."""
        await self.database.run(things.insert(), {"name": name})

    async def find(self, name: str) -> list[str]:
        """Read."""
        return (await self.database.run(self.finding, {"name": name})).scalars

    async def at_once(self) -> None:
        """Read until it is done in this thread."""
        while self.threads[-1:] != [threading.get_ident()]:
            await self.find("nobody")

    def _connected(self, connection: Any, _record: object) -> None:
        self.connected += 1
        connection.set_trace_callback(self._note)

    def _note(self, statement: str) -> None:
        if statement.startswith("SELECT things"):
            self.threads.append(threading.get_ident())


@pytest.fixture
async def ledger(tmp_path: Path, clock: ClockDouble) -> AsyncIterator[Ledger]:
    """Open a database of its own."""
    opened = Ledger(tmp_path, clock)
    yield opened
    await opened.database.close()


async def test_first_reads(ledger: Ledger) -> None:
    """Until there is a connection threads read; then this one does."""
    await ledger.add("ann")
    first = await ledger.find("ann")
    await ledger.at_once()
    before = ledger.connected
    then = [await ledger.find("ann") for _ in range(5)]

    assert [["ann"]] * 6 == [first, *then]
    assert threading.get_ident() != ledger.threads[0]
    assert {threading.get_ident()} == set(ledger.threads[-5:])
    assert before == ledger.connected


async def test_own_changes(ledger: Ledger) -> None:
    """What was changed is seen by whoever reads afterwards."""
    await ledger.at_once()
    for name in ("ann", "ben", "cid"):
        await ledger.add(name)

        assert [name] == await ledger.find(name)


async def test_beside_a_writer(ledger: Ledger) -> None:
    """Who writes does not keep anybody from reading."""
    await ledger.add("ann")
    await ledger.at_once()
    with closing(sqlite3.connect(ledger.file)) as other:
        other.execute("BEGIN EXCLUSIVE")

        assert ["ann"] == await ledger.find("ann")
    assert threading.get_ident() == ledger.threads[-1]


async def test_held_by_another(ledger: Ledger) -> None:
    """A file that somebody keeps to himself is waited for elsewhere than here."""
    with closing(sqlite3.connect(ledger.file)) as other:
        _keep_to_itself(other)
        waiting = asyncio.create_task(ledger.find("ann"))
        done, _ = await asyncio.wait([waiting], timeout=0.2)  # the loop goes on
    found = await waiting

    assert (set(), ["ann"]) == (done, found)


def _keep_to_itself(other: sqlite3.Connection) -> None:
    other.isolation_level = None
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("INSERT INTO things VALUES ('ann')")


def _open_files(path: Path) -> list[str]:
    files = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            files.append(str(descriptor.readlink()))
    return [one for one in files if one.startswith(str(path))]


async def test_lost_table(ledger: Ledger) -> None:
    """What is wrong is told as it always is, and mended by itself."""
    await ledger.add("ann")
    await ledger.at_once()
    with closing(sqlite3.connect(ledger.file)) as other:
        other.execute("ALTER TABLE things RENAME TO elsewhere")
        with pytest.raises(LedgerUnavailable):
            await ledger.find("ann")
        other.execute("ALTER TABLE elsewhere RENAME TO things")

    assert ["ann"] == await ledger.find("ann")
    await ledger.at_once()


async def test_closed_while_it_opens(ledger: Ledger) -> None:
    """One that is closed at once leaves no connection behind."""
    await ledger.find("ann")
    await ledger.database.close()

    assert [] == _open_files(ledger.file)
    with pytest.raises(LedgerUnavailable):
        await ledger.find("ann")
