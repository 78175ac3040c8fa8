"""Sign-ups in the ledger. Every change is one compare-and-set on the row's epoch."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from signupd.errors import SignupBusy
from signupd.ledger import statements
from signupd.ledger.database import Database, DuplicateKey, Row
from signupd.ledger.record import Lease, Record, State

_BEFORE_ALL: Final = (-1, uuid.UUID(int=0))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A row and the moment it was read, in microseconds by the ledger's clock."""

    record: Record
    now: int


class Ledger:
    """Reads and changes sign-ups: one by its key, or a batch of those that are due.

    Replicas sweep at the same time without waiting for each other: one statement picks,
    locks and changes its batch, and PostgreSQL skips rows that another replica holds.

    Every method raises ``LedgerUnavailable`` if the database does not answer.

    Args:
        database: Where they are kept.

    Attributes:
        now: Returns the time that deadlines go by, in microseconds.
        read_clock: Continues from the database's time.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._after = _BEFORE_ALL
        self.now = database.now
        self.read_clock = database.read_clock

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
        row = await self._database.fetch_one(statements.FIND, signup_id=signup_id)
        return self._snapshot(row)

    async def find_request(self, caller: str, request_id: uuid.UUID) -> Snapshot | None:
        """Read a row by the request id of the StartSignup that made it."""
        row = await self._database.fetch_one(
            statements.FIND_REQUEST, caller=caller, request_id=request_id
        )
        return self._snapshot(row)

    async def change(
        self, record: Record, *, unapproved: bool = False, **values: Any
    ) -> Record:
        """Change a row, unless it was changed since ``record`` was read.

        Args:
            record: The row as read.
            unapproved: Change nothing either if the password hook has approved since.
            values: The columns to change, by name.

        Returns:
            The row as it is now, its epoch one higher.

        Raises:
            SignupBusy: Another change came first; nothing is changed.
        """
        values["epoch"] = record.epoch + 1
        statement = statements.change(frozenset(values), unapproved=unapproved)
        new = {f"to_{name}": value for name, value in values.items()}
        await self._change_one(statement, record, new)
        return record._replace(**values)

    async def remove(self, record: Record) -> None:
        """Delete a row, unless it was changed since ``record`` was read.

        Raises:
            SignupBusy: Another change came first; nothing is deleted.
        """
        await self._change_one(statements.REMOVE, record, {})

    async def approve(
        self, flow_digest: bytes, address_digest: bytes, *, span: int
    ) -> uuid.UUID | None:
        """Approve the account that a live SETTING lease asks for, by one statement.

        Args:
            flow_digest: Of the Kratos flow that asks.
            address_digest: Of the address the account would have.
            span: How long the approval stands, in microseconds.

        Returns:
            The sign-up, or None if no lease asks for this account.
        """
        row = await self._database.fetch_one(
            statements.APPROVE,
            flow_digest=flow_digest,
            address_digest=address_digest,
            span=span,
        )
        return None if row is None else row[0]

    async def knows_flow(self, flow_digest: bytes) -> bool:
        """Return whether a row sets a password by this flow, or did so last."""
        row = await self._database.fetch_one(
            statements.KNOWS_FLOW, flow_digest=flow_digest
        )
        return row is not None

    async def end_all_leases(self) -> int:
        """End every lease. Only for a ledger that no other server uses."""
        return await self._database.execute(statements.END_ALL_LEASES)

    async def dead_leases(self, batch: int) -> list[uuid.UUID]:
        """List a batch of sign-ups whose lease ran out.

        Each call continues behind the last one and starts again at the end, so rows
        that cannot be settled do not hold up the others.
        """
        after_until, after_id = self._after
        rows = await self._database.fetch_all(
            statements.DEAD_LEASES,
            after_until=after_until,
            after_id=after_id,
            batch=batch,
        )
        self._after = (rows[-1][1], rows[-1][0]) if len(rows) == batch else _BEFORE_ALL
        return [row[0] for row in rows]

    async def expire(self, batch: int) -> list[tuple[uuid.UUID, str]]:
        """Set a batch of lapsed sign-ups without a lease to EXPIRED.

        Returns:
            The id and the caller of each.
        """
        rows = await self._database.fetch_all(statements.EXPIRE, batch=batch)
        return [(signup_id, caller) for signup_id, caller in rows]

    async def forget(
        self, batch: int, *, passwords_before: int, signups_before: int
    ) -> list[int]:
        """Erase a batch of each kind that is past its time.

        Args:
            batch: How many rows of each kind at most.
            passwords_before: Sign-ups completed before this moment lose the digests of
                their passwords.
            signups_before: Sign-ups that were final before this moment are deleted.

        Returns:
            The rows erased: of these two kinds, and of buckets that are full again. A
            bucket without a row is full.
        """
        run = self._database.execute
        return [
            await run(
                statements.FORGET_PASSWORDS, before=passwords_before, batch=batch
            ),
            await run(statements.FORGET_SIGNUPS, before=signups_before, batch=batch),
            await run(statements.FORGET_BUCKETS, batch=batch),
        ]

    async def ping(self) -> None:
        """Run a query that reads nothing."""
        await self._database.fetch_one(statements.PING)

    async def under_way(self) -> dict[str, int]:
        """Count the sign-ups that wait for a code or a password, by state."""
        return dict(await self._database.fetch_all(statements.UNDER_WAY))

    async def unopened(self, heads: Collection[bytes], most: int) -> list[uuid.UUID]:
        """List sign-ups under way that are sealed under none of the keys.

        Args:
            heads: How the seals of each key begin, all of one length.
            most: How many to list at most.
        """
        known = sorted(heads)
        rows = await self._database.fetch_all(
            statements.sealed_otherwise(len(known)),
            length=len(known[0]),
            most=most,
            **{f"head_{n}": head for n, head in enumerate(known)},
        )
        return [row[0] for row in rows]

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

    def _snapshot(self, row: Row | None) -> Snapshot | None:
        if row is None:
            return None
        signup_id, state, lease, *rest, now = row
        self._database.synchronize(now)
        return Snapshot(Record(signup_id, State(state), Lease(lease), *rest), now)
