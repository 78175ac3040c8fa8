"""Every benchmark works; what it measures in seconds says nothing, and is not asked."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from bench import report, results
from bench.__main__ import DOCUMENT, measure
from bench.benchmarks import BENCHMARKS
from bench.site import Site
from devstack.binary import kratos_binary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    """Build what benchmarks run, once; the version before is this one, too."""
    kratos_binary()
    with Site(before=sys.executable) as site:
        yield site


@pytest.mark.parametrize("name", BENCHMARKS)
def test_smoke(place: Site, tmp_path: Path, name: str) -> None:
    """It measures, its results can be read again, and its tables have their places."""
    measure(place, name, tmp_path, smoke=True)
    rows = results.read(tmp_path, name)
    tables = BENCHMARKS[name].tables(rows)
    filled = report.fill(DOCUMENT.read_text(encoding="utf-8"), tables)

    assert tables
    for table in tables:
        assert {len(table.header)} == set(map(len, table.rows))
        assert table.markdown() in filled
        assert {len(table.chart.labels)} == set(map(len, table.chart.series.values()))
