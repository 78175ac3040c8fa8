"""The meter: what calls cost, in processor time and in waiting."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.cpu import cpu_seconds
from bench.load import Way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.load import Sent
    from bench.site import Served, Site

MICROS = 1_000_000
WAY = Way()


@dataclass(frozen=True, slots=True)
class Cost:
    """What calls of one kind have cost.

    Attributes:
        calls: How many.
        seconds: From the first request to the last answer.
        cpu_micros: Processor time of the servers for one call, in microseconds.
        database_micros: The same of the ledger's server; 0 where it has none.
        p50_micros: The median of the latency.
        p99_micros: What one call in a hundred exceeds.
    """

    calls: int
    seconds: float
    cpu_micros: float
    database_micros: float
    p50_micros: float
    p99_micros: float


def metered(
    site: Site,
    served: Served,
    method: str,
    requests: Sequence[bytes],
    way: Way = WAY,
) -> tuple[Cost, Sent]:
    """Send requests, and tell what they cost.

    Args:
        site: Sends them.
        served: What they are sent to.
        method: The method's full name.
        requests: Each is sent once.
        way: How they are sent.
    """
    servers = sum(map(cpu_seconds, served.pids))
    database = cpu_seconds(served.database_pid) if served.database_pid else 0.0
    sent = site.load.send(served.targets, method, requests, way)
    servers = sum(map(cpu_seconds, served.pids)) - servers
    if served.database_pid:
        database = cpu_seconds(served.database_pid) - database
    calls = len(requests)
    cost = Cost(
        calls,
        sent.seconds,
        cpu_micros=servers / calls * MICROS,
        database_micros=database / calls * MICROS,
        p50_micros=percentile(sent.micros, 50),
        p99_micros=percentile(sent.micros, 99),
    )
    return cost, sent


def percentile(values: Sequence[float], percent: float) -> float:
    """Give the least value that so many percent of all do not exceed."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]
