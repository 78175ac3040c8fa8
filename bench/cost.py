"""What each RPC costs, as a share of the floor: Kratos answers at once."""

from __future__ import annotations

from dataclasses import asdict
from itertools import product
from statistics import median
from typing import TYPE_CHECKING, Any

from bench import people
from bench.floor import SERVICE as FLOOR
from bench.meter import MICROS, metered
from bench.people import GET, SET_PASSWORD, START, VERIFY
from bench.site import DATABASES
from bench.table import Chart, Table

if TYPE_CHECKING:
    from bench.site import Served, Site

Json = dict[str, Any]

# Before it is measured: caches fill, connections and threads come up.
WARM_UP_CALLS = 300
STEPS = (START, VERIFY, GET, SET_PASSWORD)
FLOOR_TIMES = 5
# Least share of the floor's calls per second, in percent.
LEAST_SHARES = {START: 12, VERIFY: 12, GET: 25}


def measure(site: Site, *, smoke: bool) -> Json:
    """Measure each RPC and the floor in turns, in several rounds."""
    calls, rounds = (20, 1) if smoke else (1500, 5)
    rows: list[Json] = []
    with site.floor() as floor:
        for database in DATABASES:
            with site.instant(database) as served:
                _round(site, floor, served, calls if smoke else WARM_UP_CALLS)
                for number in range(rounds):
                    rows += [
                        {"database": database, "round": number, **row}
                        for row in _round(site, floor, served, calls)
                    ]
    return {"rows": rows}


def _round(site: Site, floor: Served, served: Served, calls: int) -> list[Json]:
    """Have so many people sign up, all of them a step at a time."""
    rows = []
    emails = people.addresses(calls)
    requests = people.starts(emails)
    for step in STEPS:
        cost, sent = metered(site, served, step.method, requests)
        size = len(sent.answers[0])
        # More of them, or the connecting would count for more than with the service.
        least, _ = metered(site, floor, f"{FLOOR}{size}", requests * FLOOR_TIMES)
        rows.append({"rpc": step.name, "service": asdict(cost), "floor": asdict(least)})
        tokens = people.tokens_of(sent.answers)
        requests = people.following(step, tokens)
    return rows


def tables(raw: Json) -> list[Table]:
    """Show medians over the rounds."""
    rows, labels = [], []
    shares: list[float] = []
    for database, step in product(DATABASES, STEPS):
        some = [
            row
            for row in raw["rows"]
            if (row["database"], row["rpc"]) == (database, step.name)
        ]
        ratios = [
            row["floor"]["cpu_micros"] / row["service"]["cpu_micros"] for row in some
        ]
        shares.append(median(ratios) * 100)
        least = LEAST_SHARES.get(step)
        cells = [f"{shares[-1]:.0f} %", f"{least} %" if least else ""]
        rows.append([f"{step.name}, {database}", *cells, *_figures(some)])
        labels.append(f"{step.name}\n{database}")
    header = [
        "RPC and ledger",
        "share of the floor",
        "target",
        "CPU µs",
        "floor's CPU µs",
        "database's CPU µs",
        "RPC/s per core",
    ]
    chart = Chart("share of the floor's RPC/s per core, %", labels, {"": shares})
    return [Table("cost", header, rows, chart)]


def _figures(rows: list[Json]) -> list[str]:
    service = median(row["service"]["cpu_micros"] for row in rows)
    floor = median(row["floor"]["cpu_micros"] for row in rows)
    database = median(row["service"]["database_micros"] for row in rows)
    return [f"{value:.0f}" for value in (service, floor, database, MICROS / service)]
