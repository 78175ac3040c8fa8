"""The ledger's tables, for SQLAlchemy Core. Alembic's migrations create them.

Events are written by a trigger on ``signups.state`` (migration 0002): in the same
transaction as the change, whoever makes it, and without another trip to the database.
"""

from __future__ import annotations

import sqlalchemy as sa

from signupd.ledger.record import Event, Lease, State

metadata = sa.MetaData()


def _words(kind: type[State | Lease | Event]) -> sa.Enum:
    """A column of plain words, so that SQL at the prompt can be read."""
    return sa.Enum(
        kind,
        native_enum=False,
        length=20,
        values_callable=lambda members: [member.value for member in members],
    )


# As in the index' own condition: a parameter in its place would hide that it fits.
LEASED = sa.text("lease <> 'none'")
_KEEPS_PASSWORDS = sa.text("sealed_passwords IS NOT NULL")

signups = sa.Table(
    "signups",
    metadata,
    sa.Column("signup_id", sa.Uuid, primary_key=True),
    sa.Column("state", _words(State), nullable=False),
    sa.Column("lease", _words(Lease), nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("lease_until", sa.BigInteger, nullable=False),
    sa.Column("approved_until", sa.BigInteger, nullable=False),
    sa.Column("address_digest", sa.LargeBinary, nullable=False),
    sa.Column("sealed", sa.LargeBinary),
    sa.Column("sealed_mask", sa.LargeBinary, nullable=False),
    sa.Column("code_digest", sa.LargeBinary),
    sa.Column("password_flow_digest", sa.LargeBinary, unique=True),
    sa.Column("sealed_passwords", sa.LargeBinary),
    sa.Column("identity_id", sa.Uuid),
    sa.Column("code_attempts", sa.Integer, nullable=False),
    sa.Column("code_repeats", sa.Integer, nullable=False),
    sa.Column("password_attempts", sa.Integer, nullable=False),
    sa.Column("sends", sa.Integer, nullable=False),
    sa.Column("create_time", sa.BigInteger, nullable=False),
    sa.Column("send_time", sa.BigInteger, nullable=False),
    sa.Column("expire_time", sa.BigInteger, nullable=False),
    sa.Column("state_time", sa.BigInteger, nullable=False),
    sa.Column("caller", sa.String(255), nullable=False),
    sa.Column("request_id", sa.Uuid),
    sa.Column("request_digest", sa.LargeBinary),
    # NULLs are distinct in both databases: sign-ups without a request id never meet.
    sa.UniqueConstraint("caller", "request_id", name="uq_signups_request"),
    # What the sweeper looks for: lapsed steps, dead leases, rows past retention.
    sa.Index("ix_signups_expire", "state", "expire_time"),
    sa.Index("ix_signups_state", "state", "state_time"),
    sa.Index(
        "ix_signups_passwords",
        "state",
        "state_time",
        sqlite_where=_KEEPS_PASSWORDS,
        postgresql_where=_KEEPS_PASSWORDS,
    ),
    sa.Index(
        "ix_signups_lease",
        "lease_until",
        sqlite_where=LEASED,
        postgresql_where=LEASED,
    ),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column(
        "event_id",
        sa.BigInteger().with_variant(sa.Integer, "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    sa.Column("kind", _words(Event), nullable=False),
    sa.Column("signup_id", sa.Uuid, nullable=False),
    sa.Column("address_digest", sa.LargeBinary, nullable=False),
    sa.Column("event_time", sa.BigInteger, nullable=False),
    sa.Index("ix_events_time", "event_time"),
    sqlite_autoincrement=True,
)

# How many events of each kind there were up to the watermark, kept or pruned.
event_totals = sa.Table(
    "event_totals",
    metadata,
    sa.Column("kind", _words(Event), primary_key=True),
    sa.Column("count", sa.BigInteger, nullable=False),
)

# One row, with the id 1: up to which event_id they are added up, and up to which they
# were seen, by which of PostgreSQL's transactions (outbox.py).
event_watermark = sa.Table(
    "event_watermark",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("counted", sa.BigInteger, nullable=False),
    sa.Column("seen", sa.BigInteger, nullable=False),
    sa.Column("seen_by", sa.BigInteger, nullable=False),
)

# How many mails went out lately. A row is gone once its bucket is full again.
send_buckets = sa.Table(
    "send_buckets",
    metadata,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("full_time", sa.BigInteger, nullable=False),
    sa.Index("ix_send_buckets_full", "full_time"),
)
