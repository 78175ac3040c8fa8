"""What the sweeper finds, and that each statement uses an index."""

import re
import sqlite3
import uuid
from contextlib import closing
from typing import Any

import psycopg
import pytest
from signupd.ledger import buckets, statements
from signupd.ledger.buckets import Debit, Limit
from signupd.ledger.database import Database, sqlite_file
from signupd.ledger.ledger import Ledger
from signupd.ledger.record import Lease, Record, State
from signupd.ledger.statements import POSTGRESQL, SQLITE

from tests.doubles.clock import ClockDouble
from tests.integration.rows import AT_ONCE, add_signups, record

BATCH = 25
# Enough that PostgreSQL prefers an index to reading the table.
MANY = 10_000
DAY = 86_400_000_000
# How plans name an index, PostgreSQL's and SQLite's.
BY_INDEX = re.compile(
    r"(?:Scan using|Scan on|INDEX) (ix_\w+|uq_\w+|\w+_key|\w+auto\w+)"
)
WHOLE_TABLE = re.compile(r"Seq Scan|SCAN (?:signups|send_buckets)(?! USING)")
SAMPLE: dict[str, Any] = {
    "signup_id": uuid.UUID(int=1),
    "caller": "",
    "request_id": uuid.UUID(int=2),
    "is_signup_id": uuid.UUID(int=1),
    "is_epoch": 1,
    "is_approved_until": 1,
    "is_proof_time": 1,
    "to_sends": 1,
    "flow_digest": b"f",
    "address_digest": b"a",
    "digest": b"d",
    "span": 1,
    "refill": 1,
    "room": 1,
    "time": 1,
    "before": 1,
    "batch": BATCH,
    "after_until": -1,
    "after_id": uuid.UUID(int=0),
    "now": 1,
    "longest": 1,
    "state": "code_required",
    "step": DAY,
    "lease": DAY,
    "approval": DAY,
}
BY_KEY = {
    "find": statements.FIND,
    "find request": statements.FIND_REQUEST,
    "change": statements.change(frozenset({"sends"}), unapproved=False),
    "change unapproved": statements.change(frozenset({"sends"}), unapproved=True),
    "remove": statements.REMOVE,
    "approve": statements.APPROVE,
    "knows flow": statements.KNOWS_FLOW,
    "full time": statements.FULL_TIME,
    "debit": statements.DEBIT,
    "ask": statements.ASK,
    "fill": statements.FILL,
    "probe": statements.PROBE,
    "give back": statements.REFUND,
}
DUE = {
    "ix_signups_lease": statements.DEAD_LEASES,
    "ix_signups_expire": statements.EXPIRE,
    "ix_signups_passwords": statements.FORGET_PASSWORDS,
    "ix_signups_final": statements.FORGET_SIGNUPS,
    "ix_send_buckets_full": statements.FORGET_BUCKETS,
    "ix_send_buckets_ahead": statements.CLAMP_BUCKETS,
}


def made(n: int) -> Record:
    """Make one of many rows: a tenth waits, a tenth has a lease, most are completed."""
    if n % 10 == 0:
        return record(state=State.CODE_REQUIRED, expire_time=2**52 + n)
    if n % 10 == 1:
        return record(lease=Lease.SETTING, lease_until=2**52 + n)
    return record(state=State.COMPLETED, sealed_passwords=None, state_time=2**50 + n)


@pytest.fixture
async def full(database: Database, url: str) -> Database:
    """Make a ledger with many rows, with the database's statistics of them."""
    await add_signups(database, *map(made, range(MANY)))
    for n in range(0, MANY, AT_ONCE):
        debits = [Debit(b"%d" % i, Limit(1, DAY + i)) for i in range(n, n + AT_ONCE)]
        await database.transact(buckets.debit_each(debits))
    if database.shared:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
    return database


