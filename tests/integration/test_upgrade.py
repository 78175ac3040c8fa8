"""Upgrades of the ledger's schema, and the way back, by one release."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import signupd.ledger
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from signupd.errors import LedgerUnavailable
from signupd.ledger.database import Database
from signupd.ledger.migrate import REVISION, demand_usable, migrate

from tests.integration.caller import state_of
from tests.integration.world import PASSWORD, World, to_code, to_password

ADDRESS = "ann@example.com"
CONFIG = Config()
CONFIG.set_main_option(
    "script_location", str(Path(signupd.ledger.__file__).parent / "migrations")
)
REVISIONS = [
    one.revision for one in ScriptDirectory.from_config(CONFIG).walk_revisions()
][::-1]
# What the next release's migration may do.
EXPANSION = (
    "ALTER TABLE signups ADD COLUMN note VARCHAR(20)",
    "ALTER TABLE signups ADD COLUMN score INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE send_buckets ADD COLUMN note VARCHAR(20)",
    "CREATE TABLE notes (id INTEGER PRIMARY KEY)",
    "CREATE INDEX ix_signups_score ON signups (score)",
)
NUMBER = REVISION.partition(".")[0]
NEXT = f"{int(NUMBER) + 1:04}.{NUMBER}"


async def note(database: Database, revision: str) -> None:
    """Note a revision in the ledger, as alembic does."""
    await database.run(f"UPDATE alembic_version SET version_num = '{revision}'")  # noqa: S608 - a test's own


def schemas(url: str) -> list[tuple[dict[Any, str], set[Any]]]:
    """Make each revision in turn; return its columns, and what it demands of rows."""
    engine = sa.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    found = []
    for revision in REVISIONS:
        with engine.begin() as connection:
            CONFIG.attributes["connection"] = connection
            command.upgrade(CONFIG, revision)
            looked = sa.inspect(connection)
            columns, demands = {}, set[Any]()
            for table in looked.get_table_names():
                for one in looked.get_columns(table):
                    columns[table, one["name"]] = str(one["type"])
                    if not one["nullable"] and one["default"] is None:
                        demands.add((table, one["name"]))
                for key in looked.get_unique_constraints(table):
                    demands.add((table, *key["column_names"]))
                demands |= {
                    (table, *key["column_names"])
                    for key in looked.get_indexes(table)
                    if key["unique"]
                }
        found.append((columns, demands))
    engine.dispose()
    return found


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection")
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection")
def test_migrations_keep_their_word(url: str) -> None:
    """A migration that names no newer version than the one before only adds.

    What it demands of a table that was there is what the one before did. No migration
    shuts out the programs of the one before.
    """
    lowest = [(one.partition(".")[2] or one) for one in REVISIONS]

    assert REVISION == REVISIONS[-1]
    assert [f"{n:04}" for n in range(1, len(REVISIONS) + 1)] == [
        one.partition(".")[0] for one in REVISIONS
    ]
    assert sorted(lowest) == lowest
    for (before, after), (low, high), number in zip(
        pairwise(schemas(url)), pairwise(lowest), REVISIONS[1:], strict=True
    ):
        assert high < number
        if low == high:
            tables = {table for table, _ in before[0]}
            assert before[0].items() <= after[0].items()
            assert before[1] == {one for one in after[1] if one[0] in tables}


@pytest.mark.parametrize(
    ("revision", "said"),
    [
        ("0000", "run `signupd migrate`"),
        ("0999", "Upgrades and going back in docs/operations.md"),
        ("0999.0998", "needs a signupd of revision 0998 or newer"),
    ],
)
async def test_refused(database: Database, url: str, revision: str, said: str) -> None:
    """An older ledger has to be migrated first; one that leaves us out is refused."""
    await note(database, revision)
    with pytest.raises(LedgerUnavailable, match=said):
        await demand_usable(database)
    if revision > REVISION:
        with pytest.raises(LedgerUnavailable, match=said):
            await migrate(url)


async def test_next_releases_ledger(
    world: World, database: Database, url: str, on: dict[str, Any]
) -> None:
    """On the ledger of the next release servers go on, start, and finish sign-ups."""
    running = await world.serve(**on)
    token, code = await to_code(world, running.caller, ADDRESS)
    for statement in EXPANSION:
        await database.run(statement)
    await note(database, NEXT)
    went_on = await running.caller.verify(token, code)
    restarted = await world.serve(**on)
    done = await restarted.caller.set_password(went_on.continuation_token, PASSWORD)
    other = await to_password(world, running.caller, "bob@example.com")

    assert "COMPLETED" == state_of(done)
    assert "COMPLETED" == state_of(await running.caller.set_password(other, PASSWORD))
    assert (NEXT, NEXT) == await migrate(url)


async def test_last_releases_ledger(
    world: World, database: Database, url: str, on: dict[str, Any]
) -> None:
    """Sign-ups under way outlive a migration, which SQLite's server makes at start."""
    replica = await world.serve(**on)
    token, code = await to_code(world, replica.caller, ADDRESS)
    await replica.service.stop()
    await database.run("DROP TABLE digest_key")
    await note(database, REVISIONS[-2])
    if database.shared:
        with pytest.raises(LedgerUnavailable, match="run `signupd migrate`"):
            await world.serve(**on)
        assert (REVISIONS[-2], REVISION) == await migrate(url)
    upgraded = await world.serve(**on)

    proved = await upgraded.caller.verify(token, code)
    assert "PASSWORD_REQUIRED" == state_of(proved)
    assert (REVISION, REVISION) == await migrate(url)
