"""Sign-ups in the ledger. Every change is one compare-and-set on the row's epoch."""

import contextlib
import uuid
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from signupd.errors import LedgerUnavailable, SignupBusy
from signupd.ledger import statements
from signupd.ledger.database import (
    Database,
    DuplicateKey,
    Row,
    make_database,
    sqlite_file,
    steady_clock,
)
from signupd.ledger.migrate import demand_usable
from signupd.ledger.record import Lease, Record, State

_PROBED: Final = b"probe"
_BEFORE_ALL: Final = (-1, uuid.UUID(int=0))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A row and the moment it was read, in microseconds by the ledger's clock."""

    record: Record
    now: int


class Ledger:
    """Reads and changes sign-ups: one by its key, or a batch of due ones.

    Replicas sweep at the same time without waiting for each other: one statement picks,
    locks and changes its batch, and PostgreSQL skips rows that another replica holds.

    Every method raises ``LedgerUnavailable`` if the database does not answer.

    Attributes:
        now: Returns the time that deadlines go by, in microseconds.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._after = _BEFORE_ALL
        self._run = database.run
        self.now = database.now

    async def read_clock(self) -> None:
        """Continue from the database's time, if it has its own."""
        if self._database.shared:
            self._database.synchronize((await self._run(statements.CLOCK)).rows[0][0])

    async def has_key(self, digest: bytes, *, add: bool) -> bool:
        """Return whether this is the digest of the ledger's key, or it has none.

        With ``add`` a ledger that has none keeps this one.
        """
        if add:
            await self._run(statements.ADD_KEY, digest=digest)
        return (await self._run(statements.KEY)).rows in ([], [(digest,)])

    async def add(self, record: Record) -> None:
        """Insert a new row; SignupBusy if its caller used its request id before."""
        try:
            await self._run(statements.ADD, **record._asdict())
        except DuplicateKey as error:
            raise SignupBusy from error

    async def find(self, signup_id: uuid.UUID) -> Snapshot | None:
        """Read a row by its id."""
        return await self._find(statements.FIND, signup_id=signup_id)

    async def find_request(self, caller: str, request_id: uuid.UUID) -> Snapshot | None:
        """Read a row by the request id of the StartSignup that made it."""
        return await self._find(
            statements.FIND_REQUEST, caller=caller, request_id=request_id
        )

    async def browse(
        self,
        limit: int,
        states: Sequence[State] = (),
        **sought: bytes | uuid.UUID | None,
    ) -> list[Snapshot]:
        """Read at most ``limit`` rows, the newest first; all are held in memory.

        Give the states as callers see them, or none for all, and ``signup_id`` or
        ``address_digest``. No index serves operators alone: unless an id is sought this
        reads all rows.
        """
        given = {name: value for name, value in sought.items() if value is not None}
        result = await self._run(
            statements.browse(*given, states=len(states)),
            most=limit,
            **given,
            **{f"state_{n}": state for n, state in enumerate(states)},
        )
        return [self._snapshot(row) for row in result.rows]

    async def change(
        self, record: Record, *, unapproved: bool = False, **values: Any
    ) -> Record:
        """Change columns of a row, unless it was changed since ``record`` was read.

        With ``unapproved``, change nothing either if a hook has approved since. Returns
        the row as it is now, its epoch one higher.

        Raises:
            SignupBusy: Another change came first; nothing is changed.
        """
        values["epoch"] = record.epoch + 1
        statement = statements.change(frozenset(values), unapproved=unapproved)
        new = {f"to_{name}": value for name, value in values.items()}
        await self._change_one(statement, record, new)
        return record._replace(**values)

    async def remove(self, record: Record) -> None:
        """Delete a row; SignupBusy if it was changed since ``record`` was read."""
        await self._change_one(statements.REMOVE, record, {})

    async def approve(
        self, flow_digest: bytes, address_digest: bytes, *, span: int
    ) -> uuid.UUID | None:
        """Approve the account that a live SETTING lease asks for, by one statement.

        The approval stands for ``span`` microseconds. Returns the sign-up, or None if
        none asks for this address by this Kratos flow.
        """
        approved = await self._run(
            statements.APPROVE,
            flow_digest=flow_digest,
            address_digest=address_digest,
            span=span,
        )
        return approved.rows[0][0] if approved.rows else None

    async def note_proof(self, flow_digest: bytes, address_digest: bytes) -> None:
        """Note that the code of a VERIFYING lease was right, if one asks for this."""
        await self._run(
            statements.NOTE_PROOF,
            flow_digest=flow_digest,
            address_digest=address_digest,
        )

    async def knows_flow(self, flow_digest: bytes, address_digest: bytes) -> bool:
        """Return whether a row sets a password by this flow and address, or did."""
        of = {"flow_digest": flow_digest, "address_digest": address_digest}
        return bool((await self._run(statements.KNOWS_FLOW, **of)).rows)

    async def end_all_leases(self) -> int:
        """End every lease. Only for a ledger that no other server uses."""
        return (await self._run(statements.END_ALL_LEASES)).changed

    async def dead_leases(self, batch: int) -> list[uuid.UUID]:
        """List a batch of sign-ups whose lease ran out.

        Each call continues behind the last one and starts again at the end, so rows
        that cannot be settled do not hold up the others.
        """
        after_until, after_id = self._after
        result = await self._run(
            statements.DEAD_LEASES,
            after_until=after_until,
            after_id=after_id,
            batch=batch,
        )
        rows = result.rows
        self._after = (rows[-1][1], rows[-1][0]) if len(rows) == batch else _BEFORE_ALL
        return [row[0] for row in rows]

    async def expire(self, batch: int) -> list[tuple[uuid.UUID, str]]:
        """Set a batch of lapsed sign-ups to EXPIRED; return their ids and callers."""
        expired = await self._run(statements.EXPIRE, batch=batch)
        return [(signup_id, caller) for signup_id, caller in expired.rows]

    async def forget(
        self, batch: int, *, passwords_before: int, signups_before: int
    ) -> list[int]:
        """Erase a batch of each kind that is past its time; return how many of each.

        The kinds are the password digests of sign-ups completed before a moment,
        sign-ups that were final before another, and buckets that are full again.
        """
        run = self._run
        forgotten = [
            await run(
                statements.FORGET_PASSWORDS, before=passwords_before, batch=batch
            ),
            await run(statements.FORGET_SIGNUPS, before=signups_before, batch=batch),
            await run(statements.FORGET_BUCKETS, batch=batch),
        ]
        return [result.changed for result in forgotten]

    async def clamp(
        self, batch: int, *, steps: Mapping[State, int], lease: int, approval: int
    ) -> list[int]:
        """Bring times that are too far off to the farthest that is possible.

        A clock that ran ahead, or a ledger that was restored where the clock is behind,
        leaves such times. They would lock addresses and sign-ups until then. Spans are
        microseconds: of a state, a lease, an approval. Returns how many rows of each
        kind were changed.
        """
        run, longest = self._run, max(steps.values())
        leases = {"lease": lease, "approval": approval, "step": longest}
        clamped = [
            await run(statements.CLAMP_BUCKETS, batch=batch),
            await run(statements.CLAMP_LEASES, batch=batch, **leases),
            *[
                await run(statements.CLAMP_WAITING, batch=batch, state=state, step=step)
                for state, step in steps.items()
            ],
        ]
        return [result.changed for result in clamped]

    async def probe(self) -> None:
        """Write something, which a full or read-only disk refuses."""
        await self._run(statements.PROBE, digest=_PROBED)

    async def under_way(self) -> dict[str, int]:
        """Count the sign-ups that wait, by state, and those at work, by lease."""
        return dict((await self._run(statements.UNDER_WAY)).rows)

    def connections(self) -> dict[str, int]:
        """Count the connections to a shared database, and the calls that wait for one.

        The names are ``in_use``, ``idle`` and ``waiting``.
        """
        return self._database.connections()

    async def unopened(self, heads: Collection[bytes], most: int) -> list[uuid.UUID]:
        """List at most so many sign-ups under way that no key opens.

        ``heads`` are how the seals of each key begin, all of one length.
        """
        known = sorted(heads)
        result = await self._run(
            statements.sealed_otherwise(len(known)),
            length=len(known[0]),
            most=most,
            **{f"head_{n}": head for n, head in enumerate(known)},
        )
        return [row[0] for row in result.rows]

    async def _change_one(
        self, statement: str, record: Record, values: dict[str, Any]
    ) -> None:
        result = await self._run(
            statement,
            is_signup_id=record.signup_id,
            is_epoch=record.epoch,
            is_approved_until=record.approved_until,
            is_proof_time=record.proof_time,
            **values,
        )
        if result.changed != 1:
            raise SignupBusy("the row has moved")

    async def _find(self, statement: str, **key: Any) -> Snapshot | None:
        rows = (await self._run(statement, **key)).rows
        return self._snapshot(rows[0]) if rows else None

    def _snapshot(self, row: Row) -> Snapshot:
        signup_id, state, lease, *rest, now = row
        if self._database.shared:  # its clock is not this machine's
            self._database.synchronize(now)
        return Snapshot(Record(signup_id, State(state), Lease(lease), *rest), now)


@contextlib.asynccontextmanager
async def browsing(url: str) -> AsyncIterator[Ledger]:
    """Open the ledger LEDGER_URL for reading only; servers may be using it.

    LedgerUnavailable says that the file does not exist, or what ``demand_usable`` says.
    """
    file = sqlite_file(url)
    if file is not None and not file.exists():
        raise LedgerUnavailable(f"there is no ledger {file}")
    database = make_database(url, steady_clock(), read_only=True)
    await database.open()
    try:
        await demand_usable(database, writes=False)
        ledger = Ledger(database)
        await ledger.read_clock()
        yield ledger
    finally:
        await database.close()
