"""What an RPC costs when the ledger has grown."""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import asdict
from itertools import product
from statistics import median
from typing import TYPE_CHECKING, Any

from bench import people
from bench.meter import median_ratio, metered
from bench.people import GET, START, VERIFY
from bench.rows import Rows
from bench.site import DATABASES
from bench.table import Chart, Table

if TYPE_CHECKING:
    from bench.site import Served, Site

Json = dict[str, Any]

STEPS = (START, VERIFY, GET)
SIZES = (1_000, 1_000_000)
SMOKE_SIZES = (100, 200)
# How much more an RPC may cost in the large ledger than in the small one.
MOST_TIMES = 1.2


def measure(site: Site, *, smoke: bool) -> list[Json]:
    """Measure each RPC in a small ledger and in a large one, in turns."""
    sizes, calls, rounds = (SMOKE_SIZES, 20, 1) if smoke else (SIZES, 300, 6)
    rows: list[Json] = []
    for database in DATABASES[:1] if smoke else DATABASES:
        with ExitStack() as resources:
            servers = {
                size: resources.enter_context(site.instant(database)) for size in sizes
            }
            for size, served in servers.items():
                _round(site, served, calls)  # warms up, and leaves rows to copy
                with closing(Rows(served.ledger_url)) as held:
                    held.add_final(max(0, size - held.count()))
                    held.settle()
            for number in range(rounds):
                for size in sorted(servers, reverse=bool(number % 2)):
                    rows += [
                        {"database": database, "size": size, **row}
                        for row in _round(site, servers[size], calls)
                    ]
    return rows


def _round(site: Site, served: Served, calls: int) -> list[Json]:
    rows = []
    requests = people.starts(people.addresses(calls))
    for step in STEPS:
        cost, answers = metered(site, served, step.method, requests)
        rows.append({"rpc": step.name, **asdict(cost)})
        requests = people.following(step, people.tokens_of(answers))
    return rows


def tables(rows: list[Json]) -> list[Table]:
    """Show the processor time of service and database together, by size."""
    small, large = sorted({row["size"] for row in rows})
    databases = dict.fromkeys(row["database"] for row in rows)
    series: dict[str, list[float]] = {f"{small:,} rows": [], f"{large:,} rows": []}
    cells, labels = [], []
    for database, step in product(databases, STEPS):
        few, many = (
            [
                row["cpu"] + row["database_cpu"]
                for row in rows
                if (row["database"], row["rpc"], row["size"])
                == (database, step.name, size)
            ]
            for size in (small, large)
        )
        medians = [median(few), median(many)]
        for values, value in zip(series.values(), medians, strict=True):
            values.append(value)
        labels.append(f"{step.name}, {database}")
        figures = [f"{value:.0f}" for value in medians]
        ratio = f"{median_ratio(many, few):.2f}"
        cells.append([labels[-1], *figures, ratio, f"{MOST_TIMES}"])
    header = ["CPU µs of, with its ledger", *series, "large / small", "at most"]
    chart = Chart("CPU, µs for one RPC", labels, series)
    return [Table("growth", header, cells, chart)]
