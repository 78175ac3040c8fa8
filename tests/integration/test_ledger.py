"""The ledger on a real database: schema, compare-and-set, the fence, its keys."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from signupd.errors import LedgerUnavailable, SignupBusy
from signupd.ledger.database import Database, make_database, sqlite_file
from signupd.ledger.ledger import Ledger
from signupd.ledger.migrate import REVISION, migrate
from signupd.ledger.record import Lease, Record

from devstack.postgres import Postgres
from tests.doubles.clock import ClockDouble
from tests.integration.rows import ADDRESS, record

SPAN = 45_000_000
MINUTE = 60_000_000
FLOW = b"f" * 32
NUMBERS = [n for n, kind in Record.__annotations__.items() if kind is int]


@asynccontextmanager
async def opened(url: str, clock: ClockDouble) -> AsyncIterator[Database]:
    """Open a ledger's database, as a further server does."""
    database = make_database(url, clock)
    await database.open()
    await Ledger(database).read_clock()
    yield database
    await database.close()


@pytest.fixture
def ledger(database: Database) -> Ledger:
    """Give a ledger with its schema."""
    return Ledger(database)


async def test_round_trip(ledger: Ledger, clock: ClockDouble) -> None:
    """Every column comes back as it was, with the moment of reading."""
    numbers = {n: 3 + i for i, n in enumerate(NUMBERS)}
    added = record(**numbers)
    bare = record(**{name: None for name in Record._fields if _optional(name)})

    for one in (added, bare):
        await ledger.add(one)
    for one in (added, bare):
        found = await ledger.find(one.signup_id)
        assert found is not None
        assert one == found.record
        assert abs(found.now - clock()) < MINUTE
    assert None is await ledger.find(uuid.uuid4())


def _optional(name: str) -> bool:
    return "None" in str(Record.__annotations__[name])


async def test_request_ids(ledger: Ledger) -> None:
    """A request id belongs to its caller and is used once."""
    first = record()
    same = record(request_id=first.request_id)
    other = record(request_id=first.request_id, caller="somebody else")

    for one in (first, other):
        await ledger.add(one)
    with pytest.raises(SignupBusy):
        await ledger.add(same)
    assert first.request_id is not None
    for one in (first, other):
        found = await ledger.find_request(one.caller, first.request_id)
        assert found is not None
        assert one.signup_id == found.record.signup_id
    assert None is await ledger.find_request("", first.request_id)


async def test_change_of_a_moved_row(ledger: Ledger) -> None:
    """A row that has changed since it was read is neither changed nor removed."""
    added = record()
    await ledger.add(added)
    changed = await ledger.change(added, sends=9, sealed=None)
    with pytest.raises(SignupBusy) as caught:
        await ledger.change(added, sends=10)
    with pytest.raises(SignupBusy):
        await ledger.remove(added)
    with pytest.raises(SignupBusy):
        await ledger.change(changed._replace(epoch=3), sends=1)
    found = await ledger.find(added.signup_id)

    assert caught.value.retry_after_seconds
    assert added._replace(sends=9, sealed=None, epoch=2) == changed
    assert found is not None
    assert changed == found.record


async def test_changes_raced(url: str, ledger: Ledger, clock: ClockDouble) -> None:
    """Of twenty changes at once, on two servers, one is made."""
    added = record()
    await ledger.add(added)
    async with opened(url, clock) as database:
        other = Ledger(database)
        outcomes = await asyncio.gather(
            *[(ledger, other)[n % 2].change(added, sends=n) for n in range(20)],
            return_exceptions=True,
        )

    assert 19 == sum(isinstance(outcome, SignupBusy) for outcome in outcomes)
    assert 1 == sum(isinstance(outcome, Record) for outcome in outcomes)


async def test_remove(ledger: Ledger) -> None:
    """A removed row is gone; its request id may come again."""
    added = record()
    await ledger.add(added)
    await ledger.remove(added)
    again = record(request_id=added.request_id)
    await ledger.add(again)

    assert None is await ledger.find(added.signup_id)
    assert None is not await ledger.find(again.signup_id)


async def leased(ledger: Ledger, until: int, **changed: Any) -> Record:
    """Add a row with a SETTING lease."""
    lease = {"lease": Lease.SETTING, "lease_until": until, "approved_until": 0}
    added = record(**{**lease, "flow_digest": FLOW, **changed})
    await ledger.add(added)
    return added


async def test_approve(ledger: Ledger, clock: ClockDouble) -> None:
    """A live SETTING lease is approved for the span; the row keeps its epoch."""
    added = await leased(ledger, clock() + MINUTE, epoch=7)
    approval = await ledger.approve(FLOW, ADDRESS, span=SPAN)
    found = await ledger.find(added.signup_id)

    assert added.signup_id == approval
    assert found is not None
    until = found.record.approved_until
    assert added._replace(approved_until=until) == found.record
    assert abs(until - clock() - SPAN) < MINUTE


