"""How findings are shown."""

import io
import json

from rich.console import Console
from signupd.check.findings import Check, consequences, error, hook_lines, ok, warning
from signupd.cli.check import as_json, show
from signupd.settings import Settings

CURE = hook_lines("password", Settings())
FINDINGS = [
    ok(Check.VERSION, "Kratos is v1.3.1"),
    warning(
        Check.OTHER_METHODS, "registration by [oidc] is on", "They go past us.", "x: y"
    ),
    error(Check.PASSWORD_HOOK, "Kratos did not ask", "It must :warning: ask.", CURE),
]


def shown(columns: int) -> str:
    """Show the findings on a page so wide."""
    page = io.StringIO()
    console = Console(
        file=page, width=columns, highlight=False, markup=False, emoji=False
    )
    show(FINDINGS, console)
    return "\n".join(line.rstrip() for line in page.getvalue().splitlines())


def test_table() -> None:
    """Each finding is a line of the table; each fault is explained below."""
    lines = shown(120).splitlines()

    assert ["ok", "version", "Kratos is v1.3.1"] == lines[0].split(maxsplit=2)
    assert "registration by [oidc] is on" in lines[1]
    assert "It must :warning: ask." in lines
    assert "ok: 1, warning: 1, error: 1" == lines[-1]


def test_cure_can_be_pasted() -> None:
    """A cure is not folded, on however narrow a terminal."""
    text = shown(40)

    assert CURE in text


def test_consequences() -> None:
    """A cure is given once: what follows from an error refers to it."""
    profile = error(Check.PROFILE_METHOD, "on", "It moves.", "x: y")
    seen = error(Check.CANARY_SETTINGS, "on", "It moves.", "x: y")
    account = error(Check.CANARY_ACCOUNT, "not ours", "A hook.", "y: z")
    again = error(Check.CANARY_REMOVED, "not ours", "A hook.", "y: z")
    found = consequences([profile, seen, account, again])

    assert [
        "x: y",
        "It may follow from profile_method: see there.",
        "y: z",
        "The same as for canary_account.",
    ] == [one.cure for one in found]


def test_json() -> None:
    """For scripts: every field of every finding, severities by name."""
    found = json.loads(as_json(FINDINGS))["findings"]

    assert ["ok", "warning", "error"] == [one["severity"] for one in found]
    assert {"check", "severity", "what", "why", "cure"} == found[0].keys()
    assert CURE == found[2]["cure"]
