"""The command: `python -m bench [NAME...]` measures, and writes docs/performance.md."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import typer

from bench import byhand, cost, growth, sameness, upkeep
from bench.site import Site
from bench.table import fill, machine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.table import Table

DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "performance.md"


class Measure(Protocol):
    """Measures one thing, and shows it in tables."""

    def __call__(self, site: Site, *, smoke: bool) -> list[Table]:
        """Measure.

        Args:
            site: Where.
            smoke: Only find out whether it works, in a few seconds.
        """


# In the order in which they run.
BENCHMARKS: Final[dict[str, Measure]] = {
    "cost": cost.measure,
    "growth": growth.measure,
    "upkeep": upkeep.measure,
    "sameness": sameness.measure,
    "byhand": byhand.measure,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says."""
    wanted = _parser().parse_args(arguments)
    with Site(wanted.before) as site:
        for name in wanted.names or BENCHMARKS:
            begun, note = time.monotonic(), machine()
            tables = BENCHMARKS[name](site, smoke=wanted.smoke)
            tables[-1].note = note
            typer.echo(f"{name}: {time.monotonic() - begun:.0f} s")
            for table in tables:
                typer.echo(f"\n{table.name}\n{table.markdown()}")
            if not wanted.smoke:
                text = DOCUMENT.read_text(encoding="utf-8")
                DOCUMENT.write_text(fill(text, tables), encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"a benchmark: {', '.join(BENCHMARKS)}; all of them when none is named",
    )
    parser.add_argument(
        "--before",
        metavar="PYTHON",
        help="measure another version beside this one, in turns: the interpreter of an "
        "environment in which it is installed",
    )
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="only find out whether it works: seconds, and figures that say nothing",
    )
    return parser


if __name__ == "__main__":
    main()
