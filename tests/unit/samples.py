"""Samples that tests share: ids, a key ring, rules."""

from __future__ import annotations

import uuid

from signupd.policy.rules import SECOND, Limit, Rules
from signupd.sealing import KeyRing

SIGNUP_ID = uuid.UUID("5f0c2a3e-7b1d-4c52-9d6a-0a1b2c3d4e5f")
OTHER_ID = uuid.UUID("c0ffee00-1234-4abc-8def-001122334455")
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
    password_min_length=8,
    password_max_bytes=72,
    lease=75 * SECOND,
    approval=45 * SECOND,
)
