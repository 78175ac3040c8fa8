"""Every SQL statement of the ledger, once.

Parameters are written ``:name``. ``{columns}`` are the columns of ``Record``, in its
order, and ``{values}`` their parameters. The other names in braces are what the two
databases spell differently (``Spelling``). Times are microseconds since the Unix epoch.
"""

import dataclasses
import functools
import re
from dataclasses import dataclass
from typing import Final

from signupd.ledger.record import Record

_PARAMETER: Final = re.compile(r"(?<![:\w]):(\w+)")
_COLUMNS: Final = {
    "columns": ", ".join(Record._fields),
    "values": ", ".join(f":{name}" for name in Record._fields),
}


@dataclass(frozen=True, slots=True)
class Spelling:
    """What one database spells differently."""

    parameter: str  # a replacement for ``:name``
    now: str  # the time when the statement began
    clock: str  # the time when the expression is evaluated, after any wait for a lock
    least: str  # the function for the smaller of two numbers
    skip_locked: str  # locks the rows of a subquery, except those that others hold
    has_versions: str  # the query that counts the tables of alembic
    time_limit: str  # the query for the session's statement timeout; "0" is none

    def render(self, statement: str) -> str:
        """Write a statement of this module for one database."""
        text = statement.format(**_COLUMNS, **dataclasses.asdict(self))
        return _PARAMETER.sub(self.parameter, text).strip()


# SQLite has one writer at a time, so nothing waits for a lock inside a statement, and
# the program gives the time.
SQLITE: Final = Spelling(
    parameter=r":\1",
    now=":now",
    clock=":now",
    least="min",
    skip_locked="",
    has_versions="SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'",
    time_limit="SELECT 'none needed'",
)
POSTGRESQL: Final = Spelling(
    parameter=r"%(\1)s",
    now="(extract(epoch FROM statement_timestamp()) * 1000000)::bigint",
    least="least",
    clock="(extract(epoch FROM clock_timestamp()) * 1000000)::bigint",
    skip_locked="FOR UPDATE SKIP LOCKED",
    has_versions="SELECT count(*) FROM pg_tables WHERE tablename = 'alembic_version'"
    " AND schemaname = ANY (current_schemas(false))",
    time_limit="SHOW statement_timeout",
)

# The database itself

# Writes a bucket that is full in 31 years only, and never too far ahead.
PROBE: Final = """
    INSERT INTO send_buckets (digest, full_time, longest) VALUES
    (:digest, {now} + 1000000000000000, {now} + 1000000000000000)
    ON CONFLICT (digest) DO UPDATE SET
        full_time = excluded.full_time, longest = excluded.longest
"""

CLOCK: Final = "SELECT {clock}"
HAS_VERSIONS: Final = "{has_versions}"
VERSION: Final = "SELECT version_num FROM alembic_version"
TIME_LIMIT: Final = "{time_limit}"

# Of two servers that add a key at once, the later one waits and adds nothing.
ADD_KEY: Final = """
    INSERT INTO digest_key (id, digest) VALUES (1, :digest) ON CONFLICT DO NOTHING
"""
KEY: Final = "SELECT digest FROM digest_key"

# Sign-ups, by key

ADD: Final = """
    INSERT INTO signups ({columns}) VALUES ({values})
"""

FIND: Final = "SELECT {columns}, {now} FROM signups WHERE signup_id = :signup_id"

FIND_REQUEST: Final = """
    SELECT {columns}, {now} FROM signups
    WHERE caller = :caller AND request_id = :request_id
"""

# Each change raises the epoch, so a row of the same epoch has the same state.
_SAME: Final = "signup_id = :is_signup_id AND epoch = :is_epoch"
_UNAPPROVED: Final = (
    "approved_until = :is_approved_until AND proof_time = :is_proof_time"
)

REMOVE: Final = f"DELETE FROM signups WHERE {_SAME}"


