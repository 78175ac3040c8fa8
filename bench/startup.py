"""How long a server takes from its start until it serves."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from datetime import datetime
from itertools import product
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.cpu import cpu_seconds, on_cores
from bench.site import BEFORE, DATABASES, NOW
from bench.table import Chart, Table

if TYPE_CHECKING:
    from bench.site import Site
    from devstack.server import Signupd

Json = dict[str, Any]

STARTS = 10
MOST_SECONDS = 1.0


def measure(site: Site, *, smoke: bool) -> list[Json]:
    """Start each version again and again, in turns; its ledger is up to date."""
    rows: list[Json] = []
    for database in DATABASES:
        with ExitStack() as resources:
            servers = {
                one: resources.enter_context(site.instant(database, one)).signupd
                for one in site.versions
            }
            for _, version in product(range(1 if smoke else STARTS), servers):
                row = {"database": database, "version": version}
                rows.append(row | _start(site, servers[version]))
    return rows


def _start(site: Site, server: Signupd) -> Json:
    server.stop()
    begun = time.time()
    with on_cores(site.measured):
        server.start()
    return {
        "seconds": round(_serving(server) - begun, 3),
        "cpu_seconds": round(cpu_seconds(server.pid or 0), 3),
    }


def _serving(server: Signupd) -> float:
    """Read from the log when it began to serve last, in seconds of the Unix epoch.

    The server is asked whether it serves only now and then, and costs time to ask.
    """
    lines = map(json.loads, server.log().splitlines())
    times = [line["timestamp"] for line in lines if line["event"] == "serving"]
    return datetime.fromisoformat(times[-1]).timestamp()


def tables(rows: list[Json]) -> list[Table]:
    """Show the median and the worst."""
    cells, labels, medians = [], [], []
    for database, version in product(DATABASES, (BEFORE, NOW)):
        some = [
            row
            for row in rows
            if (row["database"], row["version"]) == (database, version)
        ]
        if not some:
            continue
        seconds = [row["seconds"] for row in some]
        medians.append(median(seconds))
        labels.append(f"{version}, {database}")
        used = median(row["cpu_seconds"] for row in some)
        figures = (median(seconds), max(seconds), MOST_SECONDS, used)
        cells.append([labels[-1], *(f"{figure:.2f}" for figure in figures)])
    header = ["version, ledger", "seconds until it serves", "longest", "at most"]
    header.append("CPU seconds")
    chart = Chart("seconds until it serves", labels, {"": medians}, bound=MOST_SECONDS)
    return [Table("startup", header, cells, chart)]
