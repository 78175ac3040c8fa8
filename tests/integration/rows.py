"""Rows of the ledger, made up."""

import uuid
from typing import Any

from signupd.ledger import statements
from signupd.ledger.database import Database, Steps
from signupd.ledger.record import Record, State

from tests.unit import samples

ADDRESS = b"a" * 32
AT_ONCE = 500


def record(**changed: Any) -> Record:
    """Make a row, each of its columns with something in it."""
    made = samples.row(
        signup_id=uuid.uuid4(),
        state=State.PASSWORD_REQUIRED,
        epoch=1,
        address_digest=ADDRESS,
        code_digest=b"c" * 32,
        flow_digest=uuid.uuid4().bytes,
        sealed_passwords=b"passwords",
        identity_id=uuid.uuid4(),
        existing_verified=True,
        password_repeats=6,
        expire_time=2**50 + 5,
        caller="spiffe://somebody",
        request_id=uuid.uuid4(),
        request_digest=b"r" * 32,
    )
    return made._replace(**changed)


async def add_signups(database: Database, *records: Record) -> None:
    """Add sign-ups, some hundreds in one transaction, which takes 10 s at the most."""

    def add(some: tuple[Record, ...]) -> Steps[None]:
        for one in some:
            yield statements.ADD, one._asdict()

    for start in range(0, len(records), AT_ONCE):
        await database.transact(add(records[start : start + AT_ONCE]))
