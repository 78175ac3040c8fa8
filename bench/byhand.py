"""What signupd adds to the same sign-up by hand: direct calls to a real Kratos.

Each way has a Kratos of its own, since a Kratos asks its hooks at one place only; they
are set up alike, bcrypt at cost 12, and one way at a time is gone. All share the cores,
and PostgreSQL, so what signupd uses is taken from Kratos.
"""

from __future__ import annotations

import random
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain, product
from statistics import median
from typing import TYPE_CHECKING, Any

from bench import people, ways
from bench.cpu import cpu_seconds
from bench.meter import MICROS, percentile
from bench.people import SET_PASSWORD, START, VERIFY
from bench.programs import running
from bench.site import DATABASES, Behind
from bench.table import Chart, Table
from devstack.mailbox import Mailbox
from devstack.ports import LOOPBACK, free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.site import Site
    from bench.ways import Path

Json = dict[str, Any]
# What people waited in a round, in milliseconds: by hand, and through signupd.
Round = tuple[list[float], list[float]]

DIRECT, SERVICE = "direct", "signupd"
MICROS_PER_MS = 1000
MS_PER_SECOND = 1000

# By the names of go/signups.
STEPS = {START: "start", VERIFY: "verify", SET_PASSWORD: "finish"}
BOUNDED = (START, VERIFY)
MOST_ADDED_MS = {50: 2, 99: 10}
LEAST_RATE_PERCENT = 92
MOST_CPU_PERCENT = 6


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who comes, and how.

    Attributes:
        abreast: Whether all take a step before anybody takes the next one, and nobody
            the last; else each goes all the way.
        concurrency: People under way at the same time.
        people: How many come in a round.
    """

    abreast: bool
    concurrency: int
    people: int


CROWDS = (
    Crowd(abreast=False, concurrency=1, people=34),
    Crowd(abreast=False, concurrency=16, people=256),
    Crowd(abreast=True, concurrency=1, people=70),
    Crowd(abreast=True, concurrency=16, people=128),
)
SMOKE_CROWDS = tuple(Crowd(one.abreast, one.concurrency, 2) for one in CROWDS)
# Before it is measured: connections and caches.
WARM_UP = Crowd(abreast=False, concurrency=16, people=32)
# Each way goes first as often as the other.
ROUNDS = 6
# How often rounds, and calls of theirs, are drawn anew from those there were (the
# bootstrap), and which of what comes out is left out at each end: what remains is 95 %.
RESAMPLES = 400
LEFT_OUT_PERCENT = 2.5


def measure(site: Site, *, smoke: bool) -> Json:
    """Go both ways in turns, in several rounds; who goes first takes turns too."""
    crowds, rounds = (SMOKE_CROWDS, 1) if smoke else (CROWDS, ROUNDS)
    rows: list[Json] = []
    for ledger in DATABASES:
        with _paths(site, ledger) as (mailbox, paths):
            for path in paths.values():
                _walk(site, path, mailbox, SMOKE_CROWDS[0] if smoke else WARM_UP)
            for number, crowd in product(range(rounds), crowds):
                for name in sorted(paths, reverse=bool(number % 2)):
                    walked = _walk(site, paths[name], mailbox, crowd)
                    rows.append({"ledger": ledger, "path": name} | walked)
    return {"rows": rows}


@contextmanager
def _paths(site: Site, ledger: str) -> Iterator[tuple[Mailbox, dict[str, Path]]]:
    """Start what both ways need."""
    by_hand, ours = free_ports(2)
    command = [str(site.program("hooks")), f"-listen={LOOPBACK}:{by_hand}"]
    with (
        site.on_all_cores(),
        Mailbox() as mailbox,
        running(command, by_hand),
        site.kratos(mailbox.uri, by_hand) as direct,
        site.kratos(mailbox.uri, ours) as kratos,
    ):
        behind = Behind(kratos.public_url, kratos.admin_url, [ours])
        with site.signupd(behind, ledger, cores=site.all_cores) as served:
            yield (
                mailbox,
                {
                    DIRECT: ways.by_hand(site, direct),
                    SERVICE: ways.through(site, kratos, served),
                },
            )


def _walk(site: Site, path: Path, mailbox: Mailbox, crowd: Crowd) -> Json:
    """Have a crowd sign up; the processor time has the sending of mails in it."""
    emails = people.addresses(crowd.people)
    manner = f"-concurrency={crowd.concurrency}", f"-abreast={crowd.abreast}"
    before = _spent(path)
    walked = ways.walk(site, path, mailbox, emails, *manner)
    cpu = {name: spent - before[name] for name, spent in _spent(path).items()}
    return {**asdict(crowd), "cpu_seconds": cpu, **asdict(walked)}


def _spent(path: Path) -> dict[str, float]:
    return {name: sum(map(cpu_seconds, pids)) for name, pids in path.pids.items()}


def tables(raw: Json) -> list[Table]:
    """Show what is waited for by those who go all the way, and by those abreast."""
    rows = raw["rows"]
    whole = [row for row in rows if not row["abreast"]]
    abreast = [row for row in rows if row["abreast"]]
    return [
        _steps("byhand", whole, [*BOUNDED, SET_PASSWORD]),
        _whole(whole),
        _steps("byhand-abreast", abreast, [*BOUNDED]),
    ]


def _steps(name: str, rows: list[Json], steps: list[people.Step]) -> Table:
    """Show what waiting is added to each step."""
    header, cells = ["step, people at once, ledger"], []
    for percent in MOST_ADDED_MS:
        header += [f"p{percent} ms, direct", SERVICE, "added", "95 % of it", "at most"]
    labels: list[str] = []
    series: dict[str, list[float]] = {f"p{one}": [] for one in MOST_ADDED_MS}
    for step, concurrency, ledger in product(steps, _concurrencies(rows), DATABASES):
        rounds = list(
            zip(
                *(
                    _waits(_of(rows, ledger, path, concurrency), STEPS[step])
                    for path in (DIRECT, SERVICE)
                ),
                strict=True,
            )
        )
        line = [f"{step.name}, {concurrency}, {ledger}"]
        # Of SetPassword, what is added drowns in what bcrypt varies by.
        bounded = step in BOUNDED
        labels += line if bounded else []
        for percent, most in MOST_ADDED_MS.items():
            direct, service = _percentiles(rounds, percent)
            low, high = _interval(rounds, percent)
            figures = f"{direct:.1f}", f"{service:.1f}", f"{service - direct:.1f}"
            line += [*figures, f"{low:.1f} to {high:.1f}", str(most) if bounded else ""]
            if bounded:
                series[f"p{percent}"].append(service - direct)
        cells.append(line)
    return Table(name, header, cells, Chart("added latency, ms", labels, series))


def _percentiles(rounds: Sequence[Round], percent: float) -> tuple[float, float]:
    """Give a percentile of all rounds together, by hand and through signupd."""
    direct, service = (chain.from_iterable(one) for one in zip(*rounds, strict=True))
    return percentile([*direct], percent), percentile([*service], percent)


def _interval(rounds: list[Round], percent: int) -> tuple[float, float]:
    """Tell between what the difference of two percentiles would come out as a rule."""
    draw = random.Random(0)  # noqa: S311 - nothing to be kept from anybody
    added = []
    for _ in range(RESAMPLES):
        drawn = [
            (draw.choices(direct, k=len(direct)), draw.choices(service, k=len(service)))
            for direct, service in draw.choices(rounds, k=len(rounds))
        ]
        direct, service = _percentiles(drawn, percent)
        added.append(service - direct)
    return (
        percentile(added, LEFT_OUT_PERCENT),
        percentile(added, 100 - LEFT_OUT_PERCENT),
    )


def _whole(rows: list[Json]) -> Table:
    """Show whole sign-ups: how many, and what processor time they take."""
    cells, ratios, shares = [], [], []
    for concurrency, ledger in product(_concurrencies(rows), DATABASES):
        direct, service = (
            _of(rows, ledger, path, concurrency) for path in (DIRECT, SERVICE)
        )
        rates = [median(_rate(row) for row in some) for some in (direct, service)]
        used, kratos, database = (
            median(_cpu_ms(row, name) for row in service)
            for name in ("service", "kratos", "database")
        )
        database -= median(_cpu_ms(row, "database") for row in direct)
        both = zip(direct, service, strict=True)
        ratios.append(median(_rate(one) / _rate(other) for other, one in both) * 100)
        shares.append(used / kratos * 100)
        line = [f"{concurrency}, {ledger}", *(f"{rate:.2f}" for rate in rates)]
        line += [f"{ratios[-1]:.1f} %", f"{LEAST_RATE_PERCENT} %"]
        line += [f"{used:.1f}", f"{kratos:.0f}"]
        line += [f"{shares[-1]:.1f} %", f"{MOST_CPU_PERCENT} %", f"{database:.1f}"]
        cells.append(line)
    header = ["people at once, ledger"]
    header += ["sign-ups/s, direct", SERVICE, "ratio", "at least"]
    header += ["signupd's CPU ms", "Kratos' CPU ms", "share", "at most"]
    header += ["more of PostgreSQL's CPU ms"]
    chart = Chart(
        "sign-ups/s, % of direct; CPU, % of Kratos'",
        [line[0] for line in cells],
        {"sign-ups/s": ratios, "CPU": shares},
    )
    return Table("byhand-whole", header, cells, chart)


def _concurrencies(rows: list[Json]) -> list[int]:
    return sorted({row["concurrency"] for row in rows})


def _of(rows: list[Json], ledger: str, path: str, concurrency: int) -> list[Json]:
    """Give the rows of one way, a round each."""
    wanted = ledger, path, concurrency
    return [
        row
        for row in rows
        if (row["ledger"], row["path"], row["concurrency"]) == wanted
    ]


def _waits(rows: list[Json], step: str) -> list[list[float]]:
    """Give how long each person waited at a step, in milliseconds, by the round."""
    return [[micros / MICROS_PER_MS for micros in row[step]] for row in rows]


def _rate(row: Json) -> float:
    """Tell how many sign-ups a second there were.

    One at a time would wait for the courier, which looks for mails ten times a second;
    the few milliseconds in question vanish in that, or cost a whole tenth.
    """
    if row["concurrency"] > 1:
        return float(row["people"] / row["seconds"])
    waited = sum(sum(row[step]) for step in STEPS.values())
    return float(row["people"] / waited * MICROS)


def _cpu_ms(row: Json, name: str) -> float:
    """Tell the processor time of one sign-up."""
    return float(row["cpu_seconds"][name] / row["people"] * MS_PER_SECOND)
