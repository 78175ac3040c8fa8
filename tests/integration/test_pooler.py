"""The ledger behind a pooler (PgBouncer's way) that drops a session's options."""

import uuid
from collections.abc import Iterator
from urllib.parse import quote

import psycopg
import pytest
from signupd.errors import LedgerUnavailable
from signupd.ledger.database import make_database, steady_clock
from signupd.ledger.migrate import demand_usable, migrate

from devstack.postgres import Postgres
from tests.doubles.pooler import Pooler

# A trigger that notes the limits of each statement that makes or changes a table.
NOTE_LIMITS = """
    CREATE TABLE noted (statements text, tables text);
    CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO noted SELECT
            current_setting('statement_timeout'), current_setting('lock_timeout');
    END $$;
    CREATE EVENT TRIGGER note ON ddl_command_end EXECUTE FUNCTION note();
"""


@pytest.fixture
def pooler(postgres: Postgres) -> Iterator[Pooler]:
    """Give a pooler in front of PostgreSQL."""
    with Pooler(postgres.port) as pooler:
        yield pooler


@pytest.fixture
def name(postgres: Postgres) -> str:
    """Name an empty database."""
    name = f"pooled_{uuid.uuid4().hex}"
    postgres.create_database(name)
    return name


@pytest.fixture
def url(pooler: Pooler, name: str) -> str:
    """Give its URL, by way of the pooler."""
    return f"postgresql://signupd@127.0.0.1:{pooler.port}/{name}"


@pytest.fixture
def other(postgres: Postgres, name: str) -> Iterator[psycopg.Connection]:
    """Give a connection to it past the pooler."""
    with psycopg.connect(f"{postgres.url}/{name}", autocommit=True) as connection:
        yield connection


async def use(url: str) -> None:
    """Open a ledger as a server does."""
    database = make_database(url, steady_clock())
    try:
        await database.open()
        await demand_usable(database)
    finally:
        await database.close()


async def test_limit_of_the_database(
    url: str, other: psycopg.Connection, name: str
) -> None:
    """A ledger needs a limit of statements, which may be the database's own."""
    await migrate(url)
    with pytest.raises(LedgerUnavailable, match="no time limit"):
        await use(url)
    other.execute(f'ALTER DATABASE "{name}" SET statement_timeout = "5s"')
    await use(url)


async def test_limits_of_a_migration(
    url: str, other: psycopg.Connection, name: str
) -> None:
    """A migration's statements have ten minutes; it waits five seconds for a table."""
    other.execute(f'ALTER DATABASE "{name}" SET statement_timeout = "5s"')
    other.execute(NOTE_LIMITS)
    await migrate(url)
    noted = other.execute("SELECT DISTINCT statements, tables FROM noted").fetchall()

    assert [("10min", "5s")] == noted


@pytest.mark.parametrize("read_only", [True, False])
async def test_options_of_the_url(
    postgres: Postgres, name: str, *, read_only: bool
) -> None:
    """Options in LEDGER_URL apply, except that a read-only ledger stays read-only."""
    options = quote(" -c statement_timeout=7s -c default_transaction_read_only=off")
    database = make_database(
        f"{postgres.url}/{name}?options={options}", steady_clock(), read_only=read_only
    )
    await database.open()
    shown = [
        (await database.run(f"SHOW {setting}")).rows[0]
        for setting in (
            "statement_timeout",
            "timezone",
            "default_transaction_read_only",
        )
    ]
    await database.close()

    assert [("7s",), ("UTC",), ("on" if read_only else "off",)] == shown