@pytest.mark.parametrize(
    ("changed", "known"),
    [
        ({}, True),  # at the moment it runs out a lease is over
        ({"flow_digest": b"other"}, False),
        ({"flow_digest": None}, False),
        ({"address_digest": b"other"}, False),
        ({"lease": Lease.NONE}, True),
        ({"lease": Lease.VERIFYING}, True),
        ({"lease": Lease.SENDING}, True),
    ],
)
async def test_not_approved(
    ledger: Ledger, clock: ClockDouble, changed: dict[str, Any], *, known: bool
) -> None:
    """Anything but a live SETTING lease with that flow and address is not approved."""
    added = await leased(ledger, clock() + (MINUTE if changed else 0), **changed)

    assert None is await ledger.approve(FLOW, ADDRESS, span=SPAN)
    found = await ledger.find(added.signup_id)
    assert found is not None
    assert added == found.record
    assert known is await ledger.knows_flow(FLOW, ADDRESS)


async def test_change_after_an_approval(ledger: Ledger, clock: ClockDouble) -> None:
    """A change that demands no approval since the reading fails after one."""
    added = await leased(ledger, clock() + MINUTE)
    await ledger.approve(FLOW, ADDRESS, span=SPAN)
    with pytest.raises(SignupBusy):
        await ledger.change(added, unapproved=True, lease=Lease.NONE)

    assert Lease.NONE is (await ledger.change(added, lease=Lease.NONE)).lease


async def test_clock_of_the_server(postgres: Postgres) -> None:
    """With PostgreSQL deadlines go by its clock, however wrong this machine's is."""
    url = postgres.create_database(f"ledger_{uuid.uuid4().hex}")
    await migrate(url)
    clock = ClockDouble()
    clock.move(-86400)
    async with opened(url, clock) as database:
        read = database.now()
        await leased(Ledger(database), read - 5_000_000)
        clock.move(-60)
        approval = await Ledger(database).approve(FLOW, ADDRESS, span=SPAN)

    assert abs(read - ClockDouble()()) < MINUTE
    assert None is approval


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///{folder}/none/ledger.db",
        "sqlite:///{folder}/spoiled.db",
        "postgresql://u@127.0.0.1:1/none",
        "{postgres}/none",
    ],
)
async def test_away(
    postgres: Postgres, tmp_path: Path, clock: ClockDouble, url: str
) -> None:
    """Without its folder, file, server or database the ledger is unavailable."""
    (tmp_path / "spoiled.db").write_bytes(b"spoiled " * 1000)
    url = url.format(folder=tmp_path, postgres=postgres.url)
    database = make_database(url, clock)
    with pytest.raises(LedgerUnavailable, match="cannot be opened"):
        await database.open()
    with pytest.raises(LedgerUnavailable) as caught:
        await Ledger(database).find(uuid.uuid4())
    with pytest.raises(LedgerUnavailable):
        await migrate(url)
    await database.close()

    assert caught.value.retry_after_seconds


async def test_migrations_at_once(url: str) -> None:
    """Of two migrations at once one waits for the other and finds nothing to do."""
    outcomes = await asyncio.gather(migrate(url), migrate(url))

    assert {(None, REVISION), (REVISION, REVISION)} == set(outcomes)


async def test_migration_does_not_queue(postgres: Postgres) -> None:
    """A migration gives up on a table in use, for later statements would wait too."""
    url = postgres.create_database(f"ledger_{uuid.uuid4().hex}")
    await migrate(url)
    with psycopg.connect(url) as connection:
        connection.execute("LOCK TABLE alembic_version")
        with pytest.raises(LedgerUnavailable, match="lock timeout"):
            await migrate(url, table_seconds=0.1)

    assert (REVISION, REVISION) == await migrate(url)


def test_sqlite_file(tmp_path: Path) -> None:
    """A SQLite URL names its file, PostgreSQL's none; no other holds a ledger."""
    urls = ["sqlite:///ledger.db", f"sqlite:///{tmp_path}/x.db"]
    urls += ["postgresql://u@h/d", "postgres://u@h1,h2:2/d"]

    assert ["ledger.db", f"{tmp_path}/x.db", "None", "None"] == [
        str(sqlite_file(url)) for url in urls
    ]
    for url in ("sqlite://", "sqlite:///:memory:", "mysql://u@h/d", "postgresql://h"):
        with pytest.raises(ValueError, match=r"is neither|names no|is not"):
            sqlite_file(url)
