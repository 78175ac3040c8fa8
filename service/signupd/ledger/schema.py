"""The ledger's schema: alembic's migrations, run from inside the program."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from signupd.errors import LedgerUnavailable
from signupd.ledger.engine import WAIT_SECONDS, open_engine

if TYPE_CHECKING:
    from sqlalchemy import Connection

# A migration's statement may go through the whole of a large ledger, or wait for
# another migration that does.
MIGRATE_SECONDS: Final = 600
# Two migrations at once wait for each other in PostgreSQL by this number ("signupd").
_LOCK: Final = 0x7369676E757064


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def newest_revision() -> str | None:
    """Name the revision that this version of the program works with."""
    return ScriptDirectory.from_config(_config()).get_current_head()


async def demand_usable(url: str) -> None:
    """Demand a ledger that this version works with.

    Raises:
        LedgerUnavailable: It cannot be opened, its schema is another's, or its
            statements have no time limit.
    """
    await asyncio.to_thread(_demand_usable, url)


def _demand_usable(url: str) -> None:
    engine = open_engine(url, read_only=True)
    try:
        with engine.connect() as connection:
            found = _revision(connection)
            limited = _has_time_limit(connection)
    except (sa.exc.DBAPIError, OSError) as error:
        raise _unopened(error) from error
    finally:
        engine.dispose()
    if found != newest_revision():
        raise LedgerUnavailable("the ledger's schema is not ours: signupd migrate")
    if not limited:
        raise LedgerUnavailable(
            "the ledger's statements have no time limit (statement_timeout is 0): "
            "LEDGER_URL says so, or a pooler in between drops the one asked for; "
            "see Behind PgBouncer in docs/operations.md"
        )


def _has_time_limit(connection: Connection) -> bool:
    if connection.dialect.name != "postgresql":
        return True  # nobody is between SQLite and its settings
    limit: str = connection.exec_driver_sql("SHOW statement_timeout").scalar_one()
    return limit != "0"


async def migrate(
    url: str, table_seconds: float = WAIT_SECONDS
) -> tuple[str | None, str | None]:
    """Bring the ledger's schema up to date; do nothing where it is.

    Args:
        url: The ledger's database, as in the LEDGER_URL setting.
        table_seconds: How long it waits for a table that others use, with PostgreSQL.

    Returns:
        The revisions before (None for an empty database) and after.

    Raises:
        LedgerUnavailable: The database does not answer.
    """
    before = await asyncio.to_thread(_upgrade, url, table_seconds)
    return before, newest_revision()


def _upgrade(url: str, table_seconds: float) -> str | None:
    engine = open_engine(url, transactions=True)
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(
                    f"SET LOCAL statement_timeout = '{MIGRATE_SECONDS}s'"
                )
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
                # Who waits for a table is waited for by all that come after him.
                connection.exec_driver_sql(
                    f"SET LOCAL lock_timeout = '{table_seconds}s'"
                )
            before = _revision(connection)
            command.upgrade(_config(connection), "head")
            return before
    except (sa.exc.DBAPIError, OSError) as error:
        raise _unopened(error) from error
    finally:
        engine.dispose()


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _unopened(error: Exception) -> LedgerUnavailable:
    """Say in one line what the database's driver said."""
    said = str(getattr(error, "orig", error)).split()
    return LedgerUnavailable(f"the ledger cannot be opened: {' '.join(said)}")
