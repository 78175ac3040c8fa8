"""An index of password digests that SQLite chooses, too.

It preferred the index of states to the one that had the state in its condition alone,
and so went through all sign-ups ever completed to find none with a password.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

KEEPS_PASSWORDS = sa.text("sealed_passwords IS NOT NULL")


def upgrade() -> None:
    """Have the state in front of the index, and not in its condition."""
    op.drop_index("ix_signups_passwords", "signups")
    op.create_index(
        "ix_signups_passwords",
        "signups",
        ["state", "state_time"],
        sqlite_where=KEEPS_PASSWORDS,
        postgresql_where=KEEPS_PASSWORDS,
    )
