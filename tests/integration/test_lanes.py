"""Prepared statements on PostgreSQL: run from the loop, and nothing lost on the way."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
import pytest
import sqlalchemy as sa
from signupd.errors import LedgerUnavailable
from signupd.ledger import jobs, lanes
from signupd.ledger.database import Database
from signupd.ledger.engine import CONNECTIONS, open_engine
from signupd.ledger.statements import ConstraintBroken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from signupd.ledger.prepared import Prepared

    from devstack.postgres import Postgres
    from tests.doubles.clock import ClockDouble

things = sa.Table("things", sa.MetaData(), sa.Column("name", sa.Text, primary_key=True))
NAMES = sa.select(things.c.name).order_by(things.c.name)
ADDING = things.insert().values(name=sa.bindparam("name", type_=sa.Text))
SLOWLY = things.insert().from_select(
    ["name"],
    sa.select(sa.bindparam("name", type_=sa.Text)).where(
        sa.func.pg_sleep(sa.bindparam("seconds", type_=sa.Double)).is_not(None)
    ),
)
WHO = sa.select(sa.func.pg_backend_pid())
WHO_SLOWLY = WHO.where(sa.func.pg_sleep(0.05).is_not(None))
# More than a socket takes at once.
LARGE = 16 * 1024 * 1024
SHORT_SECONDS = 0.3
POLL_SECONDS = 0.01


@pytest.fixture
async def database(postgres: Postgres, clock: ClockDouble) -> AsyncIterator[Database]:
    """Open a database with one table."""
    url = postgres.create_database(f"lanes_{uuid.uuid4().hex}")
    engine = open_engine(url)
    with engine.connect() as connection:
        things.create(connection)
    opened = Database(engine, clock)
    yield opened
    await opened.close()


@pytest.fixture
def who(database: Database) -> Prepared:
    """Prepare the question which of the server's processes answers."""
    return database.prepare(WHO)


async def first(database: Database, statement: Prepared, **values: Any) -> Any:
    """Run a statement and give its first figure."""
    return (await database.run(statement, values)).scalars[0]


async def names(database: Database) -> list[str]:
    """Read what is in the table."""
    return (await database.run(NAMES)).scalars


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (sa.LargeBinary, b"\0\xff\\x00'"),
        (sa.LargeBinary, b""),
        (sa.LargeBinary, None),
        (sa.BigInteger, 2**62),
        (sa.BigInteger, -1),
        (sa.Integer, 0),
        (sa.Integer, None),
        (sa.Text, "käse 🧀 '\"\\ $1 %s"),
        (sa.Text, ""),
        (sa.Uuid, uuid.UUID(int=7)),
        (sa.Uuid, None),
    ],
)
async def test_values(database: Database, kind: Any, value: Any) -> None:
    """Values come back as they went."""
    echo = database.prepare(sa.select(sa.bindparam("value", type_=kind)))
    came = [await first(database, echo, value=value) for _ in range(2)]

    assert [value, value] == came


async def test_large(database: Database) -> None:
    """What does not fit into a socket goes all the same, there and back."""
    echo = database.prepare(sa.select(sa.bindparam("value", type_=sa.LargeBinary)))
    large = os.urandom(LARGE)

    assert large == await first(database, echo, value=large)
    assert b"small" == await first(database, echo, value=b"small")


async def test_count(database: Database) -> None:
    """It is told how many rows a change met."""
    adding, removing = database.prepare(ADDING), database.prepare(things.delete())
    for name in "abc":
        await database.run(adding, {"name": name})
    counts = [(await database.run(removing)).count for _ in range(2)]

    assert [3, 0] == counts


async def test_at_once(database: Database) -> None:
    """Those that come at once have connections of their own, up to a number."""
    slowly = database.prepare(WHO_SLOWLY)
    pids = await asyncio.gather(*(first(database, slowly) for _ in range(50)))

    assert 1 < len(set(pids)) < CONNECTIONS["postgresql"]


