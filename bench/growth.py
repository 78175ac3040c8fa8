"""What an RPC costs when the ledger has grown."""

from contextlib import ExitStack, closing
from statistics import median

from bench.cost import in_turns
from bench.load import Step, sign_up
from bench.meter import median_ratio
from bench.rows import Rows
from bench.site import DATABASES, Site
from bench.table import Table

SIZES = (1_000, 1_000_000)
SMOKE_SIZES = (100, 200)
# How much more an RPC may cost in the large ledger than in the small one.
MOST_TIMES = 1.2


def measure(site: Site, *, smoke: bool) -> list[Table]:
    """Measure each RPC in a small ledger and in a large one, in turns."""
    sizes, calls, rounds = (SMOKE_SIZES, 20, 1) if smoke else (SIZES, 300, 6)
    names = [f"{size:,} rows" for size in sizes]
    header = ["CPU µs of, with its ledger", *names, "large / small", "at most"]
    table = Table("growth", header)
    for database in DATABASES:
        with ExitStack() as resources:
            servers = {
                name: resources.enter_context(site.instant(database)) for name in names
            }
            for size, server in zip(sizes, servers.values(), strict=True):
                sign_up(
                    server, site.postgres, calls
                )  # warms up, and leaves rows to copy
                with closing(Rows(server.settings["LEDGER_URL"])) as rows:
                    rows.add_final(max(0, size - rows.count()))
            costs = in_turns(site, servers, calls, range(rounds))
        for step in (Step.START, Step.VERIFY, Step.GET):
            few, many = (
                [cost.cpu + cost.database_cpu for cost in costs[name, step]]
                for name in names
            )
            figures = [f"{median(few):.0f}", f"{median(many):.0f}"]
            figures += [f"{median_ratio(many, few):.2f}", f"{MOST_TIMES}"]
            table.rows.append([f"{step}, {database}", *figures])
    return [table]
