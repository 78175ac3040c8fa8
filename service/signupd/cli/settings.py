"""``signupd settings``: list all settings, without secrets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import typer

from signupd.cli.common import AsJson, Config, settings_of
from signupd.cli.page import columns, console, printable
from signupd.keyfile import NAME
from signupd.ledger.database import sqlite_file
from signupd.sources import PREFIX, SECRETS

if TYPE_CHECKING:
    from signupd.settings import Settings


def settings(*, as_json: AsJson = False, config: Config = None) -> None:
    """List all settings; for secrets it shows only whether they are set.

    A server that is started here and now would have these values.
    """
    made = settings_of(config)
    values = made.model_dump(mode="json") | {"reflection": made.reflects}
    shown = {
        f"{PREFIX}{name.upper()}": _secret(made, name) if name in SECRETS else value
        for name, value in values.items()
    }
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
        return
    table = columns("setting", "value")
    for name, value in shown.items():
        table.add_row(name, printable(_text(value)))
    console().print(table)


def _secret(made: Settings, name: str) -> str | None:
    """Describe a secret: ``set``, where it is kept, or None if there is none."""
    if getattr(made, name):
        return "set"
    ledger = sqlite_file(made.ledger_url)
    if name in ("hook_key", "kratos_admin_token") or ledger is None:
        return None
    file = ledger.parent / NAME
    return f"in {file}" if file.exists() else f"to be made in {file}"


def _text(value: Any) -> str:
    """Write a value as it may be set in the environment."""
    if value is None:
        return "unset"
    return value if isinstance(value, str) else json.dumps(value)
