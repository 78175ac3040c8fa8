"""What signupd adds to the same sign-up by hand: direct calls to a real Kratos.

Each way has a Kratos of its own, since a Kratos asks its hooks at one place only; they
are set up alike, bcrypt at cost 12, and one way at a time is gone. All share the cores,
and PostgreSQL, so what signupd uses is taken from Kratos.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import chain, cycle, islice, permutations, product
from statistics import median
from typing import TYPE_CHECKING, Any

from bench import people, ways
from bench.cpu import cpu_seconds
from bench.meter import MICROS, median_ratio, percentile
from bench.people import SET_PASSWORD, START, VERIFY
from bench.programs import running
from bench.site import BEFORE, DATABASES, NOW, Behind
from bench.table import Chart, Table
from devstack.mailbox import Mailbox
from devstack.ports import LOOPBACK, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.site import Site
    from bench.ways import Path

Json = dict[str, Any]

DIRECT = "direct"
MICROS_PER_MS = 1000
MS_PER_SECOND = 1000

# By the names of go/signups.
STEPS = {START: "start", VERIFY: "verify", SET_PASSWORD: "finish"}
# Of StartSignup and VerifyCode, with one person at a time, at p50.
MOST_ADDED_MS = 5
LEAST_RATE_PERCENT = 94
# By the number of people at once.
MOST_CPU_PERCENT = {1: 7.5, 16: 6.0}


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who comes; each goes all the way.

    Attributes:
        concurrency: People under way at the same time.
        people: How many come in a round.
    """

    concurrency: int
    people: int


CROWDS = (Crowd(concurrency=1, people=20), Crowd(concurrency=16, people=56))
SMOKE_CROWDS = (Crowd(concurrency=1, people=2), Crowd(concurrency=16, people=2))
# Before it is measured: connections and caches.
WARM_UP = Crowd(concurrency=16, people=32)
# Three ways have six orders, and each comes once.
ROUNDS = 6


def measure(site: Site, *, smoke: bool) -> list[Json]:
    """Go all ways in turns, in several rounds and different orders."""
    crowds, rounds = (SMOKE_CROWDS, 1) if smoke else (CROWDS, ROUNDS)
    rows: list[Json] = []
    for ledger in DATABASES[:1] if smoke else DATABASES:
        with _paths(site, ledger) as (mailbox, paths):
            for path in paths.values():
                _walk(site, path, mailbox, SMOKE_CROWDS[0] if smoke else WARM_UP)
            orders = islice(cycle(permutations(paths)), rounds)
            for order, crowd in product(orders, crowds):
                for way in order:
                    walked = _walk(site, paths[way], mailbox, crowd)
                    rows.append({"ledger": ledger, "way": way, **walked})
    return rows


@contextmanager
def _paths(site: Site, ledger: str) -> Iterator[tuple[Mailbox, dict[str, Path]]]:
    """Start what all ways need."""
    (by_hand,) = free_ports(1)
    command = [str(site.program("hooks")), f"-listen={LOOPBACK}:{by_hand}"]
    with site.on_all_cores(), Mailbox() as mailbox, ExitStack() as resources:
        resources.enter_context(running(command, by_hand))
        direct = resources.enter_context(site.kratos(mailbox.uri, by_hand))
        paths = {DIRECT: ways.by_hand(site, direct)}
        for version in site.versions:
            (hook,) = free_ports(1)
            kratos = resources.enter_context(site.kratos(mailbox.uri, hook))
            behind = Behind(kratos.public_url, kratos.admin_url, hook)
            served = resources.enter_context(
                site.signupd(behind, ledger, version, cores=site.all_cores)
            )
            paths[version] = ways.through(site, kratos, served)
        yield mailbox, paths


def _walk(site: Site, path: Path, mailbox: Mailbox, crowd: Crowd) -> Json:
    """Have a crowd sign up; the processor time has the sending of mails in it."""
    emails = people.addresses(crowd.people)
    before = _spent(path)
    manner = f"-concurrency={crowd.concurrency}"
    walked = ways.walk(site, path, mailbox, emails, manner)
    cpu = {name: round(spent - before[name], 4) for name, spent in _spent(path).items()}
    return {**asdict(crowd), "cpu_seconds": cpu, **asdict(walked)}


def _spent(path: Path) -> dict[str, float]:
    return {name: sum(map(cpu_seconds, pids)) for name, pids in path.pids.items()}


def tables(rows: list[Json]) -> list[Table]:
    """Show what is waited for, how many sign-ups there are, and what they cost."""
    crowds = list(dict.fromkeys((row["concurrency"], row["ledger"]) for row in rows))
    crowds.sort(key=lambda crowd: crowd[0])
    there = {row["way"] for row in rows}
    versions = [one for one in (BEFORE, NOW) if one in there]
    found = {
        (way, *crowd): [
            row
            for row in rows
            if (row["way"], row["concurrency"], row["ledger"]) == (way, *crowd)
        ]
        for way, crowd in product((DIRECT, *versions), crowds)
    }
    made = Made(crowds, versions, found)
    return [_steps(made), _whole(made), _cpu(made)]


@dataclass(frozen=True, slots=True)
class Made:
    """What was measured.

    Attributes:
        crowds: How many people at once, and the ledger.
        versions: Those of signupd.
        rows: By way and crowd, a row for each round.
    """

    crowds: list[tuple[int, str]]
    versions: list[str]
    rows: dict[tuple[str, int, str], list[Json]]


