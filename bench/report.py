"""The report: tables in docs/performance.md, and a picture of each.

A table stands between two marks, which stay; whatever is between them is replaced.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bench.table import Table


class MarkMissingError(Exception):
    """A document has no place for a table."""


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
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        found = pattern.search(text)
        if found is None:
            raise MarkMissingError(f"there are no marks for {table.name}")
        # Not as a replacement, in which a backslash would mean something.
        before, after = text[: found.start()], text[found.end() :]
        text = f"{before}{begin}\n{table.markdown()}{end}{after}"
    return text


def write(document: Path, tables: Iterable[Table]) -> None:
    """Put tables into a file.

    Raises:
        MarkMissingError: One has no place; nothing is written.
    """
    filled = fill(document.read_text(encoding="utf-8"), tables)
    document.write_text(filled, encoding="utf-8")
