"""Reading sign-ups for operators from a real ledger, on both databases."""

import dataclasses
import itertools
import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from signupd.ledger import statements
from signupd.ledger.browse import Browser, Entry, Wanted
from signupd.ledger.database import Database, make_database
from signupd.ledger.ledger import Ledger
from signupd.ledger.record import Lease, Record, State
from signupd.ledger.schema import migrate
from signupd.signup.transitions import state_shown

from tests.doubles.clock import ClockDouble
from tests.unit import samples

ALL = 1000


@pytest.fixture
def ledger(database: Database) -> Ledger:
    """Make a ledger as a server has it."""
    return Ledger(database)


@pytest.fixture
async def looked_at(
    database: Database, url: str, clock: ClockDouble
) -> AsyncIterator[Database]:
    """Open the same ledger read-only."""
    opened = make_database(url, clock, read_only=True)
    await opened.open()
    yield opened
    await opened.close()


async def added(ledger: Ledger, *records: Record) -> tuple[Record, ...]:
    """Add rows."""
    for one in records:
        await ledger.add(one)
    return records


def row(number: int, **changed: Any) -> Record:
    """Make a row with a number of its own."""
    made = samples.row(signup_id=uuid.UUID(int=number), create_time=number)
    return made._replace(**changed)


async def seen(browser: Browser, wanted: Wanted, limit: int = ALL) -> list[list[int]]:
    """Read pages; return the numbers of their rows."""
    pages = browser.pages(wanted, limit)
    return [[entry.signup_id.int for entry in page] async for page in pages]


def test_nothing_secret() -> None:
    """Neither contents nor digests nor a request's id are ever read."""
    readable = {field.name for field in dataclasses.fields(Entry)}
    columns = set(Record._fields)

    assert {
        "epoch",
        "address_digest",
        "sealed",
        "code_digest",
        "password_flow_digest",
        "sealed_passwords",
        "request_id",
        "request_digest",
    } == columns - readable


async def test_states(ledger: Ledger, looked_at: Database, clock: ClockDouble) -> None:
    """A row's state is the one that callers see, at every moment of its life."""
    moments = [clock() - 1, clock(), clock() + 1]
    cases = itertools.product(State, (Lease.NONE, Lease.VERIFYING), moments, moments)
    rows = await added(
        ledger,
        *(
            row(n, state=state, lease=lease, expire_time=expire, lease_until=until)
            for n, (state, lease, expire, until) in enumerate(cases)
        ),
    )
    browser = Browser(looked_at)
    entries = [entry async for page in browser.pages(Wanted(), ALL) for entry in page]
    told = {one.signup_id: state_shown(one, clock()) for one in rows}

    assert 126 == len(told)
    assert told == {entry.signup_id: entry.state for entry in entries}
    for state in State:
        (found,) = [
            *[page async for page in browser.pages(Wanted(states=(state,)), ALL)]
        ]
        assert {i for i, s in told.items() if s is state} == {
            entry.signup_id for entry in found
        }


async def test_newest_first(ledger: Ledger, looked_at: Database) -> None:
    """A page continues where the one before ended, also between rows of one moment."""
    rows = [row(n, create_time=n // 4) for n in (3, 9, 1, 7, 5, 0, 8, 2, 6, 4)]
    await added(ledger, *rows)
    browser = Browser(looked_at, page_rows=3)

    assert [[9, 8, 7], [6, 5, 4], [3, 2, 1], [0]] == await seen(browser, Wanted())
    assert [[9, 8, 7], [6, 5, 4], [3]] == await seen(browser, Wanted(), limit=7)
    assert [[9, 8, 7], [6, 5, 4]] == await seen(browser, Wanted(), limit=6)
    assert [[9]] == await seen(browser, Wanted(), limit=1)


async def test_new_rows_between_pages(ledger: Ledger, looked_at: Database) -> None:
    """A sign-up that begins meanwhile neither repeats nor hides another."""
    await added(ledger, *map(row, range(4)))
    pages = Browser(looked_at, page_rows=2).pages(Wanted(), ALL)
    first = await anext(pages)
    await added(ledger, row(9))
    rest = [page async for page in pages]

    numbers = [[e.signup_id.int for e in page] for page in (first, *rest)]
    assert [[3, 2], [1, 0]] == numbers


async def test_beside_a_writer(
    ledger: Ledger, database: Database, looked_at: Database
) -> None:
    """A reader does not wait for a change that is under way."""
    (one,) = await added(ledger, row(1))
    change = statements.change(frozenset({"sends"}), unapproved=False)
    async with database.transaction() as connection:
        await connection.execute(
            change, to_sends=9, is_signup_id=one.signup_id, is_epoch=one.epoch
        )
        entry = await Browser(looked_at).find(one.signup_id)

    assert entry is not None
    assert one.sends == entry.sends


async def test_after_a_crash(tmp_path: Path, clock: ClockDouble) -> None:
    """The rows of a killed server are read from its write-ahead log."""
    (tmp_path / "left").mkdir()
    url = f"sqlite:///{tmp_path}/ledger.db"
    await migrate(url)
    database = make_database(url, clock)
    await added(Ledger(database), row(1))
    for name in ("ledger.db", "ledger.db-wal"):
        shutil.copy(tmp_path / name, tmp_path / "left" / name)
    await database.close()
    url = f"sqlite:///{tmp_path}/left/ledger.db"
    left = make_database(url, clock, read_only=True)
    found = await seen(Browser(left), Wanted())
    await left.close()

    assert [[1]] == found


@pytest.mark.parametrize("name", ["a b.db", "a#b.db", "ä%20.db"])
async def test_odd_names(tmp_path: Path, clock: ClockDouble, name: str) -> None:
    """A file's name may hold characters that a URI may not."""
    url = f"sqlite:///{tmp_path / name}"
    await migrate(url)
    database = make_database(url, clock, read_only=True)
    found = await Browser(database).find(uuid.uuid4())
    await database.close()

    assert None is found
    assert (tmp_path / name).exists()
