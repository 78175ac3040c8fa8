"""How alembic reaches the ledger: over the connection that ``migrate`` hands it."""

from __future__ import annotations

from alembic import context
from signupd.ledger.tables import metadata

connection = context.config.attributes["connection"]
if connection is None:
    raise SystemExit("run 'signupd migrate': it knows the ledger's URL")
context.configure(connection=connection, target_metadata=metadata)
context.run_migrations()
