"""What an RPC costs when several servers share a ledger.

The load has a core to itself as far as there are only two: the servers, PostgreSQL and
Kratos' stand-in have both.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from itertools import product
from statistics import median
from typing import TYPE_CHECKING, Any

from bench import cpu, people
from bench.load import Way
from bench.meter import metered
from bench.people import GET, SET_PASSWORD, START, VERIFY
from bench.site import POSTGRESQL
from bench.table import Chart, Table

if TYPE_CHECKING:
    from bench.site import Served, Site

Json = dict[str, Any]

SERVERS = (1, 2)
STEPS = (START, VERIFY, GET, SET_PASSWORD)
WAY = Way(concurrency=32)
WARM_UP_CALLS = 300


def measure(site: Site, *, smoke: bool) -> Json:
    """Measure each RPC with one server and with two, in several rounds."""
    calls, rounds = (20, 1) if smoke else (1000, 4)
    rows: list[Json] = []
    with ExitStack() as resources:
        resources.enter_context(site.on_all_cores())
        sites = {
            servers: resources.enter_context(
                site.instant(POSTGRESQL, servers=servers, apart=False)
            )
            for servers in SERVERS
        }
        for served in sites.values():
            _round(site, served, calls if smoke else WARM_UP_CALLS)
        for _, (servers, served) in product(range(rounds), sites.items()):
            rows += [{"servers": servers, **row} for row in _round(site, served, calls)]
    return {"rows": rows}


def _round(site: Site, served: Served, calls: int) -> list[Json]:
    rows = []
    requests = people.starts(people.addresses(calls))
    for step in STEPS:
        with cpu.on_cores(site.rest):
            cost, sent = metered(site, served, step.method, requests, WAY)
        rows.append({"rpc": step.name, "cost": asdict(cost)})
        requests = people.following(step, people.tokens_of(sent.answers))
    return rows


def tables(raw: Json) -> list[Table]:
    """Show the cost of a call, which is what adds up, and the rate on this machine."""
    rows, labels = [], []
    series: dict[str, list[float]] = {"signupd": [], "PostgreSQL": []}
    for step in STEPS:
        for servers in SERVERS:
            some = [
                row["cost"]
                for row in raw["rows"]
                if (row["servers"], row["rpc"]) == (servers, step.name)
            ]
            service = median(cost["cpu_micros"] for cost in some)
            database = median(cost["database_micros"] for cost in some)
            rate = median(cost["calls"] / cost["seconds"] for cost in some)
            cells = (f"{value:.0f}" for value in (service, database, rate))
            rows.append([f"{step.name}, {servers}", *cells])
            labels.append(f"{step.name}, {servers}")
            series["signupd"].append(service)
            series["PostgreSQL"].append(database)
    header = [
        "RPC, servers",
        "signupd's CPU µs",
        "PostgreSQL's CPU µs",
        "RPC/s on this machine",
    ]
    chart = Chart("CPU, µs for one RPC", labels, series)
    return [Table("scale", header, rows, chart)]
