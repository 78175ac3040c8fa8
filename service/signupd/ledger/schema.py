"""The ledger's schema: alembic's migrations, run from inside the program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from signupd.ledger.engine import open_engine

if TYPE_CHECKING:
    from sqlalchemy import Connection


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def newest_revision() -> str | None:
    """Name the revision that this version of the program works with."""
    return ScriptDirectory.from_config(_config()).get_current_head()


async def migrate(url: str) -> tuple[str | None, str | None]:
    """Bring the ledger's schema up to date; do nothing where it is.

    Args:
        url: The ledger's database, as in the LEDGER_URL setting.

    Returns:
        The revisions before (None for an empty database) and after.
    """

    def upgrade(connection: Connection) -> str | None:
        before = MigrationContext.configure(connection).get_current_revision()
        command.upgrade(_config(connection), "head")
        return before

    engine = open_engine(url)
    try:
        async with engine.connect() as connection:
            before = await connection.run_sync(upgrade)
    finally:
        await engine.dispose()
    return before, newest_revision()
