"""The benchmarks, by name, in the order in which they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from bench import byhand, cost, growth, memory, sameness, startup, sweeping

if TYPE_CHECKING:
    from bench.site import Site
    from bench.table import Table

Json = dict[str, Any]


class Benchmark(Protocol):
    """What each of their modules offers."""

    def measure(self, site: Site, *, smoke: bool) -> list[Json]:
        """Measure; the rows are written as JSON as they are.

        Args:
            site: Where.
            smoke: Only find out whether it works, in a few seconds.
        """

    def tables(self, rows: list[Json]) -> list[Table]:
        """Show what was measured, a table for each question."""


BENCHMARKS: Final[dict[str, Benchmark]] = {
    "cost": cost,
    "growth": growth,
    "memory": memory,
    "sweeping": sweeping,
    "startup": startup,
    "sameness": sameness,
    "byhand": byhand,
}
