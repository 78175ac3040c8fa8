"""The outbox of events, and the indexes that the sweeper works by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

WRITE_EVENT = """
    INSERT INTO events (kind, signup_id, address_digest, event_time)
    VALUES (
        CASE NEW.state
            WHEN 'code_required' THEN 'started'
            WHEN 'password_required' THEN 'verified'
            ELSE NEW.state
        END,
        NEW.signup_id, NEW.address_digest, NEW.state_time
    );
"""
ADD_TO_TOTALS = """
    INSERT INTO event_totals (kind, count) VALUES (OLD.kind, 1)
    ON CONFLICT (kind) DO UPDATE SET count = event_totals.count + 1;
"""
KEEPS_PASSWORDS = "state = 'completed' AND sealed_passwords IS NOT NULL"


def upgrade() -> None:
    """Create the tables, the trigger that fills the outbox, and the indexes."""
    op.create_table(
        "events",
        sa.Column(
            "event_id",
            sa.BigInteger().with_variant(sa.Integer, "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("signup_id", sa.Uuid, nullable=False),
        sa.Column("address_digest", sa.LargeBinary, nullable=False),
        sa.Column("event_time", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "event_totals",
        sa.Column("kind", sa.String(20), primary_key=True),
        sa.Column("count", sa.BigInteger, nullable=False),
    )
    op.create_index(
        "ix_signups_lease",
        "signups",
        ["lease_until"],
        sqlite_where=sa.text("lease <> 'none'"),
        postgresql_where=sa.text("lease <> 'none'"),
    )
    op.create_index("ix_signups_expire", "signups", ["state", "expire_time"])
    op.create_index("ix_signups_state", "signups", ["state", "state_time"])
    op.create_index(
        "ix_signups_passwords",
        "signups",
        ["state_time"],
        sqlite_where=sa.text(KEEPS_PASSWORDS),
        postgresql_where=sa.text(KEEPS_PASSWORDS),
    )
    op.create_index("ix_events_time", "events", ["event_time"])
    changed = "AFTER UPDATE OF state ON signups WHEN NEW.state <> OLD.state"
    _create_trigger("signups_events", changed, WRITE_EVENT)
    _create_trigger("events_totals", "AFTER DELETE ON events", ADD_TO_TOTALS)


def _create_trigger(name: str, when: str, body: str) -> None:
    """Create a trigger for each row, in the words of the database at hand."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"CREATE TRIGGER {name} {when} BEGIN {body} END")
        return
    event, _, condition = when.partition(" WHEN ")
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {body} RETURN NULL; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {name} {event} FOR EACH ROW "
        + (f"WHEN ({condition}) " if condition else "")
        + f"EXECUTE FUNCTION {name}()"
    )
