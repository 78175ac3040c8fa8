"""What a server needs besides its calls: start-up, memory, and the sweeper's work."""

import json
import time
from contextlib import ExitStack, closing
from datetime import datetime
from itertools import pairwise
from statistics import median

from bench.load import Step, send, starts
from bench.meter import MICROS, cpu_seconds, on_cores, percentile, resident_mebibytes
from bench.rows import Rows
from bench.site import DATABASES, NOW, Site
from bench.table import Table
from devstack.server import Signupd

STARTS = 10
MOST_SECONDS_TO_START = 1.0
# How many sign-ups have been abandoned when memory is looked at.
ABANDONED = (0, 1_000, 10_000)
SMOKE_ABANDONED = (0, 10, 20)
MOST_MEBIBYTES = 110
# The sweeper's backlog, and the calls a second beside it: fewer than a server can do,
# so that no queue builds up. After each slice the backlog is looked at.
DUE, SMOKE_DUE = 30_000, 200
RATE = 120
SLICE_SECONDS, SMOKE_SLICE_SECONDS = 5.0, 0.5
QUIET_SLICES = 4
# A sweeper that takes longer for the backlog is stuck.
MOST_SECONDS_TO_SWEEP = 600
# How much longer the slowest call in a hundred may take meanwhile.
MOST_TIMES = 2.0
STARTUP = [
    "version, ledger",
    "seconds until it serves",
    "longest",
    "at most",
    "CPU seconds",
]
SWEEPING = [
    "ledger",
    "rows swept per second",
    "StartSignup p99 in peace, ms",
    "p99 beside the sweeper, ms",
    "times",
    "at most",
    "memory grown by, MiB",
]


def measure(site: Site, *, smoke: bool) -> list[Table]:
    """Measure all three with one server of each version and database."""
    startup = Table("startup", STARTUP)
    versions = [f"resident MiB {version}" for version in site.versions]
    memory = Table("memory", ["after, ledger", *versions, "at most"])
    sweeping = Table("sweeping", SWEEPING)
    counts = SMOKE_ABANDONED if smoke else ABANDONED
    labels = ["the first start", "start-up"]
    labels += [f"{count:,} abandoned" for count in counts[1:]]
    for database in DATABASES:
        with ExitStack() as resources:
            servers = {
                version: resources.enter_context(
                    site.instant(database, version, SWEEP_INTERVAL="1s")
                )
                for version in site.versions
            }
            first = [resident_mebibytes(server) for server in servers.values()]
            started = _starts(site, servers, 1 if smoke else STARTS)
            startup.rows += [
                [f"{version}, {database}", *cells] for version, cells in started.items()
            ]
            columns = [_abandon(server, counts) for server in servers.values()]
            memory.rows += [
                [f"{label}, {database}", *(f"{held:.1f}" for held in line), limit]
                for label, line in zip(
                    labels, [first, *zip(*columns, strict=True)], strict=True
                )
                for limit in [f"{MOST_MEBIBYTES}"]
            ]
            sweeping.rows.append([database, *_sweep(servers[NOW], smoke=smoke)])
    return [memory, sweeping, startup]


def _starts(
    site: Site, servers: dict[str, Signupd], count: int
) -> dict[str, list[str]]:
    """Start each version again and again, in turns; its ledger is up to date."""
    starts: dict[str, list[tuple[float, float]]] = {one: [] for one in servers}
    for _ in range(count):
        for version, server in servers.items():
            server.stop()
            begun = time.time()
            with on_cores(site.measured):
                server.start()
            starts[version].append((_serving(server) - begun, cpu_seconds(server)))
    cells = {}
    for version, some in starts.items():
        seconds, used = zip(*some, strict=True)
        figures = (median(seconds), max(seconds), MOST_SECONDS_TO_START, median(used))
        cells[version] = [f"{figure:.2f}" for figure in figures]
    return cells


def _serving(server: Signupd) -> float:
    """Read from the log when it began to serve last, in seconds of the Unix epoch.

    The server is asked whether it serves only now and then, and costs time to ask.
    """
    lines = [line for line in server.log().splitlines() if '"serving"' in line]
    return datetime.fromisoformat(json.loads(lines[-1])["timestamp"]).timestamp()


def _abandon(server: Signupd, counts: tuple[int, ...]) -> list[float]:
    """Start sign-ups and leave them; give the memory after each count."""
    held = [resident_mebibytes(server)]
    for before, count in pairwise(counts):
        send(server.target, Step.START, starts(count - before))
        held.append(resident_mebibytes(server))
    return held


def _sweep(server: Signupd, *, smoke: bool) -> list[str]:
    """Have people start at an even rate, first in peace, then beside the sweeper."""
    due = SMOKE_DUE if smoke else DUE
    seconds = SMOKE_SLICE_SECONDS if smoke else SLICE_SECONDS
    quiet = [one for _ in range(QUIET_SLICES) for one in _slice(server, seconds)]
    swept: list[int] = []
    before = most = resident_mebibytes(server)
    with closing(Rows(server.settings["LEDGER_URL"])) as rows:
        rows.add_due(due)
        begun = time.monotonic()
        # The backlog may be gone before the first slice.
        while not swept or rows.due():
            if time.monotonic() > begun + MOST_SECONDS_TO_SWEEP:
                raise TimeoutError(f"{rows.due()} rows are not swept")
            swept += _slice(server, seconds)
            most = max(most, resident_mebibytes(server))
    peace, beside = (percentile(one, 99) / MICROS * 1000 for one in (quiet, swept))
    return [
        f"{due / (time.monotonic() - begun):.0f}",
        f"{peace:.1f}",
        f"{beside:.1f}",
        f"{beside / peace:.2f}",
        f"{MOST_TIMES:.0f}",
        f"{most - before:.1f}",
    ]


def _slice(server: Signupd, seconds: float) -> list[int]:
    """Give the latencies, in microseconds."""
    requests = starts(int(RATE * seconds))
    return send(server.target, Step.START, requests, RATE).micros
