"""What each RPC costs the processor, where Kratos answers at once."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from itertools import product
from statistics import median
from typing import TYPE_CHECKING, Any

from bench import floor, people
from bench.meter import median_ratio, metered
from bench.people import GET, SET_PASSWORD, START, VERIFY
from bench.site import BEFORE, DATABASES, NOW
from bench.table import Chart, Table

if TYPE_CHECKING:
    from bench.site import Server, Site

Json = dict[str, Any]

STEPS = (START, VERIFY, GET, SET_PASSWORD)
FLOOR = "floor"
# The lines of the table: the RPCs that each adds up.
WHOLE = "whole sign-up"
LINES = {step.name: (step.name,) for step in STEPS} | {
    WHOLE: (START.name, VERIFY.name, SET_PASSWORD.name)
}
MOST_TIMES = 1.5


def measure(site: Site, *, smoke: bool) -> list[Json]:
    """Measure each RPC of each version, and the floor, in turns."""
    calls, rounds = (20, 1) if smoke else (800, 6)
    rows: list[Json] = []
    for database in DATABASES:
        with ExitStack() as resources:
            servers: dict[str, Server] = {
                version: resources.enter_context(site.instant(database, version))
                for version in site.versions
            }
            servers[FLOOR] = resources.enter_context(site.floor())
            _round(site, servers, calls)  # warms up
            for number in range(rounds):
                order = sorted(servers, reverse=bool(number % 2))
                turns = {version: servers[version] for version in order}
                rows += [
                    {"database": database, "round": number, **row}
                    for row in _round(site, turns, calls)
                ]
    return rows


def _round(site: Site, servers: dict[str, Server], calls: int) -> list[Json]:
    """Have so many people sign up with each version, all of them a step at a time."""
    rows = []
    requests = {one: people.starts(people.addresses(calls)) for one in servers}
    for step, version in product(STEPS, servers):
        server, sent = servers[version], requests[version]
        if version == FLOOR:
            cost, _ = metered(site, server, floor.METHOD, sent)
        else:
            cost, answers = metered(site, server, step.method, sent)
            requests[version] = people.following(step, people.tokens_of(answers))
        rows.append({"version": version, "rpc": step.name, **asdict(cost)})
    return rows


def tables(rows: list[Json]) -> list[Table]:
    """Show medians over the rounds; ratios are the medians of the rounds'."""
    there = {row["version"] for row in rows}
    versions = [one for one in (BEFORE, NOW) if one in there]
    series: dict[str, list[float]] = {one: [] for one in versions}
    cells, labels = [], []
    for database, line in product(DATABASES, LINES):
        cpu, ledger = (
            {one: _rounds(rows, kind, database, one, line) for one in there}
            for kind in ("cpu", "database_cpu")
        )
        for version, values in series.items():
            values.append(median(cpu[version]))
        labels.append(f"{line}, {database}")
        cells.append(
            [
                labels[-1],
                *(f"{median(cpu[version]):.0f}" for version in versions),
                *(f"{ratio:.2f}" for ratio in _ratios(cpu)),
                f"{MOST_TIMES}" if line == WHOLE and BEFORE in there else "",
                f"{median_ratio(cpu[FLOOR], cpu[NOW]) * 100:.0f} %",
                *(f"{median(ledger[version]):.0f}" for version in versions),
            ]
        )
    header = ["RPC and ledger", *(f"CPU µs {version}" for version in versions)]
    header += ["now / before"] if BEFORE in there else []
    header += ["at most", "echo / now"]
    header += [f"database's CPU µs {version}" for version in versions]
    return [Table("cost", header, cells, Chart("CPU, µs", labels, series))]


def _ratios(cpu: dict[str, list[float]]) -> list[float]:
    return [median_ratio(cpu[NOW], cpu[BEFORE])] if BEFORE in cpu else []


def _rounds(
    rows: list[Json], kind: str, database: str, version: str, line: str
) -> list[float]:
    """Give the microseconds of a line, for each round."""
    rpcs = [
        [
            row[kind]
            for row in rows
            if (row["database"], row["version"], row["rpc"]) == (database, version, rpc)
        ]
        for rpc in LINES[line]
    ]
    return [sum(one) for one in zip(*rpcs, strict=True)]
