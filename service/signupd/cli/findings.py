"""How findings are shown: a table with the cures below it, or JSON."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from typing import TYPE_CHECKING, Final

from rich.text import Text

from signupd.check.findings import Severity
from signupd.cli.page import columns, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from signupd.check.findings import Finding

_STYLES: Final = {
    Severity.OK: "green",
    Severity.WARNING: "yellow",
    Severity.ERROR: "bold red",
}


def show(findings: Sequence[Finding], console: Console) -> None:
    """Show findings to a person."""
    table = columns("", "", "", header=False)
    for finding in findings:
        table.add_row(_severity(finding), finding.check, printable(finding.what))
    console.print(table)
    for finding in findings:
        if finding.severity is not Severity.OK:
            _explain(finding, console)
    counts = Counter(finding.severity for finding in findings)
    console.print()
    console.print(", ".join(f"{name.value}: {counts[name]}" for name in Severity))


def as_json(findings: Sequence[Finding]) -> str:
    """Write findings for a script."""
    return json.dumps(
        {"findings": [dataclasses.asdict(finding) for finding in findings]}, indent=2
    )


def _severity(finding: Finding) -> Text:
    return Text(finding.severity.value, style=_STYLES[finding.severity])


def _explain(finding: Finding, console: Console) -> None:
    """Say why something matters and what to do, in lines that can be pasted."""
    console.print()
    console.print(
        Text.assemble(_severity(finding), f" {finding.check}: {finding.what}")
    )
    console.print(finding.why)
    console.print(finding.cure, soft_wrap=True)