def _steps(made: Made) -> Table:
    """Show what waiting is added to each step."""
    cells, labels = [], []
    series: dict[str, list[float]] = {one: [] for one in made.versions}
    for step, crowd in product(STEPS, made.crowds):
        bounded = crowd[0] == 1 and step is not SET_PASSWORD
        labels.append(f"{step.name}, {_name(crowd)}")
        direct, *added = _added(made, crowd, step, 50)
        for values, value in zip(series.values(), added, strict=True):
            values.append(value)
        line = [direct, *added, *_added(made, crowd, step, 99)]
        figures = [f"{value:.1f}" for value in line]
        bound = _spread(made, crowd, step), f"{MOST_ADDED_MS}" if bounded else ""
        figures[len(added) + 1 : len(added) + 1] = bound
        cells.append([labels[-1], *figures])
    header = ["step, people at once, ledger", "p50 ms direct"]
    header += [f"added {version}" for version in made.versions]
    header += ["in the rounds", "at most", "p99 ms direct"]
    header += [f"added {version}" for version in made.versions]
    return Table("byhand", header, cells, Chart("added at p50, ms", labels, series))


def _added(
    made: Made, crowd: tuple[int, str], step: people.Step, percent: float
) -> list[float]:
    """Give what is waited for by hand, and what each version adds."""
    direct, *others = (
        _waited(made.rows[way, *crowd], step, percent)
        for way in (DIRECT, *made.versions)
    )
    return [direct, *(waited - direct for waited in others)]


def _waited(rows: list[Json], step: people.Step, percent: float) -> float:
    """Give a percentile of all rounds together, in milliseconds."""
    micros = [*chain.from_iterable(row[STEPS[step]] for row in rows)]
    return percentile(micros, percent) / MICROS_PER_MS


def _spread(made: Made, crowd: tuple[int, str], step: people.Step) -> str:
    """Tell between what the added p50 lies when each round is taken by itself."""
    both = zip(made.rows[DIRECT, *crowd], made.rows[NOW, *crowd], strict=True)
    added = [
        _waited([now], step, 50) - _waited([direct], step, 50) for direct, now in both
    ]
    return f"{min(added):.1f} to {max(added):.1f}"


def _whole(made: Made) -> Table:
    """Show how many whole sign-ups there are in a second."""
    cells = []
    series: dict[str, list[float]] = {one: [] for one in made.versions}
    for crowd in made.crowds:
        direct, *others = (
            [_rate(row) for row in made.rows[way, *crowd]]
            for way in (DIRECT, *made.versions)
        )
        for values, rates in zip(series.values(), others, strict=True):
            values.append(median_ratio(rates, direct) * 100)
        line = [f"{median(rates):.2f}" for rates in (direct, *others)]
        line += [f"{values[-1]:.1f} %" for values in series.values()]
        cells.append([_name(crowd), *line, f"{LEAST_RATE_PERCENT} %"])
    header = ["people at once, ledger", "sign-ups/s direct", *made.versions]
    header += [f"{version} / direct" for version in made.versions]
    header += ["at least"]
    labels = [_name(crowd) for crowd in made.crowds]
    chart = Chart("sign-ups/s, % of direct", labels, series, bound=LEAST_RATE_PERCENT)
    return Table("byhand-whole", header, cells, chart)


def _cpu(made: Made) -> Table:
    """Show what processor time a sign-up takes, in milliseconds."""
    cells = []
    series: dict[str, list[float]] = {one: [] for one in made.versions}
    for crowd in made.crowds:
        used = {
            (way, name): [_cpu_ms(row, name) for row in made.rows[way, *crowd]]
            for way in (DIRECT, *made.versions)
            for name in ("service", "kratos", "database")
        }
        for version, values in series.items():
            ratio = median_ratio(used[version, "service"], used[version, "kratos"])
            values.append(ratio * 100)
        database = median(used[DIRECT, "database"])
        line = [f"{median(used[DIRECT, 'kratos']):.0f}"]
        line += [f"{median(used[one, 'service']):.1f}" for one in made.versions]
        line += [f"{values[-1]:.1f} %" for values in series.values()]
        line += [f"{MOST_CPU_PERCENT[crowd[0]]} %", f"{database:.1f}"]
        line += [
            f"{median(used[version, 'database']) - database:.1f}"
            for version in made.versions
        ]
        cells.append([_name(crowd), *line])
    header = ["people at once, ledger", "Kratos' CPU ms direct"]
    header += [f"signupd's {version}" for version in made.versions]
    header += [f"share {version}" for version in made.versions]
    header += ["at most", "PostgreSQL's CPU ms direct"]
    header += [f"more of it {version}" for version in made.versions]
    labels = [_name(crowd) for crowd in made.crowds]
    return Table(
        "byhand-cpu", header, cells, Chart("CPU, % of Kratos'", labels, series)
    )


def _name(crowd: tuple[int, str]) -> str:
    return f"{crowd[0]}, {crowd[1]}"


def _rate(row: Json) -> float:
    """Tell how many sign-ups a second there were.

    With one person at a time the wait for the mail is left out: the courier looks for
    mails ten times a second, and the few milliseconds in question vanish in that.
    """
    if row["concurrency"] > 1:
        return float(row["people"] / row["seconds"])
    waited = sum(sum(row[step]) for step in STEPS.values())
    return float(row["people"] / waited * MICROS)


def _cpu_ms(row: Json, name: str) -> float:
    """Tell the processor time of one sign-up."""
    return float(row["cpu_seconds"][name] / row["people"] * MS_PER_SECOND)
