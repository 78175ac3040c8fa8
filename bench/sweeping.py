"""How fast the sweeper works off a backlog, and what callers notice of it."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

from bench import people
from bench.cpu import resident_bytes
from bench.meter import percentile
from bench.people import START
from bench.programs import ProgramFailedError
from bench.rows import Rows
from bench.site import DATABASES
from bench.table import Chart, Table

if TYPE_CHECKING:
    from bench.site import Served, Site

Json = dict[str, Any]

# Calls a second; a server can do several times as many, so that no queue builds up.
RATE = 120
# A slice of the load: then it is seen whether the backlog is gone.
SLICE_SECONDS = 5.0
SMOKE_SECONDS = 0.5
# A sweeper that takes longer for the backlog is stuck.
MOST_SECONDS = 600
SETTINGS = {"SWEEP_INTERVAL": "1s"}
MEBIBYTE = 1024 * 1024
# How much longer the slowest call in a hundred may take meanwhile.
MOST_TIMES = 2.0


def measure(site: Site, *, smoke: bool) -> list[Json]:
    """Have people start at an even rate, first in peace, then beside the sweeper."""
    due, slices = (200, 1) if smoke else (30_000, 4)
    seconds_each = SMOKE_SECONDS if smoke else SLICE_SECONDS
    rows: list[Json] = []
    for database in DATABASES:
        with (
            site.instant(database, settings=SETTINGS) as served,
            closing(Rows(served.ledger_url)) as held,
        ):
            _slice(site, served, seconds_each)  # warms up, and leaves a row to copy
            before = resident_bytes(served.pid)
            quiet = [
                one for _ in range(slices) for one in _slice(site, served, seconds_each)
            ]
            held.add_due(due)
            begun = time.monotonic()
            swept: list[int] = []
            most = before
            while left := held.due():
                if time.monotonic() > begun + MOST_SECONDS:
                    raise ProgramFailedError(f"{left} rows are not swept")
                swept += _slice(site, served, seconds_each)
                most = max(most, resident_bytes(served.pid))
            seconds = time.monotonic() - begun
            rows.append(
                {
                    "database": database,
                    "due": due,
                    "left": left,
                    "seconds": round(seconds, 3),
                    "quiet_p99_micros": percentile(quiet, 99),
                    "swept_p99_micros": percentile(swept or quiet, 99),
                    "bytes_before": before,
                    "bytes_most": most,
                }
            )
    return rows


def _slice(site: Site, served: Served, seconds: float) -> list[int]:
    requests = people.starts(people.addresses(int(RATE * seconds)))
    return site.load.send(served.target, START.method, requests, RATE).micros


def tables(rows: list[Json]) -> list[Table]:
    """Show rate, latency and memory."""
    cells = [
        [
            row["database"],
            f"{row['due'] / row['seconds']:.0f}",
            f"{row['quiet_p99_micros'] / 1000:.1f}",
            f"{row['swept_p99_micros'] / 1000:.1f}",
            f"{row['swept_p99_micros'] / row['quiet_p99_micros']:.2f}",
            f"{MOST_TIMES:.0f}",
            f"{(row['bytes_most'] - row['bytes_before']) / MEBIBYTE:.1f}",
        ]
        for row in rows
    ]
    header = [
        "ledger",
        "rows swept per second",
        "StartSignup p99 in peace, ms",
        "p99 beside the sweeper, ms",
        "times",
        "at most",
        "memory grown by, MiB",
    ]
    series = {
        "in peace": [row["quiet_p99_micros"] / 1000 for row in rows],
        "beside the sweeper": [row["swept_p99_micros"] / 1000 for row in rows],
    }
    labels = [row["database"] for row in rows]
    chart = Chart("StartSignup's p99, ms", labels, series)
    return [Table("sweeping", header, cells, chart)]
