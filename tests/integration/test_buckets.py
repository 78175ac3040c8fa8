"""Buckets on a real database: no more debits than they hold."""

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signupd.ledger.buckets import Debit, Debited, Limit, debit_all, debit_each, refund
from signupd.ledger.database import Database, make_database
from signupd.ledger.migrate import migrate

from devstack.postgres import Postgres
from tests.doubles.clock import ClockDouble

SECOND = 1_000_000
MINUTE = 60 * SECOND
LIMIT = Limit(5, 30 * MINUTE)
OTHER_LIMIT = Limit(60, MINUTE)
# Each has a connection; a server has ten.
WAITING = 8
# What the server's clock may go on by while a test runs.
SLACK_SECONDS = 60.0


async def taken(database: Database) -> bool:
    """Take from two buckets."""
    debits = [Debit(b"b", OTHER_LIMIT), Debit(b"a", LIMIT)]
    return isinstance(await database.transact(debit_all(debits)), list)


async def rows(database: Database) -> dict[bytes, int]:
    """Read the buckets that are not known to be full."""
    result = await database.run("SELECT digest, full_time FROM send_buckets")
    return dict(result.rows)


async def test_take_at_one_moment(postgres: Postgres, clock: ClockDouble) -> None:
    """Of several debits that see the last mail at the same moment one is made.

    The others leave the second bucket as it was.
    """
    url = postgres.create_database(f"ledger_{uuid.uuid4().hex}")
    await migrate(url)
    database = make_database(url, clock)
    await database.open()
    for _ in range(4):
        await taken(database)
    before = await rows(database)
    with psycopg.connect(url) as holder:
        holder.execute("SELECT 1 FROM send_buckets FOR UPDATE")
        calls = [asyncio.ensure_future(taken(database)) for _ in range(WAITING)]
        async with asyncio.timeout(SLACK_SECONDS):
            while await asyncio.to_thread(_waiting, url) < WAITING:
                pass
    outcomes = await asyncio.gather(*calls)
    after = await rows(database)
    await database.close()

    assert 1 == outcomes.count(True)
    spent = {digest: after[digest] - before[digest] for digest in before}
    assert spent == {
        b"a": LIMIT.refill,
        b"b": pytest.approx(OTHER_LIMIT.refill, abs=SLACK_SECONDS * SECOND / 2),
    }


def _waiting(url: str) -> int:
    """Count those who wait for a lock."""
    with psycopg.connect(url) as connection:
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            " AND datname = current_database()"
        )
        row = connection.execute(query).fetchone()
        return row[0] if row else 0


class Exact:
    """Buckets on SQLite, whose clock a test moves."""

    def __init__(self, directory: Path) -> None:
        self.clock = ClockDouble()
        self.runner = asyncio.Runner()
        url = f"sqlite:///{directory}/ledger.db"
        self.runner.run(migrate(url))
        self.database = make_database(url, self.clock)

    def close(self) -> None:
        """Close the database."""
        self.runner.run(self.database.close())
        self.runner.close()


@pytest.fixture
def exact(tmp_path: Path) -> Iterator[Exact]:
    """Give buckets whose every microsecond counts."""
    made = Exact(tmp_path)
    yield made
    made.close()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.just(0)),
        st.tuples(st.just("debit"), st.just(0)),
        # Of those that may still turn out not to have gone, counted round and round.
        st.tuples(st.just("give back"), st.integers(0, 9)),
        st.tuples(st.just("wait"), st.integers(1, 25)),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(steps=STEPS, sends=st.integers(1, 4), refill=st.integers(1, 10))
def play_anything(
    exact: Exact, steps: list[tuple[str, int]], sends: int, refill: int
) -> None:
    """Play any steps on a bucket."""
    exact.runner.run(_play(exact, steps, Limit(sends, refill)))


async def _play(exact: Exact, steps: list[tuple[str, int]], limit: Limit) -> None:
    digest, database = uuid.uuid4().bytes, exact.database
    first, further = Debit(digest, limit), Debit(digest, limit, leaves=-limit.size)
    went: list[Debited] = []  # mails that were taken and that nobody gave back
    for name, value in steps:
        match name:
            case "wait":
                exact.clock.micros += value
            case "debit":
                await database.transact(debit_each([further]))
            case "take":
                outcome = await database.transact(debit_all([first]))
                if isinstance(outcome, int):
                    # Then, and not a microsecond before, it would be debited.
                    exact.clock.micros += outcome - 1
                    early = await database.transact(debit_all([first]))
                    exact.clock.micros += 1
                    outcome = await database.transact(debit_all([first]))

                    assert 1 == early
                    assert isinstance(outcome, list)
                went += outcome
            case _ if went:
                await database.transact(refund([went.pop(value % len(went))]))
    for n, begin in enumerate(went):
        for count, end in enumerate(went[n:], 1):
            passed = end.time - begin.time

            assert count <= limit.size + passed // limit.refill


def test_anything(exact: Exact) -> None:
    """In no span of time go more mails than a full bucket and what came back in it.

    That holds whatever is debited besides, and whatever is given back, at any time.
    """
    play_anything(exact)
