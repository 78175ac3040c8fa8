"""Values that several tests begin with."""

from __future__ import annotations

import uuid
from typing import Any

from signupd.ledger.record import Lease, Record, State
from signupd.policy.rules import SECOND, Limit, Rules
from signupd.sealing import KeyRing
from signupd.signup.sealed import Contents, seal_contents, seal_mask

NOW = 1_000_000 * SECOND
SIGNUP_ID = uuid.UUID("11111111-1111-4111-8111-111111111111")
KEYS = KeyRing([b"k" * 32], b"d" * 32)
ADDRESS = "ann@example.com"

RULES = Rules(
    code_ttl=900 * SECOND,
    password_ttl=1800 * SECOND,
    code_attempts=5,
    password_attempts=20,
    resend_interval=60 * SECOND,
    sends=5,
    per_address=Limit(5, 1800 * SECOND),
    per_client=Limit(60, 60 * SECOND),
    password_min_length=8,
    password_max_bytes=72,
    lease=75 * SECOND,
    approval=45 * SECOND,
)


def record(**changed: Any) -> Record:
    """Make a row that waits for its code, begun now."""
    contents = Contents(ADDRESS, {"email": ADDRESS}, "", "flow-1")
    made = Record(
        signup_id=SIGNUP_ID,
        state=State.CODE_REQUIRED,
        lease=Lease.NONE,
        epoch=2,
        lease_until=0,
        approved_until=0,
        address_digest=b"a" * 32,
        sealed=seal_contents(KEYS, SIGNUP_ID, contents),
        sealed_mask=seal_mask(KEYS, SIGNUP_ID, "a***@example.com"),
        code_digest=None,
        password_flow_digest=None,
        sealed_passwords=None,
        identity_id=None,
        code_attempts=0,
        code_repeats=0,
        password_attempts=0,
        sends=1,
        create_time=NOW,
        send_time=NOW,
        expire_time=NOW + RULES.code_ttl,
        state_time=0,
        caller="",
        request_id=None,
        request_digest=None,
    )
    return made._replace(**changed)