@functools.cache
def change(names: frozenset[str], *, unapproved: bool) -> str:
    """Return the statement that changes these columns of one row to ``to_NAME``.

    If ``unapproved``, what the hooks noted has to be as in ``is_NAME`` still.
    """
    assignments = ", ".join(f"{name} = :to_{name}" for name in sorted(names))
    same = f"{_SAME} AND {_UNAPPROVED}" if unapproved else _SAME
    return f"""
    UPDATE signups SET {assignments} WHERE {same}
"""


_ASKED: Final = "flow_digest = :flow_digest AND address_digest = :address_digest"

# The clock is read after any wait for the row, so a lease that ran out is not approved.
APPROVE: Final = f"""
    UPDATE signups SET approved_until = {{clock}} + :span
    WHERE {_ASKED} AND lease = 'setting' AND lease_until > {{clock}}
    RETURNING signup_id
"""

NOTE_PROOF: Final = f"""
    UPDATE signups SET proof_time = {{clock}} WHERE {_ASKED} AND lease = 'verifying'
"""

KNOWS_FLOW: Final = f"SELECT 1 FROM signups WHERE {_ASKED}"

# Sign-ups that are due. Each query reads them in the order of an index that holds no
# other rows (migrations/versions/0001_first_schema.py), so it reads one batch.

END_ALL_LEASES: Final = "UPDATE signups SET lease_until = 0 WHERE lease <> 'none'"

# A first mail whose outcome is unknown is left to its caller until it has expired.
DEAD_LEASES: Final = """
    SELECT signup_id, lease_until FROM signups
    WHERE lease <> 'none'
        AND lease_until <= {now}
        AND approved_until <= {now}
        AND (state <> 'starting' OR expire_time <= {now})
        AND (lease_until, signup_id) > (:after_until, :after_id)
    ORDER BY lease_until, signup_id
    LIMIT :batch
"""


def _batch(table: str, condition: str, order: str) -> str:
    """Return the condition for one batch of rows, without those that others hold."""
    key = "digest" if table == "send_buckets" else "signup_id"
    return f"""{key} IN (
        SELECT {key} FROM {table} WHERE {condition}
        ORDER BY {order} LIMIT :batch {{skip_locked}}
    )"""


_signups: Final = functools.partial(_batch, "signups")

_WAITING: Final = "state IN ('code_required', 'password_required')"
_LAPSED: Final = f"{_WAITING} AND lease = 'none' AND expire_time <= {{now}}"
EXPIRE: Final = f"""
    UPDATE signups
    SET state = 'expired', state_time = {{now}}, epoch = epoch + 1,
        sealed = NULL, sealed_passwords = NULL, flow_digest = NULL
    WHERE {_signups(_LAPSED, "expire_time")}
    RETURNING signup_id, caller
"""

_KEPT: Final = """state = 'completed' AND sealed_passwords IS NOT NULL
            AND state_time <= :before"""
FORGET_PASSWORDS: Final = f"""
    UPDATE signups SET sealed_passwords = NULL, epoch = epoch + 1
    WHERE {_signups(_KEPT, "state_time")}
"""

_FINAL: Final = """state IN ('completed', 'already_registered', 'expired', 'cancelled')
            AND state_time <= :before"""
FORGET_SIGNUPS: Final = f"""
    DELETE FROM signups
    WHERE {_signups(_FINAL, "state_time")}
"""

UNDER_WAY: Final = f"""
    SELECT state, count(*) FROM signups WHERE {_WAITING} GROUP BY state
    UNION ALL SELECT lease, count(*) FROM signups WHERE lease <> 'none' GROUP BY lease
"""

# Times farther off than any step puts them: the clock ran ahead when they were written.
# The epoch stays, because the holder of a lease goes on.

_AHEAD: Final = f"{_WAITING} AND state = :state AND expire_time > {{now}} + :step"
CLAMP_WAITING: Final = f"""
    UPDATE signups
    SET expire_time = {{now}} + :step, send_time = {{least}}(send_time, {{now}})
    WHERE {_signups(_AHEAD, "expire_time")}
"""

_LEASED_AHEAD: Final = """lease <> 'none' AND (lease_until > {now} + :lease
            OR approved_until > {now} + :approval OR expire_time > {now} + :step)"""
