"""Every benchmark works; what it measures in seconds says nothing, and is not asked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench import progress, report, results
from bench.__main__ import DOCUMENT, measure
from bench.benchmarks import BENCHMARKS
from bench.site import Site
from devstack.binary import kratos_binary

if TYPE_CHECKING:
    from collections.abc import Iterator


def may_trace() -> bool:
    """Tell whether py-spy may look into a process that it did not start (Yama)."""
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    return not scope.exists() or scope.read_text() == "0\n" or not os.geteuid()


@pytest.fixture(scope="module")
def place() -> Iterator[Site]:
    """Build what benchmarks run, once."""
    kratos_binary()
    with Site() as site:
        yield site


@pytest.mark.parametrize("name", BENCHMARKS)
def test_smoke(place: Site, tmp_path: Path, name: str) -> None:
    """It measures, its results can be read again, and its tables have their places."""
    if name == "parts" and not may_trace():
        pytest.skip("this system lets nobody but root look into another process")
    measure(place, name, tmp_path, smoke=True)
    raw = results.read(tmp_path, name)
    tables = BENCHMARKS[name].tables(raw)
    if name == "parts":
        tables += progress.tables(raw)
    filled = report.fill(DOCUMENT.read_text(encoding="utf-8"), tables)

    assert tables
    for table in tables:
        assert {len(table.header)} == set(map(len, table.rows))
        assert table.markdown() in filled
        assert {len(table.chart.labels)} == set(map(len, table.chart.series.values()))
