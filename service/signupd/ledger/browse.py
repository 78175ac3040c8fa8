"""Sign-ups as operators may see them. Nothing here changes the ledger."""

import contextlib
import dataclasses
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

from signupd.errors import LedgerUnavailable
from signupd.ledger import statements
from signupd.ledger.database import (
    Database,
    Row,
    make_database,
    sqlite_file,
    steady_clock,
)
from signupd.ledger.record import Lease, State
from signupd.ledger.schema import demand_usable

# Each page reads the whole table, because no index serves operators alone. A page of
# entries takes about 1 MB.
PAGE_ROWS: Final = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """The columns of a row that operators may see; the address is only there masked.

    The fields are those of ``Record``, except that ``state`` is the one that callers
    see: EXPIRED from the deadline on.
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


# The newest possible row.
_AFTER_ALL: Final = (2**63 - 1, uuid.UUID(int=2**128 - 1))
_COLUMNS: Final = tuple(field.name for field in dataclasses.fields(Entry))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which sign-ups to look at.

    Args:
        states: Any of these; all if empty.
        address_digest: Of the address they are for; all if None.
    """

    states: tuple[State, ...] = ()
    address_digest: bytes | None = None


class Browser:
    """Reads sign-ups for operators.

    Every method raises ``LedgerUnavailable`` if the database does not answer.

    Args:
        database: Of the ledger.
        page_rows: How many rows are read, and held, at a time.

    Attributes:
        now: Returns the time that deadlines go by, in microseconds.
    """

    def __init__(self, database: Database, page_rows: int = PAGE_ROWS) -> None:
        self._database = database
        self.now = database.now
        self._page_rows = page_rows

    async def pages(self, wanted: Wanted, limit: int) -> AsyncIterator[list[Entry]]:
        """Read sign-ups a page at a time, the newest first.

        Args:
            wanted: Which of them.
            limit: How many in all.
        """
        states = wanted.states or tuple(State)
        query = statements.browse(_COLUMNS, len(states))
        values: dict[str, Any] = {
            "moment": self.now(),
            "address_digest": wanted.address_digest,
            "any_address": int(wanted.address_digest is None),
            **{f"state_{n}": state for n, state in enumerate(states)},
        }
        before = _AFTER_ALL
        while limit > 0:
            size = min(limit, self._page_rows)
            rows = await self._database.fetch_all(
                query, **values, before_time=before[0], before_id=before[1], most=size
            )
            page = [_entry(row) for row in rows]
            if page:
                yield page
                before = page[-1].create_time, page[-1].signup_id
            if len(page) < size:
                return
            limit -= size

    async def find(self, signup_id: uuid.UUID) -> Entry | None:
        """Read one sign-up."""
        row = await self._database.fetch_one(
            statements.show(_COLUMNS), signup_id=signup_id, moment=self.now()
        )
        return None if row is None else _entry(row)


@contextlib.asynccontextmanager
async def browsing(url: str) -> AsyncIterator[Browser]:
    """Open a ledger for reading only; servers may be using it.

    Args:
        url: The ledger's database, as in the LEDGER_URL setting.

    Raises:
        LedgerUnavailable: The file does not exist, or as for ``demand_usable``.
    """
    file = sqlite_file(url)
    if file is not None and not file.exists():
        raise LedgerUnavailable(f"there is no ledger {file}")
    database = make_database(url, steady_clock(), read_only=True)
    await database.open()
    try:
        await demand_usable(database)
        await database.read_clock()
        yield Browser(database)
    finally:
        await database.close()


def _entry(row: Row) -> Entry:
    signup_id, state, lease, *rest = row
    return Entry(signup_id, State(state), Lease(lease), *rest)
