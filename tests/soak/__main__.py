"""`make soak`: people sign up while servers are killed; then every promise is checked.

The exit code is 1 if one is broken.
"""

import math
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Final

import typer

from bench.table import Table, machine
from tests.limbo.books import UNDER_WAY
from tests.soak.people import FATES
from tests.soak.promises import PROMISES, Soaked
from tests.soak.site import Site, open_site

SETTINGS: Final = {"CODE_TTL": "2m", "PASSWORD_TTL": "3m"}
MOST_SHOWN: Final = 50
# The time limits of the steps and of the leases.
MOST_SECONDS_TO_SETTLE: Final = 400.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is to happen.

    Attributes:
        seconds: How long people begin to sign up.
        people: How many do at once.
        calm: The seconds between two kills, at least and at most.
        hurried: Let leases and sign-ups run out at the end by changing the ledger,
            while nothing runs that may rely on them. Waiting takes some minutes.
    """

    seconds: float
    people: int = 24
    calm: tuple[float, float] = (3.0, 12.0)
    hurried: bool = False


@contextmanager
def soak(seed: str, plan: Plan) -> Iterator[Soaked]:
    """Have people sign up and servers die; give what is left when all is settled."""
    with open_site({} if plan.hurried else SETTINGS) as site:
        soaked, over = Soaked(site, []), threading.Event()
        chance = random.Random(seed)  # noqa: S311 - no secret
        with ThreadPoolExecutor(plan.people) as pool:
            crowd = [
                pool.submit(_crowd, soaked, f"{seed}-{number}", over)
                for number in range(plan.people)
            ]
            try:
                _strike(site, chance, plan)
                over.set()
                if plan.hurried:
                    _hurry(site)
                site.wait(math.inf, lambda: all(one.done() for one in crowd))
            finally:
                over.set()
            for one in crowd:
                one.result()
        _settle(site, plan)
        yield soaked


def _crowd(soaked: Soaked, seed: str, over: threading.Event) -> None:
    """Sign up, one person after the other."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    while not over.is_set():
        (fate,) = chance.choices([*FATES], [share for share, _ in FATES.values()])
        address = f"{chance.getrandbits(48):012x}@example.com"
        if fate == "address taken" and soaked.completed:
            address = chance.choice(soaked.completed).address
        elif fate == "address taken":
            fate = "completed"
        soaked.person(fate, address).live()


def _strike(site: Site, chance: random.Random, plan: Plan) -> None:
    end = time.monotonic() + plan.seconds
    while (left := end - time.monotonic()) > 0:
        site.wait(min(left, chance.uniform(*plan.calm)))
        site.strike(chance)


def _hurry(site: Site) -> None:
    """Kill all servers, and let pass what only waiting would: the leases' time."""
    site.end(["replica 1", "replica 2", "Kratos"])
    site.books.end_leases()
    site.start()


def _settle(site: Site, plan: Plan) -> None:
    """Wait until the sweepers have brought each sign-up to its end."""
    if plan.hurried:
        site.books.run(f"UPDATE signups SET expire_time = 0 WHERE state IN {UNDER_WAY}")  # noqa: S608
    query = (
        f"SELECT count(*) FROM signups WHERE state IN {UNDER_WAY} OR lease <> 'none'"  # noqa: S608
    )
    # What is not settled by then is reported.
    site.wait(MOST_SECONDS_TO_SETTLE, lambda: site.books.run(query) == [(0,)])


def report(soaked: Soaked, seed: str) -> tuple[list[Table], bool]:
    """Check all promises; give what is to be shown, and whether all are kept."""
    promises = Table("promises", ["promise", "looked at", "broken"])
    broken: list[str] = []
    for check in PROMISES:
        count, faults = check(soaked)
        broken += faults
        name = (check.__doc__ or "").rstrip(".")
        promises.rows.append([name, f"{count:,}", f"{len(faults)}"])
    promises.note = "\n".join(broken[:MOST_SHOWN])
    return [_figures(soaked, seed), promises], not broken


def _figures(soaked: Soaked, seed: str) -> Table:
    site, people = soaked.site, soaked.people
    figures = Table("figures", ["figure", f"seed {seed}"], note=machine())
    fates = Counter(f"sign-ups: {one.fate}" for one in people)
    early = Counter(f"ended early: {one.early}" for one in people if one.early)
    flows = "SELECT count(*) FROM selfservice_registration_flows"
    counts = {
        "sign-ups": len(people),
        **dict(sorted(fates.items())),
        **dict(sorted(early.items())),
        "answers thrown away": sum(one.lost for one in people),
        "calls repeated after their answer": sum(one.repeated for one in people),
        **dict(sorted(site.ended.items())),
        "sessions left, and logged": sum("session_left" in one for one in soaked.log()),
        "flows that Kratos' cleanup has to delete": site.kratos_books.run(flows)[0][0],
    }
    figures.rows = [[name, f"{count:,}"] for name, count in counts.items()]
    for number, held in enumerate(site.memory, 1):
        cell = f"{held[0]:.0f}, {max(held):.0f}, {held[-1]:.0f}"
        figures.rows.append(
            [f"MiB of replica {number}: at start, at most, at end", cell]
        )
    return figures


def main(
    minutes: Annotated[float, typer.Option(help="How long people sign up.")] = 10.0,
    seed: Annotated[str, typer.Option(help="What a run chooses from.")] = "",
) -> None:
    """Have people sign up while servers are killed, then check every promise."""
    chosen = seed or secrets.token_hex(4)
    typer.echo(f"seed {chosen}, {minutes:g} minutes, and some more to settle")
    with soak(chosen, Plan(seconds=minutes * 60)) as soaked:
        tables, kept = report(soaked, chosen)
    for table in tables:
        typer.echo(table.markdown())
    raise typer.Exit(code=0 if kept else 1)


if __name__ == "__main__":
    typer.run(main)
