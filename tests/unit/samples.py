"""Samples that the unit tests share: a key ring, rules, a row."""

import uuid
from typing import Any

from signupd.ledger.buckets import Limit
from signupd.ledger.record import Lease, Record, State
from signupd.policy.rules import SECOND, Rules
from signupd.sealing import KeyRing

SIGNUP_ID = uuid.UUID("5f0c2a3e-7b1d-4c52-9d6a-0a1b2c3d4e5f")
OTHER_ID = uuid.UUID("c0ffee00-1234-4abc-8def-001122334455")
NOW = 1_750_000_000 * SECOND
RING = KeyRing([b"k" * 32], b"d" * 32)
RULES = Rules(
    code_ttl=900 * SECOND,
    password_ttl=1800 * SECOND,
    code_attempts=5,
    password_attempts=20,
    resend_interval=60 * SECOND,
    sends=5,
    per_address=Limit(5, 1800 * SECOND),
    per_client=Limit(60, 60 * SECOND),
    wrong_codes=Limit(100, 25920 * SECOND),
    password_min_length=8,
    password_max_bytes=72,
    lease=75 * SECOND,
    approval=45 * SECOND,
)


def row(**changes: Any) -> Record:
    """Make a row that waits for its code, but for the changes."""
    made = Record(
        signup_id=SIGNUP_ID,
        state=State.CODE_REQUIRED,
        lease=Lease.NONE,
        lease_until=0,
        address_digest=b"a" * 32,
        sealed=b"sealed contents",
        sealed_mask=b"sealed mask",
        create_time=NOW,
        send_time=NOW,
        expire_time=NOW + RULES.code_ttl,
        state_time=NOW,
        epoch=2,
    )
    return made._replace(**changes)
