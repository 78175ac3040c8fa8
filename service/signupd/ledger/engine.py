"""The way to the database: URL to engine, with the settings each database needs."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event

# A statement waits this long for another writer or a lock, or to be connected.
WAIT_SECONDS: Final = 5
# For reads that may have to wait. One more makes all changes, and another reads what is
# there at once (database.py).
_SQLITE_CONNECTIONS: Final = 4
_SQLITE_POOL: Final = _SQLITE_CONNECTIONS + 2
# Each statement is short; this many replicas times this fits PostgreSQL's default 100.
_POSTGRESQL_CONNECTIONS: Final = 10
CONNECTIONS: Final = {
    "sqlite": _SQLITE_CONNECTIONS,
    "postgresql": _POSTGRESQL_CONNECTIONS,
}
_DRIVERS: Final = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}
_PRAGMAS: Final = (
    f"busy_timeout = {WAIT_SECONDS * 1000}",
    "synchronous = FULL",  # an acknowledged commit survives a power cut
)
# Readers do not wait for the writer. A new file is switched over once and for all.
_JOURNAL: Final = "journal_mode = WAL"
_RETRY_SECONDS: Final = 0.01
# Extended result codes have the primary one in their last byte.
_PRIMARY: Final = 0xFF
# A PostgreSQL that has vanished is noticed: libpq's own bounds, where the server's
# statement_timeout cannot be heard of.
_VANISHED: Final = {
    "keepalives_idle": WAIT_SECONDS,
    "keepalives_interval": 1,
    "keepalives_count": WAIT_SECONDS,
    "tcp_user_timeout": WAIT_SECONDS * 1000,
}
_SESSION: Final = {"statement_timeout": f"{WAIT_SECONDS}s", "timezone": "UTC"}
# Every statement wants a few rows by an index that is there for it. Statistics that are
# behind would have PostgreSQL read a whole table, or all that is due to pick a batch,
# and compile, or start other processes for, what seems to take long.
_PLANNING: Final = {
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
}


def sqlite_file(url: str) -> Path | None:
    """Tell which file a ledger URL names.

    Args:
        url: A SQLAlchemy URL, such as ``sqlite:///signupd.db``.

    Returns:
        The path, relative to the working directory unless the URL has four slashes.
        None where the URL names no SQLite file.

    Raises:
        ValueError: It is no URL of a database that can hold a ledger.
    """
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise ValueError("is not a database URL") from error
    if parsed.drivername not in _DRIVERS:
        raise ValueError("is neither a sqlite: nor a postgresql: URL")
    if parsed.database in (None, "", ":memory:"):
        raise ValueError("names no database")
    return Path(str(parsed.database)) if parsed.drivername == "sqlite" else None


def open_engine(
    url: str, *, transactions: bool = False, read_only: bool = False
) -> sa.Engine:
    """Make the engine for a ledger URL; nothing is connected yet.

    Args:
        url: As ``sqlite_file`` takes it.
        transactions: For migrations, which set limits of their own. Otherwise every
            statement commits by itself, and is over in WAIT_SECONDS: each of the
            ledger's changes is one compare-and-set, and nothing may stay open across a
            call to Kratos.
        read_only: To look at a ledger that others work on. The database itself then
            refuses changes, and makes no file.
    """
    parsed = sa.make_url(url)
    options: dict[str, Any] = {
        "pool_timeout": WAIT_SECONDS,
        "max_overflow": 0,
        "pool_use_lifo": True,  # the one used last is still in the caches
        "hide_parameters": True,
    }
    if not transactions:
        options["isolation_level"] = "AUTOCOMMIT"
        options["pool_reset_on_return"] = None  # there is nothing to roll back
    parsed = parsed.set(drivername=_DRIVERS[parsed.drivername])
    if parsed.get_backend_name() == "postgresql":
        return _postgresql(parsed, options, read_only=read_only)
    if read_only:
        file = _read_only_file(parsed)
        return sa.create_engine(file, pool_size=_SQLITE_POOL, **options)
    engine = sa.create_engine(parsed, pool_size=_SQLITE_POOL, **options)
    event.listen(engine, "connect", _prepare)
    if transactions:
        # sqlite3 would begin a transaction only before the first change of data.
        event.listen(engine, "begin", _begin)
    return engine


def let_go(connection: Any) -> None:
    """Close a connection that is not to be used again, whatever state it is in.

    Args:
        connection: The engine's, or the pool's; None where there is none.
    """
    # What becomes of one that is broken is nobody's trouble.
    with contextlib.suppress(Exception):
        connection.invalidate()
        connection.close()


def _postgresql(url: sa.URL, options: dict[str, Any], *, read_only: bool) -> sa.Engine:
    ours = _SESSION if read_only else {**_SESSION, **_PLANNING}
    session = [f"-c {name}={value}" for name, value in ours.items()]
    # The last one wins.
    session += [given.strip() for given in url.normalized_query.get("options", ())]
    if read_only:
        session.append("-c default_transaction_read_only=on")
    return sa.create_engine(
        url,
        pool_size=_POSTGRESQL_CONNECTIONS,
        connect_args={
            "connect_timeout": WAIT_SECONDS,
            "options": " ".join(session),
            # The URL's own win.
            **{
                name: bound
                for name, bound in _VANISHED.items()
                if name not in url.query
            },
        },
        **options,
    )


def _read_only_file(url: sa.URL) -> sa.URL:
    """Name a SQLite file as https://sqlite.org/uri.html has it, to be read only."""
    file = f"file:{quote(str(url.database))}"
    return url.set(database=file).update_query_dict({"mode": "ro", "uri": "true"})


def _prepare(connection: Any, _record: object) -> None:
    """Set a new SQLite connection up."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    _set_journal(cursor)
    cursor.close()


def _set_journal(cursor: Any) -> None:
    """Switch the journal; two that do so at once on a new file do not wait by SQLite.

    Its busy handler is left out where both would have to wait for each other
    (https://sqlite.org/c3ref/busy_handler.html).
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            cursor.execute(f"PRAGMA {_JOURNAL}")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & _PRIMARY == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            return


def _begin(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
