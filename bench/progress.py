"""What improving the service has brought: each RPC's processor time, before and after.

What was measured before is kept beside the other results, and not measured again.
"""

from __future__ import annotations

from itertools import product
from typing import Any, Final

from bench import results
from bench.parts import STEPS, micros_by_part
from bench.site import DATABASES
from bench.table import Chart, Table

Json = dict[str, Any]

BEFORE: Final = "before"
# Parts that never took this share of any RPC's time are shown as one.
SHOWN_PERCENT: Final = 2.0
OTHERS: Final = "others"


def tables(now: Json) -> list[Table]:
    """Compare results of "parts" with those kept from before.

    Args:
        now: The results.
    """
    before = results.read(results.DIRECTORY / BEFORE, "parts")
    return [_table(database, before, now) for database in DATABASES]


def _table(database: str, before: Json, now: Json) -> Table:
    columns = {
        f"{step.name} {when}": _parts(raw, database, step.name)
        for step, (when, raw) in product(STEPS, (("before", before), ("now", now)))
    }
    totals = {name: sum(column.values()) for name, column in columns.items()}
    worth = {
        part
        for name, column in columns.items()
        for part, micros in column.items()
        if micros >= totals[name] * SHOWN_PERCENT / 100
    }
    first = next(iter(columns.values()))
    shown = sorted(worth, key=lambda part: (-first.get(part, 0.0), part))
    lines = [
        (part, [column.get(part, 0.0) for column in columns.values()]) for part in shown
    ]
    rest = [
        max(0.0, totals[name] - sum(column.get(part, 0.0) for part in shown))
        for name, column in columns.items()
    ]
    lines.append((OTHERS, rest))
    cells = [[name, *(f"{value:.0f}" for value in line)] for name, line in lines]
    cells.append(["**all**", *(f"**{total:.0f}**" for total in totals.values())])
    chart = Chart(
        "CPU, µs for one RPC",
        [step.name for step in STEPS],
        {
            when: [totals[f"{step.name} {when}"] for step in STEPS]
            for when in ("before", "now")
        },
    )
    header = ["CPU µs of", *columns]
    return Table(f"progress-{database.lower()}", header, cells, chart)


def _parts(raw: Json, database: str, rpc: str) -> dict[str, float]:
    (row,) = (
        row for row in raw["rows"] if (row["database"], row["rpc"]) == (database, rpc)
    )
    return micros_by_part(row)
