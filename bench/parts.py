"""Where the processor time of each RPC goes: the service by its parts."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bench import people
from bench.meter import metered
from bench.people import GET, SET_PASSWORD, START, VERIFY
from bench.sampler import DRIVER, REST, SQLALCHEMY, sampled, thread_micros
from bench.site import DATABASES
from bench.table import Chart, Table

if TYPE_CHECKING:
    from bench.people import Step
    from bench.site import Served, Site

Json = dict[str, Any]

STEPS = (START, VERIFY, GET, SET_PASSWORD)
# What a thread does that never runs Python, or hardly ever.
NEVER_SEEN = "gRPC's own threads"
# With fewer samples than this it is not known what threads were at: each time it was
# too short to be seen.
FEWEST = 20
# The threads that run statements.
LEDGER = "ledger"
UNSEEN = {LEDGER: "statements, in their threads"}
# Parts below this share of an RPC's time are shown as one.
SHOWN_PERCENT = 2.0
OTHERS = "others"


def measure(site: Site, *, smoke: bool) -> Json:
    """Measure each RPC twice: in earnest, and under a sampler that tells the shares.

    A sampler halts the server again and again, so its own run says nothing of costs.
    """
    calls = 30 if smoke else 2000
    rows: list[Json] = []
    for database in DATABASES:
        with site.instant(database) as served:
            warming = people.starts(people.addresses(30 if smoke else 300))
            requests = [people.starts(people.addresses(calls)) for _ in range(2)]
            for step in STEPS:
                _, sent = metered(site, served, step.method, warming)
                warming = people.following(step, people.tokens_of(sent.answers))
            for step in STEPS:
                row, tokens = _step(site, served, step, requests)
                rows.append({"database": database, "rpc": step.name, **row})
                requests = [people.following(step, some) for some in tokens]
    return {"rows": rows}


def _step(
    site: Site, served: Served, step: Step, requests: list[list[bytes]]
) -> tuple[Json, list[list[str]]]:
    (pid,) = served.pids
    before = thread_micros(pid)
    cost, sent = metered(site, served, step.method, requests[0])
    after = thread_micros(pid)
    threads = {
        thread: (micros - before.get(thread, 0.0)) / cost.calls
        for thread, micros in after.items()
    }
    with sampled(pid) as samples:
        _, again = metered(site, served, step.method, requests[1])
    row = {
        "cost": asdict(cost),
        "threads": threads,
        "samples": samples,
        "main": str(pid),
    }
    return row, [people.tokens_of(one.answers) for one in (sent, again)]


def micros_by_part(row: Json) -> dict[str, float]:
    """Divide the threads' time among the parts by where they were seen.

    Those that run statements are many and alike, so they are taken together.
    """
    micros: defaultdict[str, float] = defaultdict(float)
    seen: dict[str, Counter[str]] = {NEVER_SEEN: Counter({NEVER_SEEN: 1})}
    for thread, used in row["threads"].items():
        samples = row["samples"].get(thread)
        kind = NEVER_SEEN if samples is None else _kind(thread, row)
        micros[kind] += used
        seen.setdefault(kind, Counter()).update(samples or {})
    for kind, counts in seen.items():
        if counts.total() < FEWEST and kind != NEVER_SEEN:
            seen[kind] = Counter({UNSEEN.get(kind, REST): 1})
    parts: defaultdict[str, float] = defaultdict(float)
    for kind, used in micros.items():
        for part, count in seen[kind].items():
            parts[part] += used * count / seen[kind].total()
    return dict(parts)


def _kind(thread: str, row: Json) -> str:
    """Tell the threads that run statements from each of the others."""
    runs_statements = {SQLALCHEMY, DRIVER} & row["samples"][thread].keys()
    return LEDGER if runs_statements and thread != row["main"] else thread


def tables(raw: Json) -> list[Table]:
    """Show one table for each database: a line for each part, a column for each RPC."""
    return [_table(database, raw["rows"]) for database in DATABASES]


def _table(database: str, rows: list[Json]) -> Table:
    columns = [
        micros_by_part(row)
        for step in STEPS
        for row in rows
        if (row["database"], row["rpc"]) == (database, step.name)
    ]
    totals = [sum(column.values()) for column in columns]
    names = {name for column in columns for name in column}
    shown = sorted(
        (
            name
            for name in names
            if any(
                column.get(name, 0.0) >= total * SHOWN_PERCENT / 100
                for column, total in zip(columns, totals, strict=True)
            )
        ),
        key=lambda name: (-columns[0].get(name, 0.0), name),
    )
    lines = [(name, [column.get(name, 0.0) for column in columns]) for name in shown]
    rest = [
        max(0.0, total - sum(column.get(name, 0.0) for name in shown))
        for column, total in zip(columns, totals, strict=True)
    ]
    lines.append((OTHERS, rest))
    cells = [[name, *(f"{value:.0f}" for value in line)] for name, line in lines]
    cells.append(["**all**", *(f"**{total:.0f}**" for total in totals)])
    steps = [step.name for step in STEPS]
    chart = Chart(
        "CPU, µs for one RPC",
        [name for name, _ in lines],
        {step: [line[place] for _, line in lines] for place, step in enumerate(steps)},
    )
    return Table(f"parts-{database.lower()}", ["CPU µs of", *steps], cells, chart)
