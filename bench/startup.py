"""How long a server takes from its start until it serves."""

from __future__ import annotations

import json
import time
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.cpu import cpu_seconds, on_cores
from bench.site import DATABASES
from bench.table import Chart, Table

if TYPE_CHECKING:
    from bench.site import Site
    from devstack.server import Signupd

Json = dict[str, Any]

MOST_SECONDS = 1.0


def measure(site: Site, *, smoke: bool) -> Json:
    """Start a server again and again, in front of a ledger that is up to date."""
    rows: list[Json] = []
    for database in DATABASES:
        with site.instant(database) as served:
            (server,) = served.servers
            for _ in range(1 if smoke else 10):
                server.stop()
                begun = time.time()
                with on_cores(site.measured):
                    server.start()
                row = {
                    "database": database,
                    "seconds": _serving(server) - begun,
                    "cpu_seconds": cpu_seconds(server.pid or 0),
                }
                rows.append(row)
    return {"rows": rows}


def _serving(server: Signupd) -> float:
    """Read from the log when it began to serve last, in seconds of the Unix epoch.

    The server is asked whether it serves only now and then, and costs time to ask.
    """
    lines = map(json.loads, server.log().splitlines())
    times = [line["timestamp"] for line in lines if line["event"] == "serving"]
    return datetime.fromisoformat(times[-1]).timestamp()


def tables(raw: Json) -> list[Table]:
    """Show the median and the worst."""
    rows = []
    medians = []
    for database in DATABASES:
        some = [row for row in raw["rows"] if row["database"] == database]
        seconds = [row["seconds"] for row in some]
        medians.append(median(seconds))
        used = median(row["cpu_seconds"] for row in some)
        figures = (median(seconds), max(seconds), MOST_SECONDS, used)
        rows.append([database, *(f"{figure:.2f}" for figure in figures)])
    header = ["ledger", "seconds until it serves", "longest", "at most", "CPU seconds"]
    chart = Chart(
        "seconds until it serves", [*DATABASES], {"": medians}, bound=MOST_SECONDS
    )
    return [Table("startup", header, rows, chart)]
