"""Free and taken addresses: whether their times tell them apart, on a real Kratos."""

from statistics import median

import grpc

from bench.load import addresses
from bench.site import POSTGRESQL, Site
from bench.strangers import SETTINGS, chance, deviation, timed
from bench.table import Table
from devstack.admin import Admin
from devstack.mailbox import Mailbox
from devstack.server import NO_PROXY

PAIRS = 800
# Where the kinds do not differ, chance alone exceeds this once in 400 times: it is 2.8
# standard deviations away from one half.
MOST_CHANCE = 0.54
AT_ONCE = 100
HEADER = [
    "RPC",
    "samples of each",
    "free, median ms",
    "taken, median ms",
    "guessed right",
    "chance's own deviation",
    "at most",
]


def measure(site: Site, *, smoke: bool) -> list[Table]:
    """Time every RPC before the proof, for free and taken addresses in turns."""
    pairs = 5 if smoke else PAIRS
    taken = addresses(pairs)
    with (
        Mailbox() as mailbox,
        site.kratos(mailbox.uri) as kratos,
        Admin(kratos.admin_url) as admin,
    ):
        for start in range(0, pairs, AT_ONCE):
            admin.import_accounts(taken[start : start + AT_ONCE])
        with (
            site.signupd(kratos, POSTGRESQL, settings=SETTINGS) as server,
            grpc.insecure_channel(server.target, NO_PROXY) as channel,
        ):
            times = timed(channel, taken)
    table = Table("sameness", HEADER)
    for name, one in times.items():
        # By whichever of the two rules serves an observer better.
        guessed = max(chance(one.taken, one.free), chance(one.free, one.taken))
        table.rows.append(
            [
                name,
                str(pairs),
                f"{median(one.free) * 1000:.2f}",
                f"{median(one.taken) * 1000:.2f}",
                f"{guessed * 100:.1f} %",
                f"{deviation(pairs, pairs) * 100:.1f} %",
                f"{MOST_CHANCE * 100:.0f} %",
            ]
        )
    return [table]
