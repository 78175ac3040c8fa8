"""How much memory the service holds when people start, and never come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench import people
from bench.cpu import resident_bytes
from bench.load import Way
from bench.people import START
from bench.site import SQLITE
from bench.table import Chart, Table

if TYPE_CHECKING:
    from bench.site import Site

Json = dict[str, Any]

PARTS = 10
MEBIBYTE = 1024 * 1024
# They lapse and are swept while others start.
SETTINGS = {"CODE_TTL": "2s", "SWEEP_INTERVAL": "1s"}


def measure(site: Site, *, smoke: bool) -> Json:
    """Start sign-ups and leave them, and look at the server's memory in between."""
    calls = 100 if smoke else 100_000
    rows: list[Json] = []
    with site.instant(SQLITE, SETTINGS) as served:
        (pid,) = served.pids
        for part in range(PARTS):
            requests = people.starts(people.addresses(calls // PARTS))
            site.load.send(served.targets, START.method, requests, Way())
            done = (part + 1) * calls // PARTS
            rows.append({"abandoned": done, "bytes": resident_bytes(pid)})
    return {"rows": rows}


def tables(raw: Json) -> list[Table]:
    """Show the memory as it went."""
    labels = [f"{row['abandoned']:,}" for row in raw["rows"]]
    mebibytes = [row["bytes"] / MEBIBYTE for row in raw["rows"]]
    rows = [
        [label, f"{size:.1f}", f"{size / mebibytes[0]:.3f}"]
        for label, size in zip(labels, mebibytes, strict=True)
    ]
    header = ["abandoned so far", "resident, MiB", "relative to the first line"]
    chart = Chart("resident memory, MiB", labels, {"": mebibytes})
    return [Table("abandoned", header, rows, chart)]
