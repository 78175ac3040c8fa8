"""The buckets that mails are counted in, by address and by client."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table, and the index that full buckets are found by."""
    op.create_table(
        "send_buckets",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("full_time", sa.BigInteger, nullable=False),
    )
    op.create_index("ix_send_buckets_full", "send_buckets", ["full_time"])
