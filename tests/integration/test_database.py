"""The ledger's database, PostgreSQL or SQLite: transactions, locks, outages."""

import asyncio
import contextlib
import os
import signal
import socket
import sqlite3
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from signupd.errors import LedgerUnavailable
from signupd.ledger import statements
from signupd.ledger.database import Database, Steps, make_database
from signupd.ledger.ledger import Ledger
from signupd.ledger.migrate import migrate
from signupd.ledger.postgres import CONNECTIONS, PostgresDatabase
from signupd.ledger.sqlite import connect

from devstack.postgres import Postgres
from tests.doubles.clock import ClockDouble

WHO = "SELECT pg_backend_pid()"
WHO_SLOWLY = "SELECT pg_backend_pid() FROM pg_sleep(0.05)"
CUT = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
PIDS = "SELECT pid FROM pg_stat_activity WHERE datname = %s"
SHORT_SECONDS = 1.0
# Bounds a hang.
PATIENCE_SECONDS = 60.0


async def buckets(database: Database) -> int:
    """Count the buckets that have a row."""
    result = await database.run("SELECT count(*) FROM send_buckets")
    return int(result.rows[0][0])


async def fill(database: Database, digest: bytes = b"a") -> None:
    """Add a bucket."""
    await database.run(statements.PROBE, digest=digest)


async def test_failed_transaction(database: Database) -> None:
    """A transaction that fails is rolled back and does not block the next one."""

    def steps() -> Steps[None]:
        yield statements.PROBE, {"digest": b"a"}
        raise LookupError

    with pytest.raises(LookupError):
        await database.transact(steps())
    await fill(database, b"b")

    assert 1 == await buckets(database)


async def test_durable(tmp_path: Path) -> None:
    """A SQLite connection waits for locks, and a commit survives a power cut."""
    file = tmp_path / "ledger.db"
    with closing(connect(file)) as connection:
        found = [
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "busy_timeout")
        ]

    assert ["wal", 2, 5000] == found


async def test_read_only(tmp_path: Path, clock: ClockDouble) -> None:
    """A read-only SQLite ledger is neither changed nor created."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    database = make_database(url, clock, read_only=True)
    with pytest.raises(LedgerUnavailable):
        await database.open()
    await database.close()

    assert [] == os.listdir(tmp_path)  # noqa: PTH208 - no path is awaited here
    await migrate(url)
    database = make_database(url, clock, read_only=True)
    with pytest.raises(LedgerUnavailable):
        await fill(database)
    assert 0 == await buckets(database)
    await database.close()


async def test_read_only_server(postgres: Postgres, clock: ClockDouble) -> None:
    """A PostgreSQL that takes no changes is not ready."""
    url = postgres.create_database(f"read_only_{uuid.uuid4().hex}")
    url = url.replace("postgresql://", "postgres://")
    await migrate(url)
    database = make_database(url, clock, read_only=True)
    await database.open()
    with pytest.raises(LedgerUnavailable):
        await Ledger(database).probe()
    await database.close()


async def test_locked_by_another_process(tmp_path: Path, clock: ClockDouble) -> None:
    """While another process holds SQLite's lock, changes wait and reads do not."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    await migrate(url)
    database = make_database(url, clock)
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as held:
        held.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(fill(database))
        read = await buckets(database)
        waited = waiting.done()
        held.execute("ROLLBACK")
        await waiting
        held.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerUnavailable):
            await fill(database, b"b")
    await fill(database, b"c")

    assert (0, False) == (read, waited)
    assert 2 == await buckets(database)
    await database.close()


COUNT = "import sqlite3, sys; print(*sqlite3.connect(sys.argv[1]).execute(sys.argv[2]))"


async def test_read_by_other_processes(tmp_path: Path, clock: ClockDouble) -> None:
    """Another process sees each change, also after an earlier process has exited.

    That one would delete the write-ahead log if the server had lost its locks.
    """
    url = f"sqlite:///{tmp_path}/ledger.db"
    await migrate(url)
    database = make_database(url, clock)
    seen = []
    for digest in (b"a", b"b", b"c"):
        await fill(database, digest)
        await buckets(database)
        counted = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", COUNT, str(tmp_path / "ledger.db")),
            "SELECT count(*) FROM send_buckets",
            stdout=asyncio.subprocess.PIPE,
        )
        seen.append((await counted.communicate())[0].decode().strip())
    await database.close()

    assert ["(1,)", "(2,)", "(3,)"] == seen


@pytest.fixture
async def server(postgres: Postgres, clock: ClockDouble) -> AsyncIterator[Database]:
    """Make a database on PostgreSQL."""
    url = postgres.create_database(f"server_{uuid.uuid4().hex}")
    database = make_database(url, clock)
    await database.open()
    yield database
    await database.close()


async def who(database: Database, statement: str = WHO) -> int:
    """Return the number of the server's process that answers."""
    return int((await database.run(statement)).rows[0][0])


async def test_connections_cut(postgres: Postgres, server: Database) -> None:
    """When the server has ended all connections, at most one statement fails."""
    await asyncio.gather(*(who(server, WHO_SLOWLY) for _ in range(CONNECTIONS)))
    ((name,),) = (await server.run("SELECT current_database()")).rows
    with psycopg.connect(f"{postgres.url}/postgres", autocommit=True) as other:
        other.execute(CUT, [name])
    with contextlib.suppress(LedgerUnavailable):
        await who(server)
    # All may go through one connection, until the pool has made others.
    found = await asyncio.gather(*(who(server, WHO_SLOWLY) for _ in range(20)))

    assert 20 == len(found)


async def test_stopped_processes(postgres: Postgres, clock: ClockDouble) -> None:
    """A hanging process of the server is given up; later statements use another."""
    name = f"hangs_{uuid.uuid4().hex}"
    url = postgres.create_database(name)
    database = PostgresDatabase(url, clock, call_seconds=SHORT_SECONDS)
    await database.open()
    await who(database)
    with psycopg.connect(f"{postgres.url}/postgres") as other:
        rows = other.execute(PIDS, [name]).fetchall()
    stopped = {pid for (pid,) in rows}
    answers = set()
    try:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        for _ in range(len(stopped) + 1):
            with contextlib.suppress(LedgerUnavailable):
                answers.add(await who(database))
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
        await database.close()

    assert answers
    assert answers.isdisjoint(stopped)


async def test_silent_server(clock: ClockDouble) -> None:
    """The wait for a server that accepts connections and says nothing is bounded."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        url = f"postgresql://u@{address}/x?connect_timeout=2"
        database = make_database(url, clock)
        async with asyncio.timeout(PATIENCE_SECONDS):
            with pytest.raises(LedgerUnavailable):
                await database.open()
        await database.close()
