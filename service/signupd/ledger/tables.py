"""The ledger's tables, for SQLAlchemy Core. Alembic's migrations create them."""

from __future__ import annotations

import sqlalchemy as sa

from signupd.ledger.record import Lease, State

metadata = sa.MetaData()


def _words(kind: type[State | Lease]) -> sa.Enum:
    """A column of plain words, so that SQL at the prompt can be read."""
    return sa.Enum(
        kind,
        native_enum=False,
        length=20,
        values_callable=lambda members: [member.value for member in members],
    )


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
    sa.Column("finish_time", sa.BigInteger, nullable=False),
    sa.Column("caller", sa.String(255), nullable=False),
    sa.Column("request_id", sa.Uuid),
    sa.Column("request_digest", sa.LargeBinary),
    # NULLs are distinct in both databases: sign-ups without a request id never meet.
    sa.UniqueConstraint("caller", "request_id", name="uq_signups_request"),
)
