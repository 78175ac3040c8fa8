"""Running statements on a connection, in whichever thread."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from signupd.ledger.prepared import Prepared, Rows, Values

if TYPE_CHECKING:
    from collections.abc import Sequence

    Outcomes = Sequence[Rows | Exception]


class ConstraintBroken(Exception):
    """A change would break a rule of the table's: a key is there already."""


class TransactionLost(Exception):
    """SQLite gave up a transaction, with all statements in it, because of one."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What to run, and the values of its parameters."""

    text: Prepared | sa.Executable
    values: Values = field(repr=False)


def run(connection: sa.Connection, statements: Sequence[Statement]) -> Outcomes:
    """Run statements; several share one transaction of SQLite's.

    Args:
        connection: Of the thread that calls this. Every statement commits by itself
            unless told otherwise.
        statements: What to run, in this order.

    Returns:
        How each fared. A broken constraint is no trouble of the connection's; of many
        statements any may fail, and leaves the others alone.

    Raises:
        TransactionLost: One took the others along; some faults do
            (https://sqlite.org/lang_transaction.html, section 3).
        Exception: The driver's, of a connection in trouble; nothing is changed.
    """
    if len(statements) == 1:  # commits by itself
        try:
            return [_execute(connection, statements[0])]
        except ConstraintBroken as error:
            return [error]
    outcomes = begin(connection, statements)
    driver: Any = connection.connection.driver_connection
    driver.execute("COMMIT")
    return outcomes


def begin(connection: sa.Connection, statements: Sequence[Statement]) -> Outcomes:
    """Run statements in a transaction of SQLite's, which is left open.

    Args:
        connection: As for ``run``.
        statements: Likewise.

    Returns:
        How each will have fared once the transaction is committed.

    Raises:
        TransactionLost, Exception: As ``run`` does.
    """
    driver: Any = connection.connection.driver_connection
    driver.execute("BEGIN IMMEDIATE")
    return [_attempt(connection, driver, one) for one in statements]


def commits(driver: Any) -> bool:
    """Commit on SQLite, if nobody has to be waited for: in WAL mode nobody has.

    Args:
        driver: The driver's own connection, which waits for nobody.

    Returns:
        False where others still read what would be overwritten; the transaction is
        left open.
    """
    try:
        driver.execute("COMMIT")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True


def drivers_error(error: Exception) -> Exception:
    """Take what SQLAlchemy has put around a driver's error off again."""
    if isinstance(error, sa.exc.DBAPIError) and isinstance(error.orig, Exception):
        return error.orig
    return error


def _attempt(
    connection: sa.Connection, driver: Any, statement: Statement
) -> Rows | Exception:
    try:
        return _execute(connection, statement)
    except Exception as error:
        if not driver.in_transaction:
            raise TransactionLost from error
        return drivers_error(error)


def _execute(connection: sa.Connection, statement: Statement) -> Rows:
    """Run a statement.

    Raises:
        ConstraintBroken: So it is.
        Exception: The driver's.
    """
    text, values = statement.text, statement.values
    dbapi: Any = connection.dialect.dbapi
    try:
        if isinstance(text, Prepared):
            return text.run(connection.connection.driver_connection, values)
        result = connection.execute(text, values)
        return Rows(result.all() if result.returns_rows else (), result.rowcount)
    except (dbapi.Error, sa.exc.DBAPIError) as error:
        if isinstance(drivers_error(error), dbapi.IntegrityError):
            raise ConstraintBroken from error
        raise
