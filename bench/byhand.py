"""What signupd adds to the same sign-up by hand: direct calls to a real Kratos.

Each way has a Kratos of its own, since a Kratos calls its hooks at one place only. They
are set up alike, with bcrypt at cost 12, and take turns. All share the cores and
PostgreSQL, so what signupd uses is taken from Kratos.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, cycle, islice, permutations, product
from statistics import median

from bench.load import Step, addresses
from bench.meter import cpu_seconds, median_ratio
from bench.site import DATABASES, NOW, Site, StandIn, port_of
from bench.table import Table
from bench.ways import Way, by_hand, through_signupd, walk
from devstack.mailbox import Mailbox
from devstack.process import Process

DIRECT = "direct"
MS = 1000
STEPS = (Step.START, Step.VERIFY, Step.SET_PASSWORD)
# Of StartSignup and VerifyCode, with one person at a time, at p50.
MOST_ADDED_MS = 5
LEAST_RATE_PERCENT = 94
# By the number of people at once.
MOST_CPU_PERCENT = {1: 7.5, 16: 6.0}
# How many people come in a round, by the number at once.
CROWDS = {1: 16, 16: 40}
SMOKE_CROWDS = {1: 2, 16: 2}
# Three ways have six orders, and each comes once.
ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Path:
    """A way to an account, and what is measured on it.

    Attributes:
        way: Makes the way, for so many people at once.
        kratos: The Kratos behind it.
        database: Of Kratos, and perhaps of signupd.
        service: The signupd that it goes through, if any.
    """

    way: Callable[[int], AbstractAsyncContextManager[Way]]
    kratos: Process
    database: Process
    service: Process | None = None

    def cpu_seconds(self) -> dict[str, float]:
        """Measure the processor time used so far, by what used it."""
        return {
            "kratos": cpu_seconds(self.kratos),
            "database": cpu_seconds(self.database),
            "service": cpu_seconds(self.service) if self.service else 0.0,
        }


@dataclass(frozen=True, slots=True)
class Round:
    """How a crowd fared.

    Attributes:
        waits: Milliseconds that each person waited, by step.
        rate: Sign-ups a second.
        cpu_ms: Processor time of one sign-up, by what used it, the sending of its mail
            included.
    """

    waits: dict[Step, list[float]]
    rate: float
    cpu_ms: dict[str, float]


@dataclass(frozen=True, slots=True)
class Crowd:
    """The rounds of all ways with so many people at once and a ledger.

    Attributes:
        concurrency: People at once.
        name: Of its lines in the tables.
        rounds: By way.
    """

    concurrency: int
    name: str
    rounds: dict[str, list[Round]]

    def p50_ms(self, way: str, step: Step) -> float:
        """Give the median wait at a step, over all rounds."""
        return median(chain.from_iterable(one.waits[step] for one in self.rounds[way]))

    def cpu_ms(self, way: str, name: str) -> list[float]:
        """Give the processor time of one sign-up, for each round."""
        return [one.cpu_ms[name] for one in self.rounds[way]]


def measure(site: Site, *, smoke: bool) -> list[Table]:
    """Go all ways in turns, in several rounds and different orders."""
    sizes, rounds = (SMOKE_CROWDS, 1) if smoke else (CROWDS, ROUNDS)
    crowds = [
        crowd
        for ledger in (DATABASES[:1] if smoke else DATABASES)
        for crowd in _crowds(site, ledger, sizes, rounds)
    ]
    crowds.sort(key=lambda crowd: crowd.concurrency)
    versions = list(site.versions)
    return [_steps(crowds, versions), _whole(crowds, versions), _cpu(crowds, versions)]


def _crowds(site: Site, ledger: str, sizes: dict[int, int], rounds: int) -> list[Crowd]:
    with _paths(site, ledger) as (mailbox, paths):
        crowds = [
            Crowd(one, f"{one}, {ledger}", {way: [] for way in paths}) for one in sizes
        ]
        for path in paths.values():  # warms up connections and caches
            _walk(path, mailbox, max(sizes), sizes[max(sizes)])
        for order in islice(cycle(permutations(paths)), rounds):
            for crowd, way in product(crowds, order):
                size = sizes[crowd.concurrency]
                walked = _walk(paths[way], mailbox, crowd.concurrency, size)
                crowd.rounds[way].append(walked)
    return crowds


@contextmanager
def _paths(site: Site, ledger: str) -> Iterator[tuple[Mailbox, dict[str, Path]]]:
    """Start what all ways need."""
    with site.on_all_cores(), Mailbox() as mailbox, ExitStack() as resources:
        direct = resources.enter_context(site.kratos(mailbox.uri))
        resources.enter_context(StandIn(*[port_of(direct.hook_url)] * 2))
        urls = direct.public_url, direct.admin_url
        hand = partial(by_hand, *urls)
        paths = {DIRECT: Path(hand, direct, site.postgres)}
        for version in site.versions:
            kratos = resources.enter_context(site.kratos(mailbox.uri))
            server = resources.enter_context(
                site.signupd(kratos, ledger, version, cores=site.all_cores)
            )
            way = partial(through_signupd, server.target)
            paths[version] = Path(way, kratos, site.postgres, server)
        yield mailbox, paths


def _walk(path: Path, mailbox: Mailbox, concurrency: int, size: int) -> Round:
    """Have a crowd sign up."""
    before = path.cpu_seconds()
    way = path.way(concurrency)
    walked = walk(way, mailbox, addresses(size), concurrency)
    spent = path.cpu_seconds()
    cpu_ms = {name: (spent[name] - before[name]) / size * MS for name in spent}
    waits = {step: [one[step] * MS for one in walked.waits] for step in STEPS}
    # With one person at a time the wait for the mail is left out: the courier looks for
    # mails ten times a second, and the few milliseconds in question vanish in that.
    waited = sum(map(sum, waits.values())) / MS
    rate = size / (walked.seconds if concurrency > 1 else waited)
    return Round(waits, rate, cpu_ms)


def _steps(crowds: list[Crowd], versions: list[str]) -> Table:
    """Show how much longer each step takes than by hand."""
    header = ["step, people at once, ledger", "p50 ms direct"]
    header += [f"added {version}" for version in versions]
    table = Table("byhand", [*header, "in the rounds", "at most"])
    for step, crowd in product(STEPS, crowds):
        direct = crowd.p50_ms(DIRECT, step)
        added = [crowd.p50_ms(version, step) - direct for version in versions]
        # Of each round by itself.
        both = zip(crowd.rounds[DIRECT], crowd.rounds[NOW], strict=True)
        single = [
            median(now.waits[step]) - median(hand.waits[step]) for hand, now in both
        ]
        bounded = crowd.concurrency == 1 and step is not Step.SET_PASSWORD
        table.rows.append(
            [
                f"{step}, {crowd.name}",
                *(f"{value:.1f}" for value in (direct, *added)),
                f"{min(single):.1f} to {max(single):.1f}",
                f"{MOST_ADDED_MS}" if bounded else "",
            ]
        )
    return table


def _whole(crowds: list[Crowd], versions: list[str]) -> Table:
    """Show how many whole sign-ups there are in a second."""
    header = ["people at once, ledger", "sign-ups/s direct", *versions]
    header += [f"{version} / direct" for version in versions]
    table = Table("byhand-whole", [*header, "at least"])
    for crowd in crowds:
        direct, *others = (
            [one.rate for one in crowd.rounds[way]] for way in (DIRECT, *versions)
        )
        cells = [f"{median(rates):.2f}" for rates in (direct, *others)]
        cells += [f"{median_ratio(rates, direct) * 100:.1f} %" for rates in others]
        table.rows.append([crowd.name, *cells, f"{LEAST_RATE_PERCENT} %"])
    return table


def _cpu(crowds: list[Crowd], versions: list[str]) -> Table:
    """Show what processor time a sign-up takes, in milliseconds."""
    header = ["people at once, ledger", "Kratos' CPU ms direct"]
    header += [f"signupd's {version}" for version in versions]
    header += [f"share {version}" for version in versions]
    header += ["at most", "PostgreSQL's CPU ms direct"]
    header += [f"more of it {version}" for version in versions]
    table = Table("byhand-cpu", header)
    for crowd in crowds:
        cells = [f"{median(crowd.cpu_ms(DIRECT, 'kratos')):.0f}"]
        cells += [f"{median(crowd.cpu_ms(one, 'service')):.1f}" for one in versions]
        for version in versions:
            kratos = crowd.cpu_ms(version, "kratos")
            share = median_ratio(crowd.cpu_ms(version, "service"), kratos)
            cells.append(f"{share * 100:.1f} %")
        database = median(crowd.cpu_ms(DIRECT, "database"))
        cells += [f"{MOST_CPU_PERCENT[crowd.concurrency]} %", f"{database:.1f}"]
        for version in versions:
            more = median(crowd.cpu_ms(version, "database")) - database
            cells.append(f"{more:.1f}")
        table.rows.append([crowd.name, *cells])
    return table
