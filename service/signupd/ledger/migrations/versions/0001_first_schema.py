"""The first schema: sign-ups, and the buckets of mails and wrong codes."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Rows come and go fast, so PostgreSQL looks at the tables sooner than by default: after
# a fiftieth of the rows has changed instead of a tenth or a fifth.
AUTOVACUUM = """
    ALTER TABLE {table} SET (
        autovacuum_vacuum_scale_factor = 0.02,
        autovacuum_analyze_scale_factor = 0.02
    )
"""
# What the sweeper looks for, each with an index of its own. The conditions are those of
# the statements, word for word: SQLite wants that.
DUE = {
    "ix_signups_expire": (
        ["expire_time", "state"],
        "state IN ('code_required', 'password_required')",
    ),
    "ix_signups_lease": (["lease_until", "signup_id"], "lease <> 'none'"),
    "ix_signups_passwords": (
        ["state_time"],
        "state = 'completed' AND sealed_passwords IS NOT NULL",
    ),
    "ix_signups_final": (
        ["state_time"],
        "state IN ('completed', 'already_registered', 'expired', 'cancelled')",
    ),
}


def upgrade() -> None:
    """Create the tables and the indexes that calls and the sweeper use."""
    _create_signups()
    _create_buckets()
    if op.get_bind().dialect.name == "postgresql":
        for table in ("signups", "send_buckets"):
            op.execute(AUTOVACUUM.format(table=table))


def _create_signups() -> None:
    op.create_table(
        "signups",
        sa.Column("signup_id", sa.Uuid, primary_key=True),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("lease", sa.String(20), nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("lease_until", sa.BigInteger, nullable=False),
        sa.Column("approved_until", sa.BigInteger, nullable=False),
        sa.Column("proof_time", sa.BigInteger, nullable=False),
        sa.Column("address_digest", sa.LargeBinary, nullable=False),
        sa.Column("sealed", sa.LargeBinary),
        sa.Column("sealed_mask", sa.LargeBinary, nullable=False),
        sa.Column("code_digest", sa.LargeBinary),
        sa.Column("flow_digest", sa.LargeBinary, unique=True),
        sa.Column("sealed_passwords", sa.LargeBinary),
        sa.Column("identity_id", sa.Uuid),
        sa.Column("existing_verified", sa.Boolean),
        sa.Column("code_attempts", sa.Integer, nullable=False),
        sa.Column("code_repeats", sa.Integer, nullable=False),
        sa.Column("password_attempts", sa.Integer, nullable=False),
        sa.Column("password_repeats", sa.Integer, nullable=False),
        sa.Column("sends", sa.Integer, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
        sa.Column("send_time", sa.BigInteger, nullable=False),
        sa.Column("expire_time", sa.BigInteger, nullable=False),
        sa.Column("state_time", sa.BigInteger, nullable=False),
        sa.Column("caller", sa.String(255), nullable=False),
        sa.Column("request_id", sa.Uuid),
        sa.Column("request_digest", sa.LargeBinary),
        # NULLs are distinct: sign-ups without a request id never meet.
        sa.UniqueConstraint("caller", "request_id", name="uq_signups_request"),
    )
    for name, (columns, condition) in DUE.items():
        where = sa.text(condition)
        op.create_index(
            name, "signups", columns, sqlite_where=where, postgresql_where=where
        )


def _create_buckets() -> None:
    op.create_table(
        "send_buckets",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("full_time", sa.BigInteger, nullable=False),
        # How far off full_time can be, in microseconds.
        sa.Column("longest", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_send_buckets_full", "send_buckets", ["full_time"])
    written = sa.text("(full_time - longest)")
    op.create_index("ix_send_buckets_ahead", "send_buckets", [written])
