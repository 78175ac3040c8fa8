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
    from devstack.kratos import Kratos

Json = dict[str, Any]

PAIRS = 2000
# Better than this nobody may guess. Where the kinds do not differ, chance alone stays
# within 0.04 of one half but once in 100 000 times: that is 4.4 standard deviations.
MOST_CHANCE = 0.54
AT_ONCE = 100
MICROS_PER_MS = 1000


def measure(site: Site, *, smoke: bool) -> Json:
    """Time every RPC before the proof, for free and taken addresses in turns."""
    pairs = 5 if smoke else PAIRS
    (hook,) = free_ports(1)
    with Mailbox() as mailbox, site.kratos(mailbox.uri, hook) as kratos:
        taken = people.addresses(pairs)
        for start in range(0, pairs, AT_ONCE):
            _import(kratos, taken[start : start + AT_ONCE])
        behind = Behind(kratos.public_url, kratos.admin_url, [hook])
        with site.signupd(behind, POSTGRESQL, SETTINGS) as served:
            (target,) = served.targets
            with grpc.insecure_channel(target, NO_PROXY) as channel:
                times = timed(channel, taken)
    return {
        "rows": [
            {"rpc": name, "free": _micros(one.free), "taken": _micros(one.taken)}
            for name, one in times.items()
        ]
    }


def _micros(times: list[float]) -> list[int]:
    return [round(seconds * MICROS) for seconds in times]


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


def guessed_right(row: Json) -> float:
    """Tell how often somebody is right who guesses by the times, at his best."""
    return max(chance(row["taken"], row["free"]), chance(row["free"], row["taken"]))


def tables(raw: Json) -> list[Table]:
    """Show how well an observer guesses."""
    rows, labels, chances = [], [], []
    for row in raw["rows"]:
        free, taken = row["free"], row["taken"]
        guessed = guessed_right(row)
        rows.append(
            [
                row["rpc"],
                str(len(free)),
                f"{median(free) / MICROS_PER_MS:.2f}",
                f"{median(taken) / MICROS_PER_MS:.2f}",
                f"{guessed * 100:.1f} %",
                f"{deviation(len(free), len(taken)) * 100:.1f} %",
                f"{MOST_CHANCE * 100:.0f} %",
            ]
        )
        labels.append(row["rpc"])
        chances.append(guessed * 100)
    header = [
        "RPC",
        "samples of each",
        "free, median ms",
        "taken, median ms",
        "guessed right",
        "chance's own deviation",
        "at most",
    ]
    chart = Chart("guessed right, %", labels, {"": chances}, bound=MOST_CHANCE * 100)
    return [Table("sameness", header, rows, chart)]
