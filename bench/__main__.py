"""The command: `python -m bench [NAME...]` measures, and writes docs/performance.md."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from bench import byhand, cost, growth, sameness, upkeep
from bench.site import Site
from bench.table import Table, fill, machine

PYTHON: Final = (
    "Measure another version beside this one, in turns: the interpreter of an "
    "environment in which it is installed."
)
SMOKE: Final = "Only find out whether it works: seconds, and figures that say nothing."
DOCUMENT: Final = Path(__file__).parents[1] / "docs" / "performance.md"


# In the order in which they run. Each takes a Site, and `smoke`: only find out
# whether it works, in a few seconds.
BENCHMARKS: Final[dict[str, Callable[..., list[Table]]]] = {
    "cost": cost.measure,
    "growth": growth.measure,
    "upkeep": upkeep.measure,
    "sameness": sameness.measure,
    "byhand": byhand.measure,
}


def main(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...")] = None,
    before: Annotated[str | None, typer.Option(metavar="PYTHON", help=PYTHON)] = None,
    smoke: Annotated[bool, typer.Option("--smoke", help=SMOKE)] = False,
) -> None:
    """Measure, and write docs/performance.md: cost growth upkeep sameness byhand."""
    # Not resolved: the link is what makes it an environment of its own.
    with Site(str(Path(before).absolute()) if before else None) as site:
        for name in names or BENCHMARKS:
            begun, note = time.monotonic(), machine()
            tables = BENCHMARKS[name](site, smoke=smoke)
            tables[-1].note = note
            typer.echo(f"{name}: {time.monotonic() - begun:.0f} s")
            for table in tables:
                typer.echo(f"\n{table.name}\n{table.markdown()}")
            if not smoke:
                text = DOCUMENT.read_text(encoding="utf-8")
                DOCUMENT.write_text(fill(text, tables), encoding="utf-8")


if __name__ == "__main__":
    command = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    command.command()(main)
    command()
