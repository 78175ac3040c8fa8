"""The ledger: what is known of each sign-up, kept in SQLite or PostgreSQL."""
