"""Tables of what was measured, and their places in docs/performance.md.

A table stands between two marks. Whatever is between them is replaced.
"""

import os
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Final

CPU_INFO: Final = Path("/proc/cpuinfo")
LIBRARIES: Final = ("grpcio", "httpx", "aiohttp", "psycopg")


class MarkMissingError(Exception):
    """A document has no place for a table."""


@dataclass(slots=True)
class Table:
    """A table.

    Attributes:
        name: Of its place in the document.
        header: The columns' names.
        rows: Cells, ready to be shown. The first column is text, the others figures.
        note: A line below the table.
    """

    name: str
    header: list[str]
    rows: list[list[str]] = field(default_factory=list)
    note: str = ""

    def markdown(self) -> str:
        """Write it in Markdown."""
        rule = ["---"] + ["---:"] * (len(self.header) - 1)
        lines = [self.header, rule, *self.rows]
        text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        return f"{text}\n{self.note}\n" if self.note else text


def fill(text: str, tables: Iterable[Table]) -> str:
    """Put tables into a document.

    Args:
        text: The document, in Markdown.
        tables: Each goes between the marks with its name.

    Raises:
        MarkMissingError: One has no place.
    """
    for table in tables:
        begin, end = f"<!-- bench:{table.name} -->", "<!-- /bench -->"
        before, begun, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if not (begun and ended):
            raise MarkMissingError(f"there are no marks for {table.name}")
        text = f"{before}{begin}\n{table.markdown()}{end}{after}"
    return text


def machine() -> str:
    """Describe the machine, and its load before a benchmark, in a line."""
    models = re.findall(r"^model name\s*: (.*)$", CPU_INFO.read_text(), re.MULTILINE)
    parts = [
        models[0] if models else platform.machine(),
        f"{os.cpu_count()} cores",
        platform.system(),
        f"Python {platform.python_version()}",
        *(f"{name} {version(name)}" for name in LIBRARIES),
        f"load average before {os.getloadavg()[0]:.1f}",
    ]
    return f"Measured on: {', '.join(parts)}."
