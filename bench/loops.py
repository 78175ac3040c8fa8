"""The floor on each event loop: asyncio's, as a bare server has it, and signupd's."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any

from bench import people
from bench.floor import LOOPS
from bench.floor import SERVICE as FLOOR
from bench.meter import MICROS, metered
from bench.table import Chart, Table

if TYPE_CHECKING:
    from bench.site import Site

Json = dict[str, Any]

ANSWER_BYTES = 200


def measure(site: Site, *, smoke: bool) -> Json:
    """Measure the echo on the loops in turns."""
    calls, rounds = (20, 1) if smoke else (7500, 10)
    rows: list[Json] = []
    requests = people.starts(people.addresses(calls))
    with ExitStack() as resources:
        floors = {loop: resources.enter_context(site.floor(loop)) for loop in LOOPS}
        for number in range(rounds + 1):  # the first one warms up
            for loop, floor in floors.items():
                cost, _ = metered(site, floor, f"{FLOOR}{ANSWER_BYTES}", requests)
                if number:
                    rows.append({"loop": loop, "round": number, "cost": asdict(cost)})
    return {"rows": rows}


def tables(raw: Json) -> list[Table]:
    """Show medians over the rounds."""
    micros = [
        median(row["cost"]["cpu_micros"] for row in raw["rows"] if row["loop"] == loop)
        for loop in LOOPS
    ]
    rows = [
        [loop, f"{one:.0f}", f"{MICROS / one:.0f}", f"{one / micros[0]:.2f}"]
        for loop, one in zip(LOOPS, micros, strict=True)
    ]
    header = ["event loop", "CPU µs", "RPC/s per core", "relative to the first line"]
    chart = Chart("CPU, µs for one echo", [*LOOPS], {"": micros})
    return [Table("loops", header, rows, chart)]
