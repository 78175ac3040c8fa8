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

    from bench.site import Site
    from devstack.server import Signupd

Json = dict[str, Any]

# How many sign-ups have been abandoned when memory is looked at.
ABANDONED = {SQLITE: (1_000, 10_000, 30_000), POSTGRESQL: (1_000, 10_000)}
SMOKE_ABANDONED = (10, 20)
# With SQLite a server makes the ledger itself, and keeps some of the memory that takes.
FIRST_START, START_UP = "the first start", "start-up"
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
            first = FIRST_START, resident_bytes(served.pid)
            served.signupd.stop()
            served.signupd.start()
            counts = SMOKE_ABANDONED if smoke else ABANDONED[database]
            loaded = pool.submit(_abandon, site, served.signupd, counts)
            work.append((database, version, first, loaded))
        return [
            {"database": database, "version": version, "after": after, "bytes": held}
            for database, version, first, loaded in work
            for after, held in (first, *loaded.result())
        ]


def _abandon(
    site: Site, server: Signupd, counts: Sequence[int]
) -> list[tuple[str, int]]:
    """Start sign-ups and leave them; give the bytes held after so many."""
    pid = server.pid or 0
    seen = [(START_UP, resident_bytes(pid))]
    for before, count in pairwise((0, *counts)):
        requests = people.starts(people.addresses(count - before))
        site.load.send(server.target, START.method, requests)
        seen.append((f"{count:,} abandoned", resident_bytes(pid)))
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
        f"{row['after']}, {row['database']}" for row in rows if row["version"] == NOW
    ]
    cells = [
        [label, *(f"{size:.1f}" for size in sizes), f"{MOST_MEBIBYTES}"]
        for label, *sizes in zip(labels, *series.values(), strict=True)
    ]
    header = ["after, ledger", *(f"resident MiB {one}" for one in series)]
    chart = Chart("resident memory, MiB", labels, series, bound=MOST_MEBIBYTES)
    return [Table("memory", [*header, "at most"], cells, chart)]
