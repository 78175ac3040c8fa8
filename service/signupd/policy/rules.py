"""The limits and time spans of a sign-up."""

import re
from dataclasses import dataclass
from typing import Final

from signupd.ledger.buckets import Limit

SECOND: Final = 1_000_000  # the ledger counts microseconds
HOUR_SECONDS: Final = 3600.0
WRONG_CODES_SECONDS: Final = 30 * 86400.0  # in which all wrong codes are forgotten
# How often an undecided code may be repeated: then each repeat costs an attempt. Enough
# for a client that retries while Kratos restarts.
CODE_REPEATS: Final = 20
# How long a repeated SetPassword is told whether its password made the account.
PASSWORDS_KEPT: Final = 24 * 3600 * SECOND
# How many wrong passwords it is told about: after that nobody learns any more there.
PASSWORD_REPEATS: Final = 20
# Unicode's category Cc. bcrypt ends at a NUL, and PostgreSQL stores none.
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a sign-up, with spans in microseconds. The settings give reasons."""

    code_ttl: int  # how long a sign-up waits for the code
    password_ttl: int  # how long it then waits for the password
    code_attempts: int  # codes that may be tried, over all resends
    password_attempts: int  # passwords that are sent to Kratos at most
    resend_interval: int  # between two mails of one sign-up
    sends: int  # mails of one sign-up, including the first
    per_address: Limit  # mails to one address, over all sign-ups
    per_client: Limit  # mails that one client has asked for, over all sign-ups
    wrong_codes: Limit  # wrong codes for one address, over all sign-ups
    password_min_length: int  # in code points
    password_max_bytes: int  # in bytes of UTF-8
    lease: int  # longer than all the calls to Kratos that one lease covers
    # How long after the hook's approval Kratos may still store the account. If Kratos
    # stalls for longer before its commit, the ledger cannot prevent it.
    approval: int


def micros(seconds: float) -> int:
    """Return a span of time in the ledger's microseconds."""
    return int(seconds * SECOND)
