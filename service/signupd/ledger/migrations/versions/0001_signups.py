"""The table of sign-ups."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table as tables.py had it when this was written."""
    op.create_table(
        "signups",
        sa.Column("signup_id", sa.Uuid, primary_key=True),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("lease", sa.String(20), nullable=False),
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
        sa.UniqueConstraint("caller", "request_id", name="uq_signups_request"),
    )
