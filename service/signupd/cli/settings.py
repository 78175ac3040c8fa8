"""``signupd settings``: what the settings are, and where each comes from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import typer

from signupd.cli.common import AsJson, Config, sources_of
from signupd.cli.page import columns, console, printable
from signupd.keyfile import NAME
from signupd.ledger.database import sqlite_file
from signupd.settings import SECRETS, Settings
from signupd.sources import PREFIX, Given

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Shown:
    """One setting as it may be shown.

    Args:
        name: As the environment has it.
        value: In the notation of the settings; None where it is not set.
        is_set: Whether there is a value, for a secret's own is not shown. None where
            the setting is no secret.
        source: ``default``, ``environment``, ``.env`` or the TOML file's name.
        file: The file that holds a secret.
    """

    name: str
    value: Any
    is_set: bool | None
    source: str
    file: str | None

    def json(self) -> dict[str, Any]:
        """Put it for scripts."""
        shown = {"value": self.value} if self.is_set is None else {"set": self.is_set}
        return {**shown, "source": self.source, "file": self.file}

    def row(self) -> tuple[str, str, str]:
        """Put it for people."""
        if self.is_set is None:
            value = "unset" if self.value is None else _text(self.value)
        else:
            value = "set" if self.is_set else "unset"
        source = f"{self.source}, in {self.file}" if self.file else self.source
        return self.name, printable(source), printable(value)


def settings(*, as_json: AsJson = False, config: Config = None) -> None:
    """Show all settings, and where each comes from; of secrets only whether they are.

    The values are those that a server would have that is started here and now.
    """
    shown = list(shown_settings(*sources_of(config)))
    if as_json:
        typer.echo(json.dumps({one.name: one.json() for one in shown}, indent=2))
        return
    table = columns("setting", "from", "value")
    for one in shown:
        table.add_row(*one.row())
    console().print(table)


def shown_settings(made: Settings, given: dict[str, Given]) -> Iterator[Shown]:
    """Give the settings as they may be shown, in the order of the documentation."""
    values = made.model_dump(mode="json") | {"reflection": made.reflects}
    nowhere = Given(None, DEFAULT)
    for name, value in values.items():
        origin = given.get(name, nowhere)
        label, source, file = f"{PREFIX}{name.upper()}", origin.source, origin.file
        if name not in SECRETS:
            yield Shown(label, value, None, source, file)
        elif value or name not in ("token_keys", "digest_key"):
            yield Shown(label, None, bool(value), source, file)
        else:
            yield _key_beside_ledger(made, label)


def _key_beside_ledger(made: Settings, label: str) -> Shown:
    """Show a key that nobody gave: it is in a file, or will be when a server starts."""
    ledger = sqlite_file(made.ledger_url)
    if ledger is None:
        raise AssertionError("the settings demand keys with any other database")
    file = ledger.parent / NAME
    return Shown(label, None, file.exists(), DEFAULT, str(file))


def _text(value: Any) -> str:
    """Write a value as one writes it in the environment."""
    return value if isinstance(value, str) else json.dumps(value)
