"""Every benchmark works; what it measures in seconds says nothing, and is not asked."""

from collections.abc import Iterator

import pytest

from bench.__main__ import BENCHMARKS, DOCUMENT
from bench.site import Site
from bench.table import fill
from devstack.binary import kratos_binary


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    """Build what benchmarks run, once."""
    kratos_binary()
    with Site() as site:
        yield site


@pytest.mark.parametrize("name", BENCHMARKS)
def test_smoke(place: Site, name: str) -> None:
    """It measures, and its tables have their places in the document."""
    tables = BENCHMARKS[name](place, smoke=True)
    filled = fill(DOCUMENT.read_text(encoding="utf-8"), tables)

    assert tables
    for table in tables:
        assert table.rows
        assert {len(table.header)} == set(map(len, table.rows))
        assert table.markdown() in filled
