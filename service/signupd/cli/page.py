"""What the commands write: tables for people, times and ages."""

from datetime import UTC, datetime, timedelta
from typing import Final

from rich.console import Console
from rich.table import Table

# A pipe has no width of its own. Programs that read it want a row on one line.
PIPE_COLUMNS: Final = 200
_UNITS: Final = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def console() -> Console:
    """Make a console on standard output that prints text as it is, without markup."""
    made = Console(highlight=False, emoji=False, markup=False)
    if not made.is_terminal:
        made.width = PIPE_COLUMNS
    return made


def columns(*names: str, header: bool = True) -> Table:
    """Make a table whose last column takes the width that is left."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=header)
    for name in names[:-1]:
        table.add_column(name, no_wrap=True)
    table.add_column(names[-1], overflow="fold")
    return table


def printable(text: str) -> str:
    """Replace characters that would act on the terminal, such as escapes."""
    return "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text
    )


def rfc3339(at: datetime) -> str:
    """Write a time as RFC 3339 has it, in UTC, to the microsecond."""
    text = at.astimezone(UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


def age(span: timedelta) -> str:
    """Write a time span in its largest unit, rounded down: ``42s``, ``17d``."""
    seconds = max(0, span // timedelta(seconds=1))
    unit = next((unit for unit, size in _UNITS.items() if seconds >= size), "s")
    return f"{seconds // _UNITS[unit]}{unit}"