CLAMP_LEASES: Final = f"""
    UPDATE signups
    SET lease_until = {{least}}(lease_until, {{now}} + :lease),
        approved_until = {{least}}(approved_until, {{now}} + :approval),
        expire_time = {{least}}(expire_time, {{now}} + :step),
        send_time = {{least}}(send_time, {{now}})
    WHERE {_signups(_LEASED_AHEAD, "lease_until")}
"""


def sealed_otherwise(heads: int) -> str:
    """Return the query for sign-ups under way that are sealed under another key.

    The first ``length`` bytes of what each key seals are ``head_0`` and so on.
    """
    return f"""
    SELECT signup_id FROM signups
    WHERE state IN ('starting', 'code_required', 'password_required')
        AND substr(sealed, 1, :length) NOT IN ({_numbered("head", heads)})
    LIMIT :most
"""


def browse(*sought: str, states: int) -> str:
    """Return the query for sign-ups to show to an operator, the newest first.

    The columns sought equal the parameter of the same name. The states, if any, are
    ``state_0`` and so on: those that callers see (``transitions.state_shown``).
    """
    conditions = ["1 = 1", *(f"{name} = :{name}" for name in sought)]
    if states:
        conditions.append(f"""CASE
        WHEN state IN ('starting', 'code_required', 'password_required')
            AND lease = 'none' AND expire_time <= {{now}}
        THEN 'expired' ELSE state END IN ({_numbered("state", states)})""")
    return f"""
    SELECT {{columns}}, {{now}} FROM signups WHERE {" AND ".join(conditions)}
    ORDER BY create_time DESC, signup_id DESC
    LIMIT :most
"""


def _numbered(name: str, count: int) -> str:
    return ", ".join(f":{name}_{n}" for n in range(count))


# Buckets, of buckets.py.

# A bucket without a row is full.
DEBIT: Final = """
    INSERT INTO send_buckets (digest, full_time, longest)
    VALUES (:digest, {now} + :refill, :longest)
    ON CONFLICT (digest) DO UPDATE
    SET longest = excluded.longest, full_time = :refill + CASE
        WHEN send_buckets.full_time > excluded.full_time - :refill
        THEN send_buckets.full_time ELSE excluded.full_time - :refill END
    WHERE send_buckets.full_time <= excluded.full_time - :refill + :room
    RETURNING {now}
"""

# One microsecond more says that the row found a note that still stood.
ASK: Final = """
    INSERT INTO send_buckets (digest, full_time, longest)
    VALUES (:digest, {now} + :span, :span + 1)
    ON CONFLICT (digest) DO UPDATE
    SET longest = excluded.longest, full_time = excluded.full_time
        + CASE WHEN send_buckets.full_time > {now} THEN 1 ELSE 0 END
    RETURNING full_time, full_time - {now} - :span
"""

# Unless the note was renewed since.
UNASK: Final = (
    "DELETE FROM send_buckets WHERE digest = :digest AND full_time = :full_time"
)

FILL: Final = "DELETE FROM send_buckets WHERE digest = :digest"

FULL_TIME: Final = "SELECT full_time, {now} FROM send_buckets WHERE digest = :digest"

# Gives back only what the bucket has not regained by itself since ``time``.
REFUND: Final = """
    UPDATE send_buckets
    SET full_time = full_time - :refill
        + CASE WHEN {now} > :time THEN {now} - :time ELSE 0 END
    WHERE digest = :digest AND {now} - :time < :refill
"""

_FULL: Final = "full_time <= {now}"
FORGET_BUCKETS: Final = f"""
    DELETE FROM send_buckets WHERE {_batch("send_buckets", _FULL, "full_time")}
"""

_TOO_FAR: Final = "full_time - longest > {now}"
CLAMP_BUCKETS: Final = f"""
    UPDATE send_buckets SET full_time = {{now}} + longest
    WHERE {_batch("send_buckets", _TOO_FAR, "full_time - longest")}
"""
