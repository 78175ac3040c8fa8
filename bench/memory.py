"""How much memory the service holds when people start, and never come back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any

from bench import people
from bench.cpu import resident_bytes
from bench.people import START
from bench.site import BEFORE, DATABASES, NOW, POSTGRESQL, SQLITE
from bench.table import Chart, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.site import Served, Site

Json = dict[str, Any]

# How many sign-ups have been abandoned when memory is looked at.
ABANDONED = {SQLITE: (0, 1_000, 10_000, 50_000), POSTGRESQL: (0, 1_000, 10_000)}
SMOKE_ABANDONED = (0, 10, 20)
MEBIBYTE = 1024 * 1024
MOST_MEBIBYTES = 110
# They expire and are swept while others start.
SETTINGS = {"CODE_TTL": "2s", "SWEEP_INTERVAL": "1s"}


def measure(site: Site, *, smoke: bool) -> list[Json]:
    """Load all servers at the same time: memory does not depend on how fast it goes."""
    with site.on_all_cores(), ExitStack() as resources, ThreadPoolExecutor() as pool:
        work = []
        for database, version in product(DATABASES, site.versions):
            served = resources.enter_context(
                site.instant(database, version, SETTINGS, site.all_cores)
            )
            counts = SMOKE_ABANDONED if smoke else ABANDONED[database]
            row = {"database": database, "version": version}
            work.append((row, pool.submit(_abandon, site, served, counts)))
        return [
            {**row, "abandoned": count, "bytes": held}
            for row, loaded in work
            for count, held in loaded.result()
        ]


def _abandon(
    site: Site, served: Served, counts: Sequence[int]
) -> list[tuple[int, int]]:
    """Start sign-ups and leave them; give the bytes held at each count."""
    seen = [(counts[0], resident_bytes(served.pid))]
    for before, count in pairwise(counts):
        requests = people.starts(people.addresses(count - before))
        site.load.send(served.target, START.method, requests)
        seen.append((count, resident_bytes(served.pid)))
    return seen


def tables(rows: list[Json]) -> list[Table]:
    """Show the memory as it went."""
    there = {row["version"] for row in rows}
    series = {
        version: [row["bytes"] / MEBIBYTE for row in rows if row["version"] == version]
        for version in (BEFORE, NOW)
        if version in there
    }
    labels = [
        f"{row['abandoned']:,}, {row['database']}"
        for row in rows
        if row["version"] == NOW
    ]
    cells = [
        [label, *(f"{size:.1f}" for size in sizes), f"{MOST_MEBIBYTES}"]
        for label, *sizes in zip(labels, *series.values(), strict=True)
    ]
    header = ["abandoned so far, ledger", *(f"resident MiB {one}" for one in series)]
    chart = Chart("resident memory, MiB", labels, series, bound=MOST_MEBIBYTES)
    return [Table("memory", [*header, "at most"], cells, chart)]
