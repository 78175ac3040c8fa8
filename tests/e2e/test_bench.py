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

    from bench.table import Table


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    """Build what benchmarks run, once."""
    kratos_binary()
    with Site() as site:
        yield site


@pytest.mark.parametrize("name", BENCHMARKS)
def test_smoke(place: Site, tmp_path: Path, name: str) -> None:
    """It measures, its results can be read again, and its tables have their places."""
    check(place, tmp_path, name)


def test_beside_another(tmp_path: Path) -> None:
    """A version before is measured, too, and its figures have columns."""
    with Site(before=sys.executable) as site:
        (table,) = check(site, tmp_path, "cost")

    assert {"CPU µs before", "CPU µs now", "now / before"} < set(table.header)


def check(site: Site, directory: Path, name: str) -> list[Table]:
    """Run one benchmark, and hold its tables against what a report wants."""
    measure(site, name, directory, smoke=True)
    tables = BENCHMARKS[name].tables(results.read(directory, name))
    filled = report.fill(DOCUMENT.read_text(encoding="utf-8"), tables)

    assert tables
    for table in tables:
        assert {len(table.header)} == set(map(len, table.rows))
        assert table.markdown() in filled
        assert {len(table.chart.labels)} == set(map(len, table.chart.series.values()))
    return tables
