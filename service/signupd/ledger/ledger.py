"""The ledger's queries. Every change is one compare-and-set on the row's epoch."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from signupd.errors import SignupBusy
from signupd.ledger.record import Lease, Record
from signupd.ledger.tables import signups

if TYPE_CHECKING:
    import uuid
    from collections.abc import Sequence

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
        rows = sa.select(signups)
        self._by_id = database.timed(
            rows.where(signups.c.signup_id == sa.bindparam("signup_id"))
        )
        self._by_request = database.timed(
            rows.where(
                signups.c.caller == sa.bindparam("caller"),
                signups.c.request_id == sa.bindparam("request_id"),
            )
        )
        self._approving = _approving(database)

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
            await self._database.run(_ADDING, values)
        except sa.exc.IntegrityError:
            return False
        return True

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
        statement = _changing(frozenset(values), unapproved=unapproved)
        await self._once(statement, record, values)
        return dataclasses.replace(record, **values)

    async def remove(self, record: Record) -> None:
        """Delete a row, provided that nobody changed it since ``record`` was read.

        Raises:
            SignupBusy: Somebody else was first; nothing is deleted.
        """
        await self._once(_REMOVING, record, {})

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
        return bool((await self._database.run(_KNOWING, {"is_flow": flow_digest})).rows)

    async def _once(
        self, statement: sa.Executable, record: Record, values: dict[str, Any]
    ) -> None:
        """Run a statement that is to meet exactly one row."""
        given = {f"to_{name}": value for name, value in values.items()}
        given |= {f"is_{name}": getattr(record, name) for name in _COMPARED}
        if (await self._database.run(statement, given)).count != 1:
            raise SignupBusy("the row has moved")


# Statements are made once: to make one takes longer than to run it.
_FIELDS: Final = dataclasses.fields(Record)
_IDENTITY: Final = ("signup_id", "state", "epoch")
_COMPARED: Final = (*_IDENTITY, "approved_until")


def _is(name: str) -> sa.ColumnElement[bool]:
    column = signups.c[name]
    return column == sa.bindparam(f"is_{name}", type_=column.type)


_SAME: Final = tuple(map(_is, _IDENTITY))
_ADDING: Final = signups.insert()
_REMOVING: Final = signups.delete().where(*_SAME)
_FLOW: Final = signups.c.password_flow_digest == sa.bindparam("is_flow")
_KNOWING: Final = sa.select(signups.c.epoch).where(_FLOW).limit(1)


@functools.cache
def _changing(names: frozenset[str], *, unapproved: bool) -> sa.Update:
    """Make the statement that changes these columns; there are few such sets."""
    values = {
        name: sa.bindparam(f"to_{name}", type_=signups.c[name].type)
        for name in sorted(names)
    }
    statement = signups.update().where(*_SAME).values(values)
    return statement.where(_is("approved_until")) if unapproved else statement


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
