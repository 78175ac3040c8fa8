"""Values that several tests begin with."""

from __future__ import annotations

import uuid
from typing import Any

from signupd.ledger.record import Lease, Record, State
from signupd.policy.rules import SECOND
from signupd.signup.sealed import Contents, seal_contents, seal_mask

from tests.unit.samples import RING, RULES

NOW = 1_000_000 * SECOND
SIGNUP_ID = uuid.UUID("11111111-1111-4111-8111-111111111111")
ADDRESS = "ann@example.com"


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
        sealed=seal_contents(RING, SIGNUP_ID, contents),
        sealed_mask=seal_mask(RING, SIGNUP_ID, "a***@example.com"),
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
