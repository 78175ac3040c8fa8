"""How alembic reaches the ledger: over the connection that ``migrate`` gives it."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
