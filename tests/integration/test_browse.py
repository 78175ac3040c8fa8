"""Reading sign-ups for operators from a real ledger, on both databases."""

import itertools
import shutil
import uuid
from pathlib import Path

import pytest
from signupd.ledger.database import Database, make_database
from signupd.ledger.ledger import Ledger, browsing
from signupd.ledger.migrate import migrate
from signupd.ledger.record import Lease, State
from signupd.signup.transitions import state_shown

from tests.doubles.clock import ClockDouble
from tests.integration.rows import add_signups
from tests.unit import samples

ALL = 1000


async def test_states(database: Database, url: str, clock: ClockDouble) -> None:
    """A row is found by the state that callers see, at every moment of its life."""
    moments = [clock() - 60_000_000, clock() + 60_000_000]
    cases = itertools.product(State, (Lease.NONE, Lease.VERIFYING), moments, moments)
    rows = [
        samples.row(
            signup_id=uuid.UUID(int=n),
            state=state,
            lease=lease,
            expire_time=expire,
            lease_until=until,
        )
        for n, (state, lease, expire, until) in enumerate(cases)
    ]
    await add_signups(database, *rows)
    told = {one.signup_id: state_shown(one, clock()) for one in rows}
    async with browsing(url) as ledger:
        for state in State:
            found = await ledger.browse(ALL, [state])

            assert {i for i, s in told.items() if s is state} == {
                one.record.signup_id for one in found
            }


async def test_after_a_crash(tmp_path: Path, clock: ClockDouble) -> None:
    """The rows of a killed server are read from its write-ahead log."""
    (tmp_path / "left").mkdir()
    url = f"sqlite:///{tmp_path}/ledger.db"
    await migrate(url)
    database = make_database(url, clock)
    await Ledger(database).add(samples.row())
    for name in ("ledger.db", "ledger.db-wal"):
        shutil.copy(tmp_path / name, tmp_path / "left" / name)
    await database.close()
    async with browsing(f"sqlite:///{tmp_path}/left/ledger.db") as ledger:
        found = await ledger.browse(ALL)

    assert [samples.SIGNUP_ID] == [one.record.signup_id for one in found]


@pytest.mark.parametrize("name", ["a b.db", "a#b.db", "ä%20.db"])
async def test_odd_names(tmp_path: Path, name: str) -> None:
    """A file's name may hold characters that a URI may not."""
    url = f"sqlite:///{tmp_path / name}"
    await migrate(url)
    async with browsing(url) as ledger:
        assert [] == await ledger.browse(ALL)
    assert (tmp_path / name).exists()
