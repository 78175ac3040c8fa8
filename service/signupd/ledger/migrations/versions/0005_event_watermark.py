"""Totals that have kept events in them, too, up to a watermark.

To count all that were kept took the longer the more there were.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Moving the watermark adds up what it passes. In PostgreSQL each statement of a
# function sees what was committed until then: after the watermark was locked.
ADD_UP = """
    INSERT INTO event_totals (kind, count)
    SELECT kind, count(*) FROM events
    WHERE event_id > OLD.counted AND event_id <= NEW.counted
    GROUP BY kind
    ON CONFLICT (kind) DO UPDATE SET count = event_totals.count + excluded.count;
"""
# An event that is deleted before the watermark has passed it is counted then: a server
# of an earlier version, or somebody by hand, may do so.
ADD_ONE = """
    INSERT INTO event_totals (kind, count)
    SELECT OLD.kind, 1 FROM event_watermark
    WHERE id = 1 AND counted < OLD.event_id {locking}
    ON CONFLICT (kind) DO UPDATE SET count = event_totals.count + 1;
"""


def upgrade() -> None:
    """Create the watermark, below all events, and what adds up."""
    watermark = op.create_table(
        "event_watermark",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("counted", sa.BigInteger, nullable=False),
        sa.Column("seen", sa.BigInteger, nullable=False),
        sa.Column("seen_by", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(watermark, [{"id": 1, "counted": 0, "seen": 0, "seen_by": 0}])
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER events_totals")
        op.execute(
            "CREATE TRIGGER events_totals AFTER DELETE ON events "
            f"BEGIN {ADD_ONE.format(locking='')} END"
        )
        op.execute(
            "CREATE TRIGGER event_watermark AFTER UPDATE OF counted "
            f"ON event_watermark BEGIN {ADD_UP} END"
        )
        return
    _create_function("events_totals", ADD_ONE.format(locking="FOR SHARE"))
    _create_function("event_watermark", ADD_UP)
    op.execute(
        "CREATE TRIGGER event_watermark AFTER UPDATE OF counted ON event_watermark "
        "FOR EACH ROW EXECUTE FUNCTION event_watermark()"
    )


def _create_function(name: str, body: str) -> None:
    op.execute(
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {body} RETURN NULL; END $$"
    )
