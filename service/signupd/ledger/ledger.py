"""Sign-ups in the ledger. Every change is one compare-and-set on the row's epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from signupd.errors import SignupBusy
from signupd.ledger import statements
from signupd.ledger.database import DuplicateKey
from signupd.ledger.record import Lease, Record, State

if TYPE_CHECKING:
    import uuid

    from signupd.ledger.database import Database, Row


@dataclass(frozen=True, slots=True)
class Snapshot:
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

    Every method raises ``LedgerUnavailable`` if the database does not answer.

    Args:
        database: Where they are kept.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def now(self) -> int:
        """Return the time that deadlines go by, in microseconds."""
        return self._database.now()

    async def add(self, record: Record) -> None:
        """Insert a new row.

        Raises:
            SignupBusy: Its caller used its request id before; nothing is inserted.
        """
        try:
            await self._database.execute(statements.ADD, **record._asdict())
        except DuplicateKey as error:
            raise SignupBusy from error

    async def find(self, signup_id: uuid.UUID) -> Snapshot | None:
        """Read a row by its id."""
        return self._found(
            await self._database.fetch_one(statements.FIND, signup_id=signup_id)
        )

    async def find_request(self, caller: str, request_id: uuid.UUID) -> Snapshot | None:
        """Read a row by the request id of the StartSignup that made it."""
        row = await self._database.fetch_one(
            statements.FIND_REQUEST, caller=caller, request_id=request_id
        )
        return self._found(row)

    async def change(
        self, record: Record, *, unapproved: bool = False, **values: Any
    ) -> Record:
        """Change a row, unless it was changed since ``record`` was read.

        Args:
            record: The row as read.
            unapproved: Demand too that the password hook agreed to nothing since.
            values: The columns to change, by name.

        Returns:
            The row as it is now, its epoch one higher.

        Raises:
            SignupBusy: Another change came first; nothing is changed.
        """
        values["epoch"] = record.epoch + 1
        statement = statements.change(frozenset(values), unapproved=unapproved)
        await self._change_one(
            statement, record, {f"to_{name}": value for name, value in values.items()}
        )
        return record._replace(**values)

    async def remove(self, record: Record) -> None:
        """Delete a row, unless it was changed since ``record`` was read.

        Raises:
            SignupBusy: Another change came first; nothing is deleted.
        """
        await self._change_one(statements.REMOVE, record, {})

    async def approve(
        self, flow_digest: bytes, address_digest: bytes, *, span: int
    ) -> Approval | None:
        """Agree to the account that a live SETTING lease asks for, by one statement.

        Args:
            flow_digest: Of the Kratos flow that asks.
            address_digest: Of the address the account would have.
            span: How long the agreement stands, in microseconds.

        Returns:
            The lease agreed to, or None if no lease asks for this account.
        """
        row = await self._database.fetch_one(
            statements.APPROVE,
            flow_digest=flow_digest,
            address_digest=address_digest,
            span=span,
        )
        return None if row is None else Approval(*row)

    async def knows_flow(self, flow_digest: bytes) -> bool:
        """Return whether a row sets a password by this flow, or did so last."""
        row = await self._database.fetch_one(
            statements.KNOWS_FLOW, flow_digest=flow_digest
        )
        return row is not None

    async def _change_one(
        self, statement: str, record: Record, values: dict[str, Any]
    ) -> None:
        changed = await self._database.execute(
            statement,
            is_signup_id=record.signup_id,
            is_epoch=record.epoch,
            is_approved_until=record.approved_until,
            **values,
        )
        if changed != 1:
            raise SignupBusy("the row has moved")

    def _found(self, row: Row | None) -> Snapshot | None:
        if row is None:
            return None
        *columns, now = row
        self._database.synchronize(now)
        read = Record(*columns)
        return Snapshot(
            read._replace(state=State(read.state), lease=Lease(read.lease)), now
        )
