"""The ledger's schema: alembic's migrations, run from inside the program."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

from signupd.errors import LedgerUnavailable
from signupd.ledger import statements
from signupd.ledger.database import WAIT_SECONDS, Database, sqlite_file, unopened

if TYPE_CHECKING:
    import sqlalchemy as sa

# The newest revision in migrations/versions: its number, and the lowest one whose
# programs work with it. So an older program can tell whether it may use the ledger.
REVISION: Final = "0002.0001"
_NUMBER: Final = REVISION.partition(".")[0]
# A migration's statement may go through the whole of a large ledger, or wait for
# another migration that does.
MIGRATE_SECONDS: Final = 600
# Says how to give PostgreSQL's account the rights on the tables that it lacks.
_GRANTS: Final = """
    SELECT 'GRANT ' || right_ || ' ON ' || string_agg(name, ', ') || ' TO '
        || quote_ident(current_user)
    FROM (VALUES
        ('SELECT', 'alembic_version digest_key send_buckets signups'),
        ('INSERT', 'digest_key send_buckets signups'),
        ('UPDATE', 'send_buckets signups'),
        ('DELETE', 'send_buckets signups')
    ) needed (right_, names), unnest(string_to_array(names, ' ')) name
    WHERE NOT has_table_privilege(to_regclass(name), right_) GROUP BY right_
"""
_NO_RIGHT: Final = "42501"  # PostgreSQL's insufficient_privilege
# Two migrations at once wait for each other in PostgreSQL by this number ("signupd").
_LOCK: Final = 0x7369676E757064


async def demand_usable(database: Database, *, writes: bool = True) -> None:
    """Demand a ledger that this version works with.

    Without ``writes`` the account needs the right to read only.

    Raises:
        LedgerUnavailable: It cannot be opened, the account lacks a right, its schema is
            older than this version's or too new, or its statements have no time limit.
    """
    if database.shared and (grants := (await database.run(_GRANTS)).rows):
        said = [grant for (grant,) in grants if writes or " SELECT " in grant]
        if said:
            raise LedgerUnavailable(
                "LEDGER_URL's account lacks rights; as the owner of the tables: "
                + "; ".join(said)
            )
    if not await is_up_to_date(database):
        raise LedgerUnavailable(
            "the ledger has no schema or an older one, and this version of signupd "
            f"needs revision {REVISION}: run `signupd migrate`"
        )
    if (await database.run(statements.TIME_LIMIT)).rows == [("0",)]:
        raise LedgerUnavailable(
            "the ledger's statements have no time limit (statement_timeout is 0): "
            "LEDGER_URL says so, or a pooler in between drops the one asked for; "
            "see Behind PgBouncer in docs/operations.md"
        )


async def is_up_to_date(database: Database) -> bool:
    """Return whether this version works with the schema; not with an empty database.

    A newer one that only later versions work with raises ``LedgerUnavailable``.
    """
    tables = (await database.run(statements.HAS_VERSIONS)).rows
    rows = (await database.run(statements.VERSION)).rows if tables == [(1,)] else []
    return _fits(str(rows[0][0]) if rows else "")


async def migrate(
    url: str, table_seconds: float = WAIT_SECONDS
) -> tuple[str | None, str | None]:
    """Bring the schema of the ledger LEDGER_URL up to date; do nothing if it is.

    With PostgreSQL it waits ``table_seconds`` for a table that others use. Returns the
    revisions before (None for an empty database) and after.

    A newer schema stays; if this version does not work with it, ``LedgerUnavailable``.
    """
    return await asyncio.to_thread(_upgrade, url, table_seconds)


def _fits(found: str) -> bool:
    number, _, lowest = found.partition(".")
    if (lowest or number) > _NUMBER:
        raise LedgerUnavailable(
            f"the ledger's schema, revision {found}, needs a signupd of revision "
            f"{lowest or number} or newer, and this one is of {_NUMBER}: run a newer "
            "version, or restore a backup; see Upgrades and going back in "
            "docs/operations.md"
        )
    return number >= _NUMBER


def _upgrade(url: str, table_seconds: float) -> tuple[str | None, str | None]:
    # SQLAlchemy and alembic take a third of a second to import, and a server whose
    # ledger is up to date does without them.
    import sqlalchemy as sa  # noqa: PLC0415
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.runtime.migration import MigrationContext  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    engine = _engine(url)
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                _limit(connection, table_seconds)
            before = MigrationContext.configure(connection).get_current_revision()
            if _fits(before or ""):
                return before, before
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            return before, REVISION
    except (sa.exc.DBAPIError, OSError) as error:
        if getattr(getattr(error, "orig", None), "sqlstate", "") == _NO_RIGHT:
            raise LedgerUnavailable(
                f"{_where(url)} may not change the ledger's tables: run `signupd "
                "migrate` with the LEDGER_URL of the account that owns the database"
            ) from error
        raise unopened(error, _where(url)) from error
    finally:
        engine.dispose()


def _where(url: str) -> str:
    """Name the file of a SQLite URL, or the account of a PostgreSQL one."""
    if (file := sqlite_file(url)) is not None:
        return f"file {file}"
    from signupd.ledger import postgres  # noqa: PLC0415

    return f"account {postgres.account(url)}"


def _limit(connection: sa.Connection, table_seconds: float) -> None:
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{MIGRATE_SECONDS}s'")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    # Statements that come later wait behind one that waits for a table.
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{table_seconds}s'")


def _engine(url: str) -> sa.Engine:
    """Make an engine that connects as the ledger does, with transactions."""
    import sqlalchemy as sa  # noqa: PLC0415

    file = sqlite_file(url)
    if file is None:
        from signupd.ledger import postgres  # noqa: PLC0415

        return sa.create_engine(
            "postgresql+psycopg://",
            creator=lambda: postgres.connect(url),
            poolclass=sa.NullPool,
        )
    from signupd.ledger import sqlite  # noqa: PLC0415

    engine = sa.create_engine(
        "sqlite://", creator=lambda: sqlite.connect(file), poolclass=sa.NullPool
    )

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
