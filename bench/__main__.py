"""The command: `python -m bench [NAME...]` measures, and reports what was measured."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from bench import report, results
from bench.benchmarks import BENCHMARKS
from bench.site import Site

if TYPE_CHECKING:
    from collections.abc import Sequence

DOCUMENTS = Path(__file__).parents[1] / "docs"
DOCUMENT = DOCUMENTS / "performance.md"
PICTURES = DOCUMENTS / "performance"


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says."""
    wanted = _parser().parse_args(arguments)
    names = wanted.names or list(BENCHMARKS)
    if not wanted.report:
        with Site(wanted.before) as site:
            for name in names:
                measure(site, name, wanted.results, smoke=wanted.smoke)
    if not wanted.smoke:
        write_report(wanted.results, names)


def measure(site: Site, name: str, directory: Path, *, smoke: bool) -> None:
    """Run one benchmark, keep its figures and show its tables."""
    begun, on = time.monotonic(), results.machine()
    benchmark = BENCHMARKS[name]
    rows = benchmark.measure(site, smoke=smoke)
    results.write(directory, name, rows, on)
    typer.echo(f"{name}: {time.monotonic() - begun:.0f} s")
    for table in benchmark.tables(rows):
        typer.echo(f"\n{table.name}\n{table.markdown()}")


def write_report(directory: Path, names: Sequence[str]) -> None:
    """Write the tables of these benchmarks into the documents, and draw them."""
    # Not at the top: what only measures does without the library that draws.
    from bench import charts  # noqa: PLC0415

    for name in names:
        tables = BENCHMARKS[name].tables(results.read(directory, name))
        report.write(DOCUMENT, tables)
        for table in tables:
            charts.draw(PICTURES, table)


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
    parser.add_argument(
        "--report",
        action="store_true",
        help="measure nothing; write the documents anew from the results that are kept",
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=results.DIRECTORY,
        metavar="DIRECTORY",
        help="where results are kept",
    )
    return parser


if __name__ == "__main__":
    main()
