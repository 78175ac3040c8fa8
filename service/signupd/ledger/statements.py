"""Running one statement on a connection, in whichever thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlalchemy as sa

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """What a statement came to.

    Args:
        rows: Those that it returned, if it returns any.
        count: How many it changed.
    """

    rows: Sequence[Sequence[Any]]
    count: int

    @property
    def first(self) -> Sequence[Any] | None:
        """The first row, if there is one."""
        return self.rows[0] if self.rows else None

    @property
    def scalars(self) -> list[Any]:
        """The first column."""
        return [row[0] for row in self.rows]


def execute(
    connection: sa.Connection,
    statement: sa.Executable,
    values: Values | None,
) -> Rows:
    """Run a statement.

    Args:
        connection: Of the thread that calls this.
        statement: What to run.
        values: Of its parameters.
    """
    result = connection.execute(statement, values)
    rows = result.all() if result.returns_rows else ()
    return Rows(rows, result.rowcount)
