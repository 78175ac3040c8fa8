"""Statements made ready once: their SQL, and how values get in and out.

SQLAlchemy finds all that out anew for each execution, which takes longer than the
database itself does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

if TYPE_CHECKING:
    from collections.abc import Callable

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


class Prepared:
    """A statement, ready to be run on one kind of database.

    Args:
        statement: Of SQLAlchemy's Core.
        dialect: The database's.

    Raises:
        ValueError: A list is in it whose length may vary from run to run.
    """

    def __init__(self, statement: Any, dialect: sa.Dialect) -> None:
        compiled = statement.compile(dialect=_marking(dialect))
        if compiled.post_compile_params:
            raise ValueError("a list of values cannot be prepared")
        self.is_dml: bool = statement.is_dml
        self.sql: str = compiled.string
        binds = {name: bind for bind, name in compiled.bind_names.items()}
        self._inputs = [
            _Input.of(name, binds[name], dialect) for name in compiled.positiontup
        ]
        self._outputs = [
            (place, process)
            for place, column in enumerate(statement.exported_columns)
            if (process := _kind(column, dialect).result_processor(dialect, None))
        ]

    @property
    def binary(self) -> list[bool]:
        """Which of its parameters are bytes, in their order."""
        return [one.binary for one in self._inputs]

    def given(self, values: Values) -> list[Any]:
        """Turn values, by name, into those of its parameters, in their order."""
        return [one.read(values) for one in self._inputs]

    def came_to(self, rows: Sequence[Sequence[Any]], count: int) -> Rows:
        """Turn the driver's rows into ours.

        Args:
            rows: As the driver has them.
            count: How many it changed.
        """
        return Rows([self._row(row) for row in rows], count)

    def run(self, driver: Any, values: Values) -> Rows:
        """Run it on SQLite; for PostgreSQL, see lanes.py.

        Args:
            driver: The driver's own connection, of the thread that calls this.
            values: Of its parameters, by name.

        Raises:
            Exception: Whatever the driver raises.
        """
        cursor = driver.execute(self.sql, self.given(values))
        rows = cursor.fetchall() if cursor.description else ()
        return self.came_to(rows, cursor.rowcount)

    def _row(self, values: Sequence[Any]) -> Sequence[Any]:
        row = list(values)
        for place, process in self._outputs:
            row[place] = process(row[place])
        return row


class Followed(Prepared):
    """A change by which another depends, ready to be run on SQLite; all or nothing.

    PostgreSQL has both in one statement, which SQLite cannot do.

    Args:
        first: Returns rows.
        then: What follows, where these are as many as they should be.
        wanted: How many that is.
        dialect: SQLite's.
    """

    def __init__(self, first: Any, then: Any, wanted: int, dialect: sa.Dialect) -> None:
        super().__init__(first, dialect)
        self._then = Prepared(then, dialect)
        self._wanted = wanted

    def run(self, driver: Any, values: Values) -> Rows:
        """Run both, or the first alone; as ``Prepared.run``."""
        driver.execute("SAVEPOINT followed")
        try:
            first = super().run(driver, values)
            if len(first.rows) == self._wanted:
                self._then.run(driver, values)
            driver.execute("RELEASE followed")
        except BaseException:
            if driver.in_transaction:
                driver.execute("ROLLBACK TO followed")
                driver.execute("RELEASE followed")
            raise
        return first


@dataclass(frozen=True, slots=True)
class _Input:
    """A parameter: given by its name, told by a function, or always the same."""

    name: str
    given: bool
    told: Callable[[], Any] | None
    always: Any
    process: Callable[[Any], Any] | None
    binary: bool

    @classmethod
    def of(cls, name: str, bind: sa.BindParameter[Any], dialect: sa.Dialect) -> _Input:
        kind = _kind(bind, dialect)
        process = kind.bind_processor(dialect)
        always = bind.value if process is None else process(bind.value)
        binary = isinstance(kind, sa.LargeBinary)
        return cls(name, bind.required, bind.callable, always, process, binary)

    def read(self, values: Values) -> Any:
        if self.given:
            value = values[self.name]
        elif self.told is not None:
            value = self.told()
        else:
            return self.always
        return value if self.process is None else self.process(value)


def _marking(dialect: Any) -> sa.Dialect:
    """Choose the dialect that marks parameters as the database itself has them."""
    marked: sa.Dialect = dialect
    if dialect.name == "postgresql":
        marked = type(dialect)(paramstyle="numeric_dollar")
    return marked


def _kind(typed: sa.ColumnElement[Any], dialect: sa.Dialect) -> Any:
    """Tell the type as this database has it."""
    return typed.type.dialect_impl(dialect)
