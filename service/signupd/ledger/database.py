"""The ledger's database: one small interface to SQLite and PostgreSQL."""

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

from signupd.errors import LedgerUnavailable

Row = tuple[Any, ...]
Values = dict[str, Any]
T = TypeVar("T")
# A transaction: yields statements with their parameters and is sent their rows.
Steps = Generator[tuple[str, Values], list[Row], T]

# A statement waits this long for a connection, a lock or another writer, and may run
# this long.
WAIT_SECONDS: Final = 5
# The limit for a whole call to the database, whatever holds it up.
CALL_SECONDS: Final = 2 * WAIT_SECONDS

# A host with its port. libpq repeats an invalid port in its error, and what stands in
# that place may be a password.
_HOST: Final = re.compile(r"(\[[^]]*\]|[^][:@#]*)(:\d+)?")
_UNREADABLE: Final = (
    "is not a database URL, or has parameters that PostgreSQL does not know (in the "
    "user and the password, write %, @, #, / and ? as %25, %40, %23, %2F and %3F)"
)


class DuplicateKey(Exception):
    """A row with this key exists already; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Result:
    """The rows that a statement returned, and the number of rows that it changed."""

    rows: list[Row]
    changed: int


class Database(ABC):
    """A database; each statement commits by itself.

    Statements are text from ``statements``, their parameters given by name. All methods
    raise ``LedgerUnavailable`` if the database does not answer.

    All deadlines and leases use one clock. With PostgreSQL it is the server's, so that
    replicas whose clocks differ agree; SQLite has none but the machine's. Between reads
    the process' own clock runs on.

    Attributes:
        shared: Whether several servers may use it at once.
        now: Returns the ledger's time, in microseconds since the Unix epoch.
    """

    shared: ClassVar[bool]
    now: Callable[[], int]

    @abstractmethod
    async def open(self) -> None:
        """Connect, or make ready to."""

    @abstractmethod
    async def close(self) -> None:
        """Close all connections. A second call does nothing."""

    def connections(self) -> dict[str, int]:
        """Count those of a pool; SQLite has none."""
        return {}

    @abstractmethod
    async def run(self, statement: str, /, **values: Any) -> Result:
        """Run a statement; DuplicateKey if a row with this key exists already."""

    @abstractmethod
    async def transact(self, steps: Steps[T]) -> T:
        """Run the statements of a generator as one transaction; return its result.

        An exception rolls all of them back. SQLite runs them on its thread at one go,
        so the generator must neither wait nor touch anything of the event loop.
        """

    @abstractmethod
    def synchronize(self, now: int) -> None:
        """Continue from a time that the database has returned, if it has its own."""


def unavailable(error: Exception) -> LedgerUnavailable:
    """Translate a driver's error without its text, which may hold parameters."""
    return LedgerUnavailable(f"the ledger's database: {type(error).__name__}")


def unopened(error: Exception, where: str) -> LedgerUnavailable:
    """Say in one line, with the driver's words, why a database cannot be opened.

    ``where`` is the file, or the account. PostgreSQL's first line says it; the others
    have the statement.
    """
    cause = getattr(error, "orig", error)
    first = getattr(getattr(cause, "diag", None), "message_primary", None)
    parts = [line.strip() for line in str(first or cause).splitlines()]
    said = "; ".join(filter(None, parts))
    return LedgerUnavailable(
        f"the ledger cannot be opened (LEDGER_URL, {where}): {said}"
    )


def steady_clock() -> Callable[[], int]:
    """Return a clock of microseconds since the Unix epoch that is never set.

    It reads the machine's time once and continues with the monotonic clock: a step of
    the machine's clock must neither end a lease nor revive a dead one.
    """
    ahead = time.time_ns() - time.monotonic_ns()
    return lambda: (time.monotonic_ns() + ahead) // 1000


def sqlite_file(url: str) -> Path | None:
    """Return the file that a ledger URL names; None if it names a PostgreSQL database.

    ValueError says that it names no database that can hold a ledger.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise ValueError("is not a database URL")
    if scheme not in {"sqlite", "postgresql", "postgres"}:
        raise ValueError("is neither a sqlite: nor a postgresql: URL")
    host, _, name = rest.partition("?")[0].partition("/")
    if scheme == "sqlite" and host:
        raise ValueError("names a host: write sqlite:/// and the file's path")
    if name in ("", ":memory:"):
        raise ValueError("names no database")
    if scheme != "sqlite":
        if not all(map(_HOST.fullmatch, host.split("@", 1)[-1].split(","))):
            raise ValueError(_UNREADABLE)
        from signupd.ledger.postgres import is_readable  # noqa: PLC0415

        if not is_readable(url):
            raise ValueError(_UNREADABLE)
        return None
    return Path(name)


def make_database(
    url: str, clock: Callable[[], int], *, read_only: bool = False
) -> Database:
    """Make the database of a ledger URL; nothing is connected yet.

    With ``read_only`` the database itself refuses changes.
    """
    # Imported here, because a server needs only one of the two drivers.
    if (file := sqlite_file(url)) is not None:
        from signupd.ledger.sqlite import SqliteDatabase  # noqa: PLC0415

        return SqliteDatabase(file, clock, read_only=read_only)
    from signupd.ledger.postgres import PostgresDatabase  # noqa: PLC0415

    return PostgresDatabase(url, clock, read_only=read_only)