async def test_one_after_another(database: Database, who: Prepared) -> None:
    """Those that come in turn share the connection used last."""
    slowly = database.prepare(WHO_SLOWLY)
    await asyncio.gather(*(first(database, slowly) for _ in range(5)))
    for thread in threading.enumerate():
        if thread.name == "ledger-connect":  # or a new one comes later, as the last
            await asyncio.to_thread(thread.join)
    await first(database, who)

    assert 1 == len({await first(database, who) for _ in range(5)})


async def test_key_is_there(database: Database, who: Prepared) -> None:
    """That a key is there already, which is usual, costs no connection."""
    adding = database.prepare(ADDING)
    await database.run(adding, {"name": "a"})
    before = await first(database, who)
    with pytest.raises(ConstraintBroken):
        await database.run(adding, {"name": "a"})

    assert before == await first(database, who)
    assert ["a"] == await names(database)


async def test_refused(database: Database, who: Prepared) -> None:
    """A statement that the server refuses fails alone."""
    over = 1 / sa.bindparam("n", type_=sa.Integer)
    wrong = database.prepare(sa.select(sa.type_coerce(over, sa.Integer)))
    outcomes = await asyncio.gather(
        database.run(wrong, {"n": 0}), database.run(who), return_exceptions=True
    )

    assert isinstance(outcomes[0], LedgerUnavailable)
    assert "zero" not in str(outcomes[0])
    assert not isinstance(outcomes[1], Exception)
    assert await first(database, who)


async def test_no_such_table(database: Database, who: Prepared) -> None:
    """So does one that the server does not understand."""
    lost = database.prepare(sa.select(sa.Table("lost", sa.MetaData(), *_columns())))
    for _ in range(2):
        with pytest.raises(LedgerUnavailable):
            await database.run(lost)

    assert await first(database, who)


def _columns() -> list[sa.Column[Any]]:
    return [sa.Column("name", sa.Text)]


async def test_values_of_another_kind(database: Database, who: Prepared) -> None:
    """A value that PostgreSQL has no form for is that statement's trouble alone."""
    echo = database.prepare(sa.select(sa.bindparam("value", type_=sa.BigInteger)))
    with pytest.raises(LedgerUnavailable):
        await database.run(echo, {"value": object()})

    assert await first(database, who)


async def test_nobody_waits(database: Database) -> None:
    """What nobody waits for any more when its turn comes is not begun."""
    slowly, adding = database.prepare(WHO_SLOWLY), database.prepare(ADDING)
    busy = [asyncio.create_task(first(database, slowly)) for _ in range(20)]
    late = asyncio.create_task(database.run(adding, {"name": "late"}))
    await asyncio.sleep(0)
    late.cancel()
    await asyncio.gather(*busy)

    assert [] == await names(database)


async def test_goes_on(database: Database, who: Prepared) -> None:
    """What has begun goes on when its waiter is gone, to the end of the ledger's."""
    await first(database, who)
    slowly = database.prepare(SLOWLY)
    waiting = asyncio.create_task(
        database.run(slowly, {"name": "gone", "seconds": 0.2})
    )
    await asyncio.sleep(0)
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    await database.close()

    again = Database(open_engine(_url(database)), lambda: 0)
    assert ["gone"] == await names(again)
    await again.close()


def _url(database: Database) -> str:
    engine: sa.Engine = database._engine  # noqa: SLF001 - its ledger is closed
    return str(engine.url.set(drivername="postgresql"))


async def test_closed(database: Database, who: Prepared) -> None:
    """A closed one begins nothing."""
    await first(database, who)
    await database.close()
    with pytest.raises(LedgerUnavailable):
        await database.run(who)


