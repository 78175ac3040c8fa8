"""How alembic reaches the ledger: over the connection that ``migrate`` hands it."""

from __future__ import annotations

from alembic import context

connection = context.config.attributes["connection"]
if connection is None:
    raise SystemExit("run 'signupd migrate': it knows the ledger's URL")
context.configure(connection=connection)
context.run_migrations()
