"""Buckets on SQLite, to the microsecond: no more debits than they hold.

Two servers on PostgreSQL are test_limits_raced.py's.
"""

import asyncio
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signupd.ledger.buckets import Debit, Debited, Limit, debit_all, debit_each, refund
from signupd.ledger.database import make_database
from signupd.ledger.migrate import migrate

from tests.doubles.clock import ClockDouble


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
