"""The ledger's queries. Every change is one compare-and-set on the row's epoch."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from signupd.errors import SignupBusy
from signupd.ledger.record import Lease, Record
from signupd.ledger.tables import signups

if TYPE_CHECKING:
    import uuid

    from signupd.ledger.database import Database


@dataclass(frozen=True, slots=True)
class Found:
    """A row and the moment it was read, in microseconds by the ledger's clock."""

    record: Record
    now: int


@dataclass(frozen=True, slots=True)
class Approval:
    """What the password hook agreed to: this sign-up's lease, by its epoch."""

    signup_id: uuid.UUID
    epoch: int


class Ledger:
    """Reads and changes sign-ups.

    Every method raises ``LedgerUnavailable`` when the database does not answer.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def now(self) -> int:
        """Tell the time that deadlines go by, in microseconds."""
        return self._database.now()

    async def add(self, record: Record) -> bool:
        """Insert a new row.

        Returns:
            False, with nothing inserted, when its caller used its request id before.
        """
        values = {field.name: getattr(record, field.name) for field in _FIELDS}
        try:
            async with self._database.connection() as connection:
                await connection.execute(signups.insert().values(values))
        except sa.exc.IntegrityError:
            return False
        return True

    async def find(self, signup_id: uuid.UUID) -> Found | None:
        """Read a row by its id."""
        return await self._find(signups.c.signup_id == signup_id)

    async def find_request(self, caller: str, request_id: uuid.UUID) -> Found | None:
        """Read a row by the request id of the StartSignup that made it."""
        return await self._find(
            signups.c.caller == caller, signups.c.request_id == request_id
        )

    async def change(
        self, record: Record, *, unapproved: bool = False, **values: Any
    ) -> Record:
        """Change a row, provided that nobody did so since ``record`` was read.

        Args:
            record: The row as read.
            unapproved: Demand too that the password hook agreed to nothing since.
            values: The columns to change, by name.

        Returns:
            The row as it is now, its epoch one higher.

        Raises:
            SignupBusy: Somebody else was first; nothing is changed.
        """
        values["epoch"] = record.epoch + 1
        statement = signups.update().where(*_same(record)).values(values)
        if unapproved:
            statement = statement.where(
                signups.c.approved_until == record.approved_until
            )
        await self._once(statement)
        return dataclasses.replace(record, **values)

    async def remove(self, record: Record) -> None:
        """Delete a row, provided that nobody changed it since ``record`` was read.

        Raises:
            SignupBusy: Somebody else was first; nothing is deleted.
        """
        await self._once(signups.delete().where(*_same(record)))

    async def approve(
        self, flow_digest: bytes, address_digest: bytes, *, span: int
    ) -> Approval | None:
        """Agree to the account that a live SETTING lease asks for, by one statement.

        Args:
            flow_digest: Of the Kratos flow that asks.
            address_digest: Of the address the account would have.
            span: How long the agreement stands, in microseconds.

        Returns:
            The lease agreed to, or None where there is none such.
        """
        # By the server's clock where there is one, with nothing in between: no row is
        # read on the hook's way.
        now = self._database.moment
        statement = (
            signups.update()
            .where(
                signups.c.password_flow_digest == flow_digest,
                signups.c.address_digest == address_digest,
                signups.c.lease == Lease.SETTING,
                signups.c.lease_until > now,
            )
            .values(approved_until=now + span)
            .returning(signups.c.signup_id, signups.c.epoch)
        )
        async with self._database.connection() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return None if row is None else Approval(*row)

    async def knows_flow(self, flow_digest: bytes) -> bool:
        """Tell whether some row is, or was last, setting a password by this flow."""
        query = sa.select(signups.c.epoch).where(
            signups.c.password_flow_digest == flow_digest
        )
        async with self._database.connection() as connection:
            return (await connection.execute(query)).first() is not None

    async def _find(self, *where: sa.ColumnElement[bool]) -> Found | None:
        read = await self._database.read_one(sa.select(signups).where(*where))
        return None if read is None else Found(Record(*read[0]), read[1])

    async def _once(self, statement: sa.Update | sa.Delete) -> None:
        """Run a statement that is to meet exactly one row."""
        async with self._database.connection() as connection:
            result = await connection.execute(statement)
        if result.rowcount != 1:
            raise SignupBusy("the row has moved")


_FIELDS = dataclasses.fields(Record)


def _same(record: Record) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        signups.c.signup_id == record.signup_id,
        signups.c.state == record.state,
        signups.c.epoch == record.epoch,
    )
