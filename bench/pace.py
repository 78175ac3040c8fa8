"""What a call costs when the machine has been idle before: one at a time, now and then.

Caches are cold by then, and the host may have given the core to somebody else. The
floor shows how much of that is no doing of signupd's.
"""

from __future__ import annotations

from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any

from bench import people
from bench.floor import SERVICE as FLOOR
from bench.load import Way
from bench.meter import metered
from bench.people import START, VERIFY
from bench.site import SQLITE
from bench.table import Chart, Table

if TYPE_CHECKING:
    from bench.site import Site

Json = dict[str, Any]

# As calls without bcrypt follow each other at Kratos, roughly, and as whole sign-ups of
# one person after the other do.
RATES = 60, 4
PACES = {"without a pause": Way(concurrency=1, connections=1)} | {
    f"{rate} a second": Way(concurrency=1, connections=1, rate=float(rate))
    for rate in RATES
}
# With pauses a round of an RPC takes no longer.
SECONDS = 10
ECHO = "the floor's echo"
ROWS = (ECHO, START.name, VERIFY.name)
ANSWER_BYTES = 200


def measure(site: Site, *, smoke: bool) -> Json:
    """Measure the floor and each RPC at each pace, in turns."""
    calls, rounds = (10, 1) if smoke else (300, 3)
    rows: list[Json] = []
    with site.floor() as floor, site.instant(SQLITE) as served:
        for _ in range(rounds):
            for pace, way in PACES.items():
                most = int(way.rate * SECONDS) or calls
                requests = people.starts(people.addresses(min(calls, most)))
                echo = f"{FLOOR}{ANSWER_BYTES}"
                cost, _ = metered(site, floor, echo, requests, way)
                rows.append({"rpc": ECHO, "pace": pace, "cost": asdict(cost)})
                for step in (START, VERIFY):
                    cost, sent = metered(site, served, step.method, requests, way)
                    rows.append({"rpc": step.name, "pace": pace, "cost": asdict(cost)})
                    tokens = people.tokens_of(sent.answers)
                    requests = people.following(step, tokens)
    return {"rows": rows}


def tables(raw: Json) -> list[Table]:
    """Show processor time and latency at each pace."""
    cells = []
    series: dict[str, list[float]] = {pace: [] for pace in PACES}
    for rpc in ROWS:
        line = [rpc]
        for figure in ("cpu_micros", "p50_micros"):
            values = [
                median(
                    row["cost"][figure]
                    for row in raw["rows"]
                    if (row["rpc"], row["pace"]) == (rpc, pace)
                )
                for pace in PACES
            ]
            line += [f"{value:.0f}" for value in values]
            if figure == "cpu_micros":
                for pace, value in zip(PACES, values, strict=True):
                    series[pace].append(value)
        cells.append(line)
    header = ["RPC, with SQLite"]
    header += [f"CPU µs, {pace}" for pace in PACES]
    header += [f"p50 µs, {pace}" for pace in PACES]
    return [Table("pace", header, cells, Chart("CPU, µs", [*ROWS], series))]
