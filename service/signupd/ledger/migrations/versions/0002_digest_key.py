"""The digest by which a server knows the ledger's DIGEST_KEY: one row, written once."""

import sqlalchemy as sa
from alembic import op

revision = "0002.0001"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; the next server to start adds its row."""
    op.create_table(
        "digest_key",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
    )
