"""The benchmarks, by name, in the order in which they run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from bench import (
    abandoned,
    byhand,
    cost,
    growth,
    loops,
    pace,
    parts,
    sameness,
    scale,
    startup,
    sweeping,
)

if TYPE_CHECKING:
    from bench.site import Site
    from bench.table import Table


class Benchmark(Protocol):
    """What each of their modules offers."""

    def measure(self, site: Site, *, smoke: bool) -> dict[str, Any]:
        """Measure; the result is written as JSON as it is.

        Args:
            site: Where.
            smoke: Only find out whether it works, in a few seconds.
        """

    def tables(self, raw: dict[str, Any]) -> list[Table]:
        """Show what was measured, a table for each question."""


BENCHMARKS: Final[dict[str, Benchmark]] = {
    "cost": cost,
    "loops": loops,
    "parts": parts,
    "growth": growth,
    "abandoned": abandoned,
    "sweeping": sweeping,
    "startup": startup,
    "scale": scale,
    "sameness": sameness,
    "pace": pace,
    "byhand": byhand,
}
