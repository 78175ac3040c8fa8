"""What each RPC costs the processor, where Kratos answers at once."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from statistics import median

from bench.echo import Echo
from bench.load import Cost, Step, following, send, sign_up
from bench.meter import MICROS, cpu_seconds, median_ratio, on_cores
from bench.site import BEFORE, DATABASES, NOW, Site
from bench.table import Table
from devstack.server import Signupd

# By the server's name and the step: a cost for each round.
Costs = defaultdict[tuple[str, Step], list[Cost]]

# The lines of the table: the RPCs that each adds up.
WHOLE = "whole sign-up"
ECHO = "an RPC that does nothing"
LINES: dict[str, Sequence[Step]] = {step: (step,) for step in Step}
LINES[WHOLE] = (Step.START, Step.VERIFY, Step.SET_PASSWORD)
MOST_TIMES = 1.5


def measure(site: Site, *, smoke: bool) -> list[Table]:
    """Measure each RPC of each version, in turns."""
    calls, rounds = (20, 1) if smoke else (300, 6)
    versions = list(site.versions)
    compared = BEFORE in versions
    header = ["RPC and ledger", *(f"CPU µs {version}" for version in versions)]
    header += ["now / before"] if compared else []
    header += ["at most"]
    header += [f"database's CPU µs {version}" for version in versions]
    table = Table("cost", header)
    for database in DATABASES:
        with ExitStack() as resources:
            servers: dict[str, Signupd] = {
                version: resources.enter_context(site.instant(database, version))
                for version in versions
            }
            in_turns(site, servers, calls, range(1))  # warms up
            costs = in_turns(site, servers, calls, range(rounds))
        for line in LINES:
            cells = _cells(costs, line, versions)
            table.rows.append([f"{line}, {database}", *cells])
    row = dict.fromkeys(header, "") | {f"CPU µs {NOW}": f"{_echo(site, calls):.0f}"}
    table.rows.append([ECHO, *[*row.values()][1:]])
    return [table]


def _echo(site: Site, calls: int) -> float:
    """Measure the least that an RPC costs, in microseconds."""
    with on_cores(site.measured):
        server = Echo()
        server.start()
    with closing(server):
        requests = following(Step.VERIFY, ["x"] * calls)
        send(server.target, Step.GET, requests)  # warms up
        before = cpu_seconds(server)
        send(server.target, Step.GET, requests)
        return (cpu_seconds(server) - before) / calls * MICROS


def in_turns(
    site: Site, servers: Mapping[str, Signupd], calls: int, rounds: Iterable[int]
) -> Costs:
    """Have so many people sign up with each server, in rounds of alternating order."""
    costs: Costs = defaultdict(list)
    for number in rounds:
        for name in sorted(servers, reverse=bool(number % 2)):
            spent = sign_up(servers[name], site.postgres, calls)
            for step, cost in spent.items():
                costs[name, step].append(cost)
    return costs


def _cells(costs: Costs, line: str, versions: list[str]) -> list[str]:
    """Show medians over the rounds; ratios are the medians of the rounds'."""
    cpu, ledger = (
        {one: _sums(costs, kind, one, line) for one in versions}
        for kind in ("cpu", "database_cpu")
    )
    cells = [f"{median(cpu[version]):.0f}" for version in versions]
    if BEFORE in versions:
        cells.append(f"{median_ratio(cpu[NOW], cpu[BEFORE]):.2f}")
    cells.append(f"{MOST_TIMES}" if line == WHOLE and BEFORE in versions else "")
    return [*cells, *(f"{median(ledger[version]):.0f}" for version in versions)]


def _sums(costs: Costs, kind: str, name: str, line: str) -> list[float]:
    """Give the microseconds of a line, for each round."""
    rpcs = ([getattr(cost, kind) for cost in costs[name, step]] for step in LINES[line])
    return [sum(one) for one in zip(*rpcs, strict=True)]