def plan_of(database: Database, url: str, statement: str) -> str:
    """Return the database's plan for a statement."""
    text: Any = (POSTGRESQL if database.shared else SQLITE).render(statement)
    file = sqlite_file(url)
    if file is None:
        with psycopg.connect(url) as connection:
            rows: list[Any] = connection.execute(f"EXPLAIN {text}", SAMPLE).fetchall()
    else:
        with closing(sqlite3.connect(file)) as connection:
            rows = connection.execute(f"EXPLAIN QUERY PLAN {text}", SAMPLE).fetchall()
    return "\n".join(str(row[-1]) for row in rows)


async def test_no_statement_reads_a_whole_table(full: Database, url: str) -> None:
    """A call finds its row by a key; the sweeper finds rows by an index of its own."""
    for name, statement in BY_KEY.items():
        plan = plan_of(full, url, statement)

        assert not WHOLE_TABLE.search(plan), (name, plan)
        assert "ix_" not in plan, (name, plan)
    for index, statement in DUE.items():
        plan = plan_of(full, url, statement)

        assert index in BY_INDEX.findall(plan), plan
        assert not WHOLE_TABLE.search(plan), plan
    for statement in (statements.UNDER_WAY, statements.CLAMP_WAITING):
        assert "ix_signups_expire" in plan_of(full, url, statement)
    assert "ix_signups_lease" in plan_of(full, url, statements.CLAMP_LEASES)


async def test_under_way(database: Database) -> None:
    """Sign-ups that wait for a code or a password are counted by state."""
    states = [State.STARTING, State.CODE_REQUIRED, State.CODE_REQUIRED]
    states += [State.PASSWORD_REQUIRED, State.EXPIRED, State.COMPLETED]
    await add_signups(database, *(record(state=state) for state in states))

    assert {"code_required": 2, "password_required": 1} == await Ledger(
        database
    ).under_way()


async def test_expire(database: Database, clock: ClockDouble) -> None:
    """A batch of lapsed sign-ups expires and is returned; others stay as they are."""
    due = [
        record(state=state, expire_time=clock() - DAY, caller=state)
        for state in (State.CODE_REQUIRED, State.PASSWORD_REQUIRED)
    ]
    others = [
        record(expire_time=clock() + DAY),
        record(expire_time=clock() - DAY, lease=Lease.SETTING),
        record(expire_time=clock() - DAY, state=State.STARTING),
        record(expire_time=clock() - DAY, state=State.CANCELLED),
    ]
    await add_signups(database, *due, *others)
    rounds = [await Ledger(database).expire(1) for _ in range(3)]
    kept = [await Ledger(database).find(one.signup_id) for one in others]

    assert [1, 1, 0] == [*map(len, rounds)]
    assert {(one.signup_id, one.caller) for one in due} == {
        one for expired in rounds for one in expired
    }
    assert others == [found and found.record for found in kept]
    gone = await Ledger(database).find(due[0].signup_id)
    assert gone is not None
    assert (State.EXPIRED, None, None) == (
        gone.record.state,
        gone.record.sealed,
        gone.record.sealed_passwords,
    )


async def test_dead_leases(database: Database, clock: ClockDouble) -> None:
    """Each call continues behind the last one and starts again at the end."""
    dead = {"lease": Lease.SETTING, "approved_until": 0}
    rows = [record(**dead, lease_until=n // 2) for n in range(5)]
    alive = [
        record(lease=Lease.SETTING, approved_until=0, lease_until=clock() + DAY),
        record(lease=Lease.SETTING, approved_until=clock() + DAY, lease_until=0),
    ]
    start = {"lease": Lease.SENDING, "state": State.STARTING, "approved_until": 0}
    # Its caller may still carry it on.
    alive.append(record(**start, lease_until=0, expire_time=clock() + DAY))
    await add_signups(database, *rows, *alive)
    ledger = Ledger(database)
    rounds = [await ledger.dead_leases(2) for _ in range(4)]

    order = sorted(rows, key=lambda one: (one.lease_until, one.signup_id))
    ids = [one.signup_id for one in order]
    assert [ids[:2], ids[2:4], ids[4:], ids[:2]] == rounds
