"""Looking at sign-ups in the ledger, as operators may: nothing is changed."""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from signupd.errors import LedgerUnavailable
from signupd.ledger.database import Database, steady_clock
from signupd.ledger.engine import open_engine, sqlite_file
from signupd.ledger.record import Event, Lease, State
from signupd.ledger.schema import demand_usable
from signupd.ledger.tables import events, signups

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator

# Each page reads the table once, for no index is kept for operators' sake; a page of
# entries takes about 1 MB.
PAGE_ROWS: Final = 1000
_OPEN: Final = [state for state in State if not state.final]


@dataclass(frozen=True, slots=True)
class Entry:
    """What may be looked at of a row; nothing that opens to more than a masked address.

    The fields are ``Record``'s, but that ``state`` is EXPIRED from the deadline on, as
    callers are told, be it written down yet or not.
    """

    signup_id: uuid.UUID
    state: State
    lease: Lease
    lease_until: int
    approved_until: int
    sealed_mask: bytes
    identity_id: uuid.UUID | None
    code_attempts: int
    code_repeats: int
    password_attempts: int
    sends: int
    create_time: int
    send_time: int
    expire_time: int
    state_time: int
    caller: str


@dataclass(frozen=True, slots=True)
class Happening:
    """An event of a sign-up, and when it was, in microseconds."""

    kind: Event
    time: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sign-ups to look at.

    Args:
        states: Any of these; all where there is none.
        address_digest: Of the address they are for; all where there is none.
    """

    states: tuple[State, ...] = ()
    address_digest: bytes | None = None


class Browser:
    """Reads sign-ups for people to look at.

    Every method raises ``LedgerUnavailable`` when the database does not answer.

    Args:
        database: Of the ledger.
        page_rows: How many rows are read, and held, at a time.
    """

    def __init__(self, database: Database, page_rows: int = PAGE_ROWS) -> None:
        self._database = database
        self._page_rows = page_rows

    def now(self) -> int:
        """Tell the time that deadlines go by, in microseconds."""
        return self._database.now()

    async def pages(self, wanted: Wanted, limit: int) -> AsyncIterator[list[Entry]]:
        """Read sign-ups a page at a time, the newest first.

        Args:
            wanted: Which of them.
            limit: How many in all.
        """
        query = self._query(wanted)
        page: list[Entry] = []
        while limit > 0:
            size = min(limit, self._page_rows)
            page = await self._read(_after(query, page).limit(size))
            if page:
                yield page
            if len(page) < size:
                return
            limit -= size

    async def find(self, signup_id: uuid.UUID) -> Entry | None:
        """Read one sign-up."""
        query = self._query(Wanted()).where(signups.c.signup_id == signup_id)
        found = await self._read(query)
        return found[0] if found else None

    async def happenings(self, signup_id: uuid.UUID) -> list[Happening]:
        """Read a sign-up's events, the oldest first; one has a handful at the most."""
        query = (
            sa.select(events.c.kind, events.c.event_time)
            .where(events.c.signup_id == signup_id)
            .order_by(events.c.event_id)
        )
        return [Happening(*row) for row in (await self._database.run(query)).rows]

    def _query(self, wanted: Wanted) -> sa.Select[Any]:
        state = _state_shown(self._database.now())
        columns = [
            state.label("state") if field.name == "state" else signups.c[field.name]
            for field in dataclasses.fields(Entry)
        ]
        query = sa.select(*columns)
        if wanted.states:
            query = query.where(state.in_(wanted.states))
        if wanted.address_digest is not None:
            query = query.where(signups.c.address_digest == wanted.address_digest)
        return query

    async def _read(self, query: sa.Select[Any]) -> list[Entry]:
        return [Entry(*row) for row in (await self._database.run(query)).rows]


@contextlib.asynccontextmanager
async def browsing(url: str) -> AsyncIterator[Browser]:
    """Open a ledger to be looked at and nothing else; servers may be at work on it.

    Args:
        url: The ledger's database, as in the LEDGER_URL setting.

    Raises:
        LedgerUnavailable: There is none, and as ``demand_usable``.
    """
    file = sqlite_file(url)
    if file is not None and not file.exists():
        raise LedgerUnavailable(f"there is no ledger {file}")
    await demand_usable(url)
    database = Database(open_engine(url, read_only=True), steady_clock())
    try:
        await database.set_clock()
        yield Browser(database)
    finally:
        await database.close()


def _state_shown(now: int) -> sa.ColumnElement[State]:
    """Say in SQL what ``transitions.state_shown`` says of a row."""
    late = sa.and_(
        signups.c.state.in_(_OPEN),
        signups.c.lease == Lease.NONE,
        signups.c.expire_time <= now,
    )
    expired = sa.literal(State.EXPIRED, signups.c.state.type)
    return sa.case((late, expired), else_=signups.c.state)


def _after(query: sa.Select[Any], page: list[Entry]) -> sa.Select[Any]:
    """Go on, newest first, behind the last entry of a page."""
    key = sa.tuple_(signups.c.create_time, signups.c.signup_id)
    if page:
        last = page[-1]
        query = query.where(key < sa.tuple_(*_literal(last)))
    return query.order_by(signups.c.create_time.desc(), signups.c.signup_id.desc())


def _literal(entry: Entry) -> tuple[sa.ColumnElement[Any], ...]:
    return (
        sa.literal(entry.create_time, signups.c.create_time.type),
        sa.literal(entry.signup_id, signups.c.signup_id.type),
    )
