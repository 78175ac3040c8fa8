"""The meter: what calls cost in processor time, and how figures are compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from bench.cpu import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.site import Server, Site

MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Cost:
    """The processor time of one call, the mean of several, in microseconds.

    Attributes:
        cpu: Of the server.
        database_cpu: Of the ledger's server; 0 where it has none.
    """

    cpu: int
    database_cpu: int


def metered(
    site: Site, server: Server, method: str, requests: Sequence[bytes]
) -> tuple[Cost, list[bytes]]:
    """Send each request once; give what a call costs, and the answers."""
    before = _spent(server)
    answers = site.load.send(server.target, method, requests).answers
    cpu, database = (
        round((after - start) / len(requests) * MICROS)
        for after, start in zip(_spent(server), before, strict=True)
    )
    return Cost(cpu, database), answers


def _spent(server: Server) -> tuple[float, float]:
    database = server.database_pid
    return cpu_seconds(server.pid), cpu_seconds(database) if database else 0.0


def median_ratio(ones: Sequence[float], others: Sequence[float]) -> float:
    """Give the median of the ratios, one for each round.

    Args:
        ones: A figure for each round.
        others: What it is divided by, of the same rounds.
    """
    return median(one / other for one, other in zip(ones, others, strict=True))


def percentile(values: Sequence[float], percent: float) -> float:
    """Give the least value that so many percent of all do not exceed."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]