async def test_hangs(
    database: Database,
    postgres: Postgres,
    who: Prepared,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server's process that hangs is let go of; the next statement has another."""
    pid = await first(database, who)
    monkeypatch.setattr(jobs, "LONGEST_SECONDS", SHORT_SECONDS)
    monkeypatch.setattr(lanes, "WAIT_SECONDS", 0.0)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(LedgerUnavailable):
            await database.run(who)
        monkeypatch.undo()
        other = await first(database, who)
    finally:
        os.kill(pid, signal.SIGCONT)
    await asyncio.to_thread(_wait_until, postgres, GONE, pid)

    assert pid != other


async def test_too_many(
    database: Database, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waited too long for its turn is told so, and costs no connection."""
    slowly = database.prepare(WHO_SLOWLY)
    await asyncio.gather(*(first(database, slowly) for _ in range(20)))
    before = await asyncio.to_thread(_connected, postgres, database)
    monkeypatch.setattr(jobs, "LONGEST_SECONDS", 0.5)
    many = (first(database, slowly) for _ in range(300))
    outcomes = await asyncio.gather(*many, return_exceptions=True)
    monkeypatch.undo()
    await asyncio.gather(*(first(database, slowly) for _ in range(20)))
    after = await asyncio.to_thread(_connected, postgres, database)

    late = [one for one in outcomes if isinstance(one, LedgerUnavailable)]
    assert 0 < len(late) < 300
    assert before <= after


@pytest.mark.parametrize("most", [1, 2])
async def test_few_connections(
    postgres: Postgres, clock: ClockDouble, most: int
) -> None:
    """Where the server lets in fewer than wanted, those do all there is to do."""
    name = f"few_{uuid.uuid4().hex}"
    url = postgres.create_database(name)
    with psycopg.connect(url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT {most}".encode())
    database = Database(open_engine(url.replace("signupd@", f"{name}@")), clock)
    slowly = database.prepare(WHO_SLOWLY)
    await first(database, slowly)
    pids = await asyncio.gather(*(first(database, slowly) for _ in range(10)))
    await database.close()

    assert 1 <= len(set(pids)) <= most


async def test_hangs_at_the_door(
    clock: ClockDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that takes connections and says nothing is not waited for long.

    Nor is it tried without end, or at the ledger's end.
    """
    monkeypatch.setattr(jobs, "LONGEST_SECONDS", SHORT_SECONDS)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        database = Database(open_engine(f"postgresql://u@127.0.0.1:{port}/x"), clock)
        who = database.prepare(WHO)
        for _ in range(3):
            outcomes = await asyncio.gather(
                *(database.run(who) for _ in range(10)), return_exceptions=True
            )
            assert {LedgerUnavailable} == {type(one) for one in outcomes}
        trying = [t for t in threading.enumerate() if t.name == "ledger-connect"]
        begun = time.monotonic()
        await database.close()

    assert len(trying) < CONNECTIONS["postgresql"]
    assert time.monotonic() - begun < 1


async def test_nobody_waits_for_a_connection(database: Database, who: Prepared) -> None:
    """What was given up before there was a connection is not begun either."""
    adding = database.prepare(ADDING)
    waiting = asyncio.create_task(database.run(adding, {"name": "early"}))
    await asyncio.sleep(0)
    waiting.cancel()
    await first(database, who)

    assert [] == await names(database)


async def test_gone_while_it_answers(
    database: Database, postgres: Postgres, who: Prepared
) -> None:
    """A connection that is cut fails the statement on it; the next goes through."""
    slowly = database.prepare(SLOWLY)
    await database.run(slowly, {"name": "before", "seconds": 0})
    pid = await first(database, who)
    waiting = asyncio.create_task(database.run(slowly, {"name": "cut", "seconds": 4}))
    await asyncio.to_thread(_wait_until, postgres, AT_WORK, pid)
    await asyncio.to_thread(_cut, postgres, pid)
    with pytest.raises(LedgerUnavailable):
        await waiting

    assert pid != await first(database, who)
    assert ["before"] == await names(database)


AT_WORK = "SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'"
GONE = "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)"


def _wait_until(postgres: Postgres, condition: LiteralString, pid: int) -> None:
    with psycopg.connect(f"{postgres.url}/postgres", autocommit=True) as other:
        while other.execute(condition, [pid]).fetchone() is None:
            time.sleep(POLL_SECONDS)


def _connected(postgres: Postgres, database: Database) -> set[int]:
    """Name the server's processes for a database."""
    asked = "SELECT pid FROM pg_stat_activity WHERE datname = %s"
    name = _url(database).rpartition("/")[2]
    with psycopg.connect(f"{postgres.url}/postgres", autocommit=True) as other:
        return {pid for (pid,) in other.execute(asked, [name])}


def _cut(postgres: Postgres, pid: int) -> None:
    with psycopg.connect(f"{postgres.url}/postgres", autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
