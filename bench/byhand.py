"""What signupd adds to the same sign-up by hand: direct calls to a real Kratos.

Each way has a Kratos of its own, since a Kratos asks its hooks at one place only; they
are set up alike, bcrypt at cost 12, and one way at a time is gone. Where all share the
cores, what signupd uses is taken from Kratos.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from operator import sub, truediv
from statistics import median
from typing import TYPE_CHECKING, Any

from bench import people
from bench.cpu import cpu_seconds, on_cores
from bench.meter import MICROS, percentile
from bench.people import SET_PASSWORD, START, VERIFY, Person
from bench.programs import running
from bench.site import POSTGRESQL, SQLITE, Behind
from bench.table import Chart, Table
from bench.ways import ByHand, Through
from devstack.mailbox import Mailbox
from devstack.ports import LOOPBACK, free_ports
from devstack.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.site import Site
    from bench.ways import Path

Json = dict[str, Any]

DIRECT, SERVICE = "direct", "signupd"
MICROS_PER_MS = 1000

# Those with a bound come first.
STEPS = (START, VERIFY, SET_PASSWORD)
MOST_ADDED_MS = {"p50": 2, "p99": 10}
BOUNDED = (START, VERIFY)
LEAST_RATE_PERCENT = 92
MOST_CPU_PERCENT = 6


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who comes at once.

    Attributes:
        concurrency: People under way at the same time.
        proving: How many prove their mailboxes; one call in a hundred is to be seen.
        finishing: How many of them set a password; that costs a quarter of a second.
    """

    concurrency: int
    proving: int
    finishing: int


CONCURRENCIES = (1, 16)
CROWDS = (Crowd(1, 150, 24), Crowd(16, 240, 64))
SMOKE_CROWDS = (Crowd(1, 2, 2), Crowd(16, 2, 2))
# Before it is measured: connections and caches.
WARM_UP = Crowd(16, 32, 16)
# Each way goes first as often as the other.
ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Setup:
    """How things are laid out.

    Attributes:
        ledger: The ledger's database.
        apart: Whether signupd and its ledger have a core of their own, which nobody
            else uses, on the direct way neither. Else all share all cores, and one
            PostgreSQL.
    """

    ledger: str
    apart: bool

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"{self.ledger}, {'own core' if self.apart else 'shared cores'}"


SETUPS = (
    Setup(SQLITE, apart=True),
    Setup(SQLITE, apart=False),
    Setup(POSTGRESQL, apart=True),
    Setup(POSTGRESQL, apart=False),
)


def measure(site: Site, *, smoke: bool) -> Json:
    """Go both ways in turns, in several rounds; who goes first takes turns too."""
    crowds, rounds = (SMOKE_CROWDS, 1) if smoke else (CROWDS, ROUNDS)
    rows: list[Json] = []
    for setup in SETUPS:
        with _paths(site, setup) as (mailbox, paths):
            for path in paths.values():
                _walk(path, mailbox, SMOKE_CROWDS[0] if smoke else WARM_UP)
            for number, crowd in product(range(rounds), crowds):
                for name in sorted(paths, reverse=bool(number % 2)):
                    known = {"setup": setup.name, "path": name, "round": number}
                    rows += [
                        {**known, **asdict(crowd), **row}
                        for row in _walk(paths[name], mailbox, crowd)
                    ]
    return {"rows": rows}


@contextmanager
def _paths(site: Site, setup: Setup) -> Iterator[tuple[Mailbox, dict[str, Path]]]:
    """Start what both ways need."""
    by_hand, ours = free_ports(2)
    command = [str(site.program("hooks")), f"-listen={LOOPBACK}:{by_hand}"]
    cores = site.measured if setup.apart else site.all_cores
    with (
        nullcontext() if setup.apart else site.on_all_cores(),
        _apart(site) if setup.apart else nullcontext() as ledgers,
        Mailbox() as mailbox,
        running(command, by_hand),
        site.kratos(mailbox.uri, by_hand) as direct,
        site.kratos(mailbox.uri, ours) as kratos,
    ):
        behind = Behind(kratos.public_url, kratos.admin_url, [ours])
        with site.signupd(behind, setup.ledger, None, cores, ledgers) as served:
            through = Through(site, kratos, served)
            yield mailbox, {DIRECT: ByHand(site, direct), SERVICE: through}


@contextmanager
def _apart(site: Site) -> Iterator[Postgres]:
    """Start a PostgreSQL on the core of what is measured."""
    with ExitStack() as resources:
        with on_cores(site.measured):
            postgres = resources.enter_context(Postgres(durable=True))
        yield postgres


