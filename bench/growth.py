"""What an RPC costs when the ledger has grown."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any

from bench import people
from bench.meter import metered
from bench.people import GET, START, VERIFY
from bench.rows import Rows
from bench.site import DATABASES
from bench.table import Chart, Table

if TYPE_CHECKING:
    from bench.site import Served, Site

Json = dict[str, Any]

STEPS = (START, VERIFY, GET)
# How much more an RPC may cost in the largest ledger than in the smallest.
MOST_TIMES = 1.2


def measure(site: Site, *, smoke: bool) -> Json:
    """Measure each RPC in ledgers of several sizes, some rounds in each."""
    sizes = [100, 200] if smoke else [1_000, 100_000, 1_000_000]
    calls, rounds = (20, 1) if smoke else (500, 3)
    rows: list[Json] = []
    for database in DATABASES:
        with site.instant(database) as served, closing(Rows(served.ledger_url)) as held:
            _round(site, served, calls)  # warms up, and leaves rows to copy
            for size in sizes:
                held.add_final(max(0, size - held.count()))
                held.settle()
                for _ in range(rounds):
                    rows += [
                        {"database": database, "size": size, **row}
                        for row in _round(site, served, calls)
                    ]
    return {"rows": rows}


def _round(site: Site, served: Served, calls: int) -> list[Json]:
    rows = []
    requests = people.starts(people.addresses(calls))
    for step in STEPS:
        cost, sent = metered(site, served, step.method, requests)
        rows.append({"rpc": step.name, "cost": asdict(cost)})
        requests = people.following(step, people.tokens_of(sent.answers))
    return rows


def tables(raw: Json) -> list[Table]:
    """Show the processor time of service and database together, by size."""
    sizes = sorted({row["size"] for row in raw["rows"]})
    rows, labels = [], []
    series: dict[str, list[float]] = {f"{size:,} rows": [] for size in sizes}
    for database in DATABASES:
        for step in STEPS:
            costs = [
                median(
                    row["cost"]["cpu_micros"] + row["cost"]["database_micros"]
                    for row in raw["rows"]
                    if (row["database"], row["rpc"], row["size"])
                    == (database, step.name, size)
                )
                for size in sizes
            ]
            for values, cost in zip(series.values(), costs, strict=True):
                values.append(cost)
            labels.append(f"{step.name}\n{database}")
            rows.append(
                [
                    f"{step.name}, {database}",
                    *(f"{cost:.0f}" for cost in costs),
                    f"{costs[-1] / costs[0]:.2f}",
                    f"{MOST_TIMES}",
                ]
            )
    header = [
        "CPU µs of, with its ledger",
        *series,
        "largest / smallest",
        "at most",
    ]
    chart = Chart("CPU, µs for one RPC", labels, series)
    return [Table("growth", header, rows, chart)]
