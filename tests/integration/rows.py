"""Rows of the ledger, made up."""

from __future__ import annotations

import random
import uuid
from typing import TYPE_CHECKING, Any

from signupd.ledger.record import Event, Lease, Record, State
from signupd.ledger.tables import events, signups

if TYPE_CHECKING:
    import sqlalchemy as sa
    from signupd.ledger.outbox import Outbox

ADDRESS = b"a" * 32
LONG_AGO = 1_000


def record(**changed: Any) -> Record:
    """Make a row, each of its columns with something in it."""
    made = Record(
        signup_id=uuid.uuid4(),
        state=State.PASSWORD_REQUIRED,
        lease=Lease.NONE,
        epoch=1,
        lease_until=2**50 + 1,
        approved_until=2**50 + 2,
        address_digest=ADDRESS,
        sealed=b"sealed",
        sealed_mask=b"mask",
        code_digest=b"c" * 32,
        password_flow_digest=uuid.uuid4().bytes,
        sealed_passwords=b"passwords",
        identity_id=uuid.uuid4(),
        code_attempts=3,
        code_repeats=4,
        password_attempts=5,
        sends=6,
        create_time=2**50 + 3,
        send_time=2**50 + 4,
        expire_time=2**50 + 5,
        state_time=2**50 + 6,
        caller="spiffe://somebody",
        request_id=uuid.uuid4(),
        request_digest=b"r" * 32,
    )
    return made._replace(**changed)


def event(kind: Event = Event.STARTED, time: int = LONG_AGO) -> dict[str, Any]:
    """Make a row of the outbox."""
    return {
        "kind": kind,
        "signup_id": uuid.uuid4(),
        "address_digest": ADDRESS,
        "event_time": time,
    }


def add_events(engine: sa.Engine, count: int, time: int = LONG_AGO) -> None:
    """Add events of all kinds, old ones unless told otherwise.

    They are in no order, as they come: batches lock the totals each in another one.
    """
    kinds = random.Random(1).choices([*Event], k=count)  # noqa: S311 - no secret
    with engine.connect() as connection:
        connection.execute(events.insert(), [event(kind, time) for kind in kinds])


def add_signups(engine: sa.Engine, count: int) -> list[uuid.UUID]:
    """Add sign-ups that wait for a password, and tell their ids."""
    rows = [record()._asdict() for _ in range(count)]
    with engine.connect() as connection:
        connection.execute(signups.insert(), rows)
    return [row["signup_id"] for row in rows]


def expire(connection: sa.Connection, signup_id: uuid.UUID) -> None:
    """Have a sign-up expire, which writes an event."""
    connection.execute(
        signups.update()
        .where(signups.c.signup_id == signup_id)
        .values(state=State.EXPIRED, state_time=LONG_AGO)
    )


async def added_up(outbox: Outbox) -> int:
    """Have all events added up that were written until now.

    Returns:
        How many statements that took.
    """
    await outbox.look()
    count = 1
    while await outbox.add_up():
        count += 1
    return count
