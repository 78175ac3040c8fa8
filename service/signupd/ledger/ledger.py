"""The ledger's queries. Every change is one compare-and-set on the row's epoch."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from signupd.errors import SignupBusy
from signupd.ledger.record import Lease, Record
from signupd.ledger.statements import ConstraintBroken
from signupd.ledger.tables import signups

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence

    from signupd.ledger.database import Database
    from signupd.ledger.prepared import Prepared


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
        rows = sa.select(signups)
        by_id = rows.where(signups.c.signup_id == sa.bindparam("signup_id"))
        by_request = rows.where(
            signups.c.caller == sa.bindparam("caller"),
            signups.c.request_id == sa.bindparam("request_id"),
        )
        self._by_id = database.prepare(database.timed(by_id))
        self._by_request = database.prepare(database.timed(by_request))
        self._approving = database.prepare(_approving(database))
        self._adding = database.prepare(signups.insert())
        self._removing = database.prepare(signups.delete().where(*_SAME))
        self._knowing = database.prepare(_KNOWING)
        # One for each set of columns that some step changes, and there are few.
        self._changing = functools.cache(partial(_changing, database))

    def now(self) -> int:
        """Tell the time that deadlines go by, in microseconds."""
        return self._database.now()

    async def add(self, record: Record) -> None:
        """Insert a new row.

        Raises:
            SignupBusy: Its caller used its request id before; nothing is inserted.
        """
        try:
            await self._database.run(self._adding, record._asdict())
        except ConstraintBroken as error:
            raise SignupBusy from error

    async def find(self, signup_id: uuid.UUID) -> Found | None:
        """Read a row by its id."""
        return _found(
            await self._database.read_one(self._by_id, {"signup_id": signup_id})
        )

    async def find_request(self, caller: str, request_id: uuid.UUID) -> Found | None:
        """Read a row by the request id of the StartSignup that made it."""
        values = {"caller": caller, "request_id": request_id}
        return _found(await self._database.read_one(self._by_request, values))

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
        await self._once(self._changing(frozenset(values), unapproved), record, values)
        return record._replace(**values)

    async def remove(self, record: Record) -> None:
        """Delete a row, provided that nobody changed it since ``record`` was read.

        Raises:
            SignupBusy: Somebody else was first; nothing is deleted.
        """
        await self._once(self._removing, record, {})

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
        values = {
            "is_flow": flow_digest,
            "is_address": address_digest,
            "span": span,
        }
        row = (await self._database.run(self._approving, values)).first
        return None if row is None else Approval(*row)

    async def knows_flow(self, flow_digest: bytes) -> bool:
        """Tell whether some row is, or was last, setting a password by this flow."""
        known = await self._database.run(self._knowing, {"is_flow": flow_digest})
        return bool(known.rows)

    async def _once(
        self, statement: Prepared, record: Record, values: dict[str, Any]
    ) -> None:
        """Run a statement that is to meet exactly one row."""
        given = {f"to_{name}": value for name, value in values.items()}
        given |= {f"is_{name}": getattr(record, name) for name in _COMPARED}
        if (await self._database.run(statement, given)).count != 1:
            raise SignupBusy("the row has moved")


# Every change of state has an epoch of its own. To compare the state too would offer
# PostgreSQL its index, which it takes while its statistics say that the table is empty.
_IDENTITY: Final = ("signup_id", "epoch")
_COMPARED: Final = (*_IDENTITY, "approved_until")


def _is(name: str) -> sa.ColumnElement[bool]:
    column = signups.c[name]
    return column == sa.bindparam(f"is_{name}", type_=column.type)


_SAME: Final = tuple(map(_is, _IDENTITY))
_FLOW: Final = signups.c.password_flow_digest == sa.bindparam("is_flow")
_KNOWING: Final = sa.select(signups.c.epoch).where(_FLOW).limit(1)


def _changing(database: Database, names: frozenset[str], unapproved: bool) -> Prepared:
    """Make the statement that changes these columns."""
    values = {
        name: sa.bindparam(f"to_{name}", type_=signups.c[name].type)
        for name in sorted(names)
    }
    statement = signups.update().where(*_SAME).values(values)
    if unapproved:
        statement = statement.where(_is("approved_until"))
    return database.prepare(statement)


def _approving(database: Database) -> sa.Executable:
    """Make the hook's statement, by the server's clock where there is one.

    Nothing is read on the hook's way.
    """
    now = database.moment
    return (
        signups.update()
        .where(
            _FLOW,
            signups.c.address_digest == sa.bindparam("is_address"),
            signups.c.lease == Lease.SETTING,
            signups.c.lease_until > now,
        )
        .values(approved_until=now + sa.bindparam("span", type_=sa.BigInteger))
        .returning(signups.c.signup_id, signups.c.epoch)
    )


def _found(read: tuple[Sequence[Any], int] | None) -> Found | None:
    return None if read is None else Found(Record(*read[0]), read[1])
