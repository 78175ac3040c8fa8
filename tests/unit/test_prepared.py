"""Statements made ready once, for either database."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
import sqlalchemy as sa
from signupd.ledger.prepared import Prepared

ENGINES = [sa.create_engine(f"{name}://") for name in ("sqlite", "postgresql+psycopg")]


@pytest.mark.parametrize("engine", ENGINES, ids=["sqlite", "postgresql"])
def test_no_lists(engine: sa.Engine) -> None:
    """A list whose length may vary is refused, and not run with the first one's."""
    listed = sa.select(sa.literal(1)).where(sa.literal(1).in_(sa.bindparam("some")))
    with pytest.raises(ValueError, match="list"):
        Prepared(listed, engine.dialect)


def test_values() -> None:
    """A value is given, told anew by a function each time, or always the same."""
    told = iter(("first", "second"))
    given = sa.bindparam("given", type_=sa.Uuid), sa.bindparam("again", type_=sa.String)
    query = sa.select(
        *given, sa.bindparam("told", callable_=told.__next__), sa.text("7")
    )
    prepared = Prepared(query.add_columns(sa.literal(b"x")), ENGINES[0].dialect)
    with closing(sqlite3.connect(":memory:")) as driver:
        rows = [prepared.run(driver, {"given": None, "again": n}).first for n in "ab"]

    assert [[None, "a", "first", 7, b"x"], [None, "b", "second", 7, b"x"]] == rows
