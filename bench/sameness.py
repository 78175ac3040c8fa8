"""Free and taken addresses: whether their times tell them apart, on a real Kratos."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

import grpc
import httpx

from bench import people
from bench.guessing import chance, deviation
from bench.meter import MICROS
from bench.site import POSTGRESQL, Behind
from bench.strangers import SETTINGS, timed
from bench.table import Chart, Table
from devstack.mailbox import Mailbox
from devstack.ports import free_ports
from devstack.server import NO_PROXY

if TYPE_CHECKING:
    from bench.site import Site
    from bench.strangers import Times
    from devstack.kratos import Kratos

Json = dict[str, Any]

PAIRS = 1500
# Where the kinds do not differ, chance alone exceeds this once in 10 000 times: it is
# 3.8 standard deviations away from one half.
MOST_CHANCE = 0.54
AT_ONCE = 100
MICROS_PER_MS = 1000


def measure(site: Site, *, smoke: bool) -> list[Json]:
    """Time every RPC before the proof, for free and taken addresses in turns."""
    pairs = 5 if smoke else PAIRS
    (hook,) = free_ports(1)
    with Mailbox() as mailbox, site.kratos(mailbox.uri, hook) as kratos:
        taken = people.addresses(pairs)
        for start in range(0, pairs, AT_ONCE):
            _import(kratos, taken[start : start + AT_ONCE])
        behind = Behind(kratos.public_url, kratos.admin_url, hook)
        with (
            site.signupd(behind, POSTGRESQL, settings=SETTINGS) as served,
            grpc.insecure_channel(served.target, NO_PROXY) as channel,
        ):
            times = timed(channel, taken)
    return [{"rpc": name, **_summary(one)} for name, one in times.items()]


def _summary(times: Times) -> Json:
    """Tell the medians, and how often somebody is right who guesses by the times."""
    free, taken = times.free, times.taken
    return {
        "pairs": len(free),
        "free_micros": round(median(free) * MICROS),
        "taken_micros": round(median(taken) * MICROS),
        # By whichever of the two rules serves better.
        "guessed_right": round(max(chance(taken, free), chance(free, taken)), 4),
    }


def _import(kratos: Kratos, emails: list[str]) -> None:
    """Make accounts as an operator would, past the service."""
    bodies = [{"schema_id": "user", "traits": {"email": one}} for one in emails]
    answer = httpx.patch(
        f"{kratos.admin_url}/admin/identities",
        json={"identities": [{"create": body} for body in bodies]},
        timeout=60.0,
        trust_env=False,
    )
    answer.raise_for_status()


def tables(rows: list[Json]) -> list[Table]:
    """Show how well an observer guesses."""
    cells = [
        [
            row["rpc"],
            str(row["pairs"]),
            f"{row['free_micros'] / MICROS_PER_MS:.2f}",
            f"{row['taken_micros'] / MICROS_PER_MS:.2f}",
            f"{row['guessed_right'] * 100:.1f} %",
            f"{deviation(row['pairs'], row['pairs']) * 100:.1f} %",
            f"{MOST_CHANCE * 100:.0f} %",
        ]
        for row in rows
    ]
    header = [
        "RPC",
        "samples of each",
        "free, median ms",
        "taken, median ms",
        "guessed right",
        "chance's own deviation",
        "at most",
    ]
    chart = Chart(
        "guessed right, %",
        [row["rpc"] for row in rows],
        {"": [row["guessed_right"] * 100 for row in rows]},
        bound=MOST_CHANCE * 100,
    )
    return [Table("sameness", header, cells, chart)]
