"""The way to the database: URL to engine, with the settings each database needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

# A writer waits this long for another one before it gives up (SQLite's busy timeout).
BUSY_TIMEOUT_SECONDS: Final = 5
# SQLite has one writer at a time; more connections than this only queue up there.
_SQLITE_CONNECTIONS: Final = 4
_PRAGMAS: Final = (
    "journal_mode = WAL",  # readers do not wait for the writer
    "synchronous = FULL",  # an acknowledged commit survives a power cut
    f"busy_timeout = {BUSY_TIMEOUT_SECONDS * 1000}",
)


def sqlite_file(url: str) -> Path | None:
    """Tell which file a ledger URL names.

    Args:
        url: A SQLAlchemy URL, such as ``sqlite:///signupd.db``.

    Returns:
        The path, relative to the working directory unless the URL has four slashes.
        None where the URL names no SQLite file (another database, or memory alone).

    Raises:
        ValueError: It is no URL.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise ValueError("not a database URL") from error
    if parsed.drivername != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    return Path(str(parsed.database))


def open_engine(url: str) -> AsyncEngine:
    """Make the engine for a ledger URL; nothing is connected yet.

    Every statement commits by itself. The ledger needs no more: each of its changes is
    one compare-and-set, and nothing may stay open across a call to Kratos.
    """
    engine = create_async_engine(
        sa.make_url(url).set(drivername="sqlite+aiosqlite"),
        isolation_level="AUTOCOMMIT",
        pool_size=_SQLITE_CONNECTIONS,
        max_overflow=0,
        pool_timeout=BUSY_TIMEOUT_SECONDS,
        hide_parameters=True,
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    return engine


def _prepare(connection: Any, _record: object) -> None:
    """Set a new SQLite connection up."""
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
