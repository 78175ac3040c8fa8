"""Buckets on a real database: no more mails than they hold."""

import asyncio
import uuid
from collections.abc import Awaitable, Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signupd.errors import SendLimitReached
from signupd.ledger.buckets import Buckets, Debit, Debited
from signupd.ledger.database import Database, make_database
from signupd.ledger.ledger import Ledger
from signupd.ledger.schema import migrate
from signupd.policy.rules import Limit

from devstack.postgres import Postgres
from tests.doubles.buckets import MemoryBuckets
from tests.doubles.clock import ClockDouble

SECOND = 1_000_000
MINUTE = 60 * SECOND
LIMIT = Limit(5, 30 * MINUTE)
OTHER_LIMIT = Limit(60, MINUTE)
# Each has a connection; a server has ten.
WAITING = 8
BATCH = 3
# What the server's clock may go on by while a test runs.
SLACK_SECONDS = 60.0


@pytest.fixture
def buckets(database: Database) -> Buckets:
    """Make the buckets of a ledger."""
    return Buckets(database)


def on(digest: bytes, limit: Limit = LIMIT, *, refusable: bool = True) -> Debit:
    """Debit on a bucket."""
    room = limit.room if refusable else limit.room_in_debt
    return Debit(digest, limit.refill, room)


async def outcome_of(call: Awaitable[list[Debited]]) -> list[Debited] | float | None:
    """Take; give what was debited, or the seconds to wait."""
    try:
        return await call
    except SendLimitReached as error:
        return error.retry_after_seconds


async def taken(buckets: Buckets, *debits: Debit) -> float | None:
    """Take; give None, or the seconds to wait."""
    outcome = await outcome_of(buckets.debit_all(debits))
    return None if isinstance(outcome, list) else outcome


async def rows(database: Database) -> dict[bytes, int]:
    """Read the buckets that are not known to be full."""
    return dict(await database.fetch_all("SELECT digest, full_time FROM send_buckets"))


async def test_take_at_one_moment(postgres: Postgres, clock: ClockDouble) -> None:
    """Of several debits that see the last mail at the same moment one is made.

    The others leave the second bucket as it was.
    """
    url = postgres.create_database(f"ledger_{uuid.uuid4().hex}")
    await migrate(url)
    database = make_database(url, clock)
    await database.open()
    buckets = Buckets(database)
    for _ in range(4):
        await taken(buckets, on(b"a"), on(b"b", OTHER_LIMIT))
    before = await rows(database)
    with psycopg.connect(url) as holder:
        holder.execute("SELECT 1 FROM send_buckets FOR UPDATE")
        calls = [
            asyncio.ensure_future(taken(buckets, on(b"a"), on(b"b", OTHER_LIMIT)))
            for _ in range(WAITING)
        ]
        async with asyncio.timeout(SLACK_SECONDS):
            while await asyncio.to_thread(_waiting, url) < WAITING:
                pass
    outcomes = await asyncio.gather(*calls)
    after = await rows(database)
    await database.close()

    assert 1 == outcomes.count(None)
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


async def test_draw(buckets: Buckets) -> None:
    """A debit that cannot be refused counts down to one bucket of debt."""
    for _ in range(5):
        await taken(buckets, on(b"a"))
    debited = [await buckets.debit_each([on(b"a", refusable=False)]) for _ in range(7)]
    wait = await taken(buckets, on(b"a"))

    assert [1, 1, 1, 1, 1, 0, 0] == [len(one) for one in debited]
    assert wait == pytest.approx(6 * 30 * 60, abs=SLACK_SECONDS)


async def test_give_back(database: Database, buckets: Buckets) -> None:
    """A refund allows one more mail at once, and no more than one."""
    for _ in range(4):
        await taken(buckets, on(b"a"))
    debited = await buckets.debit_all([on(b"a"), on(b"b", OTHER_LIMIT)])
    await buckets.refund(debited)
    outcomes = [await taken(buckets, on(b"a")) for _ in range(2)]
    kept = await rows(database)

    assert [True, False] == [one is None for one in outcomes]
    assert kept[b"a"] - kept[b"b"] == pytest.approx(5 * 30 * MINUTE, abs=MINUTE)


async def test_sweep(database: Database, buckets: Buckets, clock: ClockDouble) -> None:
    """Buckets that are full again are deleted, a batch at a time, and no others."""
    ledger = Ledger(database)
    for n in range(5):
        await taken(buckets, on(b"full %d" % n, Limit(1, 1)))
    await taken(buckets, on(b"not yet", Limit(1, MINUTE)))
    clock.micros += 1
    before = {"passwords_before": 0, "signups_before": 0}
    forgotten = [(await ledger.forget(BATCH, **before))[-1] for _ in range(3)]

    assert [3, 2, 0] == forgotten
    assert {b"not yet"} == (await rows(database)).keys()


class Exact:
    """Buckets on SQLite, whose clock a test moves."""

    def __init__(self, directory: Path) -> None:
        self.clock = ClockDouble()
        self.runner = asyncio.Runner()
        url = f"sqlite:///{directory}/ledger.db"
        self.runner.run(migrate(url))
        self.database = make_database(url, self.clock)
        self.buckets = Buckets(self.database)

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
    """Play any steps on a bucket, and hold each outcome against the double's."""
    exact.runner.run(_play(exact, steps, Limit(sends, refill)))


async def _play(exact: Exact, steps: list[tuple[str, int]], limit: Limit) -> None:
    digest, model = uuid.uuid4().bytes, MemoryBuckets(exact.clock)
    first = on(digest, limit)
    further = on(digest, limit, refusable=False)
    went: list[Debited] = []  # mails that were taken and that nobody gave back
    for name, value in steps:
        match name:
            case "wait":
                exact.clock.micros += value
            case "debit":
                debited = await exact.buckets.debit_each([further])

                assert debited == await model.debit_each([further])
            case "take":
                outcome = await outcome_of(exact.buckets.debit_all([first]))

                assert outcome == await outcome_of(model.debit_all([first]))
                went += outcome if isinstance(outcome, list) else []
            case _ if went:
                debited = [went.pop(value % len(went))]
                await exact.buckets.refund(debited)
                await model.refund(debited)
    for n, begin in enumerate(went):
        for count, end in enumerate(went[n:], 1):
            passed = end.time - begin.time

            assert count <= limit.sends + passed // limit.refill


def test_anything(exact: Exact) -> None:
    """In no span of time go more mails than a full bucket and what came back in it.

    That holds whatever is debited besides, and whatever is given back, at any time.
    """
    play_anything(exact)
