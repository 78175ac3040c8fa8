"""What the commands write: tables for people, and times for both them and scripts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

# A pipe has no width of its own; whoever reads it wants a line to stay one.
PIPE_COLUMNS: Final = 200
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_AGES: Final = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))


def console() -> Console:
    """Make the way to standard output, which takes text for what it is."""
    made = Console(highlight=False, emoji=False, markup=False)
    if not made.is_terminal:
        made.width = PIPE_COLUMNS
    return made


def columns(*names: str, header: bool = True) -> Table:
    """Make a table whose last column takes what width the terminal leaves."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=header)
    for name in names[:-1]:
        table.add_column(name, no_wrap=True)
    table.add_column(names[-1], overflow="fold")
    return table


def facts(values: Mapping[str, str]) -> Table:
    """Make a table of names and values, below each other."""
    table = columns("", "", header=False)
    for name, value in values.items():
        table.add_row(Text(name, style="dim"), value)
    return table


def printable(text: str) -> str:
    """Take out of a text what would not show but act on the terminal."""
    return "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def rfc3339(micros: int) -> str:
    """Put microseconds since the Unix epoch as RFC 3339 has them, in UTC."""
    moment = _EPOCH + timedelta(microseconds=micros)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def age(micros: int) -> str:
    """Put a span of time in its largest unit, rounded down: ``42s``, ``17d``."""
    seconds = max(0, micros // 1_000_000)
    return next(
        f"{seconds // size}{unit}"
        for unit, size in _AGES
        if seconds >= size or unit == "s"
    )