def _walk(path: Path, mailbox: Mailbox, crowd: Crowd) -> list[Json]:
    """Have a crowd sign up, all of them a step at a time.

    The processor time has the sending of the mails in it, the latency has not.
    """
    rows = []
    walking = [Person(email) for email in people.addresses(crowd.proving)]
    for step in STEPS:
        if step is SET_PASSWORD:
            walking = walking[: crowd.finishing]
        before = _spent(path)
        taken = path.take(step, walking, crowd.concurrency)
        holding = zip(walking, taken.held, strict=True)
        walking = [replace(who, held=held) for who, held in holding]
        if step is START:
            mails = ((who, mailbox.wait_for(who.email)) for who in walking)
            walking = [replace(who, code=mail.code) for who, mail in mails]
        calls = len(walking)
        cpu_micros = {
            name: (after - before[name]) / calls * MICROS
            for name, after in _spent(path).items()
        }
        row = {"step": step.name, "calls": calls, "cpu_micros": cpu_micros}
        waits = {f"p{one}_micros": percentile(taken.micros, one) for one in (50, 99)}
        rows.append({**row, "seconds": taken.seconds, **waits})
    return rows


def _spent(path: Path) -> dict[str, float]:
    return {name: sum(map(cpu_seconds, pids)) for name, pids in path.pids.items()}


def tables(raw: Json) -> list[Table]:
    """Show medians over the rounds, of differences and shares too."""
    return [_steps(raw["rows"]), _whole(raw["rows"])]


def _steps(rows: list[Json]) -> Table:
    """Show what waiting is added to each step."""
    header, cells = ["step, people at once, ledger and signupd"], []
    labels: list[str] = []
    added: dict[str, list[float]] = {name: [] for name in MOST_ADDED_MS}
    for name in MOST_ADDED_MS:
        header += [f"{name} ms, direct", SERVICE, "added", "at most"]
    for step, concurrency, setup in product(STEPS, CONCURRENCIES, SETUPS):
        label = f"{step.name}, {concurrency}, {setup.name}"
        some = [row for row in _of(rows, setup) if row["step"] == step.name]
        line = [label]
        for name, most in MOST_ADDED_MS.items():
            direct, service = _both(some, concurrency, partial(_waited_ms, name))
            more = median(map(sub, service, direct))
            figures = (median(direct), median(service), more)
            line += [f"{figure:.1f}" for figure in figures]
            line.append(f"{most}" if step in BOUNDED else "")
            # Of SetPassword, what is added drowns in what bcrypt varies by.
            if step in BOUNDED:
                added[name].append(more)
        cells.append(line)
        labels += [label] if step in BOUNDED else []
    return Table("byhand", header, cells, Chart("added latency, ms", labels, added))


def _whole(rows: list[Json]) -> Table:
    """Show whole sign-ups: how many, and what processor time they take."""
    cells, ratios, shares = [], [], []
    for concurrency, setup in product(CONCURRENCIES, SETUPS):
        some = _of(rows, setup)
        direct, service = _both(some, concurrency, _rate)
        _, used = _both(some, concurrency, partial(_cpu_ms, "service"))
        _, kratos = _both(some, concurrency, partial(_cpu_ms, "kratos"))
        ratios.append(median(map(truediv, service, direct)) * 100)
        shares.append(median(map(truediv, used, kratos)) * 100)
        line = [f"{concurrency}, {setup.name}"]
        line += [f"{median(figures):.2f}" for figures in (direct, service)]
        line += [f"{ratios[-1]:.1f} %", f"{LEAST_RATE_PERCENT} %"]
        line += [f"{median(used):.1f}", f"{median(kratos):.0f}"]
        line += [f"{shares[-1]:.1f} %", f"{MOST_CPU_PERCENT} %"]
        cells.append(line)
    header = ["people at once, ledger and signupd"]
    header += ["sign-ups/s, direct", SERVICE, "ratio", "at least"]
    header += ["signupd's CPU ms", "Kratos' CPU ms", "share", "at most"]
    chart = Chart(
        "sign-ups/s, % of direct; CPU, % of Kratos'",
        [line[0] for line in cells],
        {"sign-ups/s": ratios, "CPU": shares},
    )
    return Table("byhand-whole", header, cells, chart)


def _of(rows: list[Json], setup: Setup) -> list[Json]:
    return [row for row in rows if row["setup"] == setup.name]


def _both(
    rows: list[Json], concurrency: int, figure: Callable[[list[Json]], float]
) -> tuple[list[float], list[float]]:
    """Make a figure of the rows of each round, for both ways."""
    made = []
    for path in (DIRECT, SERVICE):
        rounds: dict[int, list[Json]] = {}
        for row in rows:
            if (row["path"], row["concurrency"]) == (path, concurrency):
                rounds.setdefault(row["round"], []).append(row)
        made.append([figure(steps) for steps in rounds.values()])
    return made[0], made[1]


def _waited_ms(name: str, steps: list[Json]) -> float:
    """Tell the latency of the one step there is."""
    (step,) = steps
    return float(step[f"{name}_micros"]) / MICROS_PER_MS


def _rate(steps: list[Json]) -> float:
    """Tell how many whole sign-ups a second these steps let through."""
    return 1 / sum(float(step["seconds"]) / int(step["calls"]) for step in steps)


def _cpu_ms(name: str, steps: list[Json]) -> float:
    """Tell the processor time of a whole sign-up."""
    return sum(float(step["cpu_micros"][name]) for step in steps) / MICROS_PER_MS
