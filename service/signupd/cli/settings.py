"""``signupd settings``, and ``signupd keys new``, which makes keys for them."""

import json
from pathlib import Path
from typing import Annotated, Final

import typer

from signupd.cli.common import EXIT_TROUBLE, AsJson, Config, complain, settings_of
from signupd.cli.page import columns, console, printable
from signupd.keyfile import new_key, write_private
from signupd.sources import PREFIX, SECRETS

KEYS: Final = (f"{PREFIX}TOKEN_KEYS", f"{PREFIX}DIGEST_KEY")
NOTE: Final = f"""
Use the key for {" or for ".join(KEYS)}, and a different key for the other.
To rotate TOKEN_KEYS, put the new key first and keep the old ones after it, separated by
commas. Remove them after RETENTION (30d) and one more day. With several servers, first
add the new key at the end on all of them, then move it to the front. Do not change
DIGEST_KEY: with another one the server does not start."""

keys = typer.Typer(no_args_is_help=True)


def settings(as_json: AsJson = False, config: Config = None) -> None:
    """List the settings that a server started here would have.

    For secrets it shows only whether they are set.
    """
    made = settings_of(config)
    values = made.model_dump(mode="json") | {"reflection": made.reflects}
    values |= {name: "set" if getattr(made, name) else None for name in SECRETS}
    shown = {f"{PREFIX}{name.upper()}": value for name, value in values.items()}
    if as_json:
        typer.echo(json.dumps(shown, indent=2))
        return
    table = columns("setting", "value")
    for name, value in shown.items():
        text = value if isinstance(value, str) else json.dumps(value)
        table.add_row(name, "unset" if value is None else printable(text))
    console().print(table)


@keys.callback()
def _keys() -> None:
    """Make keys for the settings."""


@keys.command()
def new(
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the key to this new file (mode 0600) instead of standard "
            "output. TOKEN_KEYS_FILE and DIGEST_KEY_FILE can name it."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it. Standard error explains its use and how to rotate it."""
    key = new_key()
    try:
        if out is not None:
            write_private(out, f"{key}\n")
    except OSError as error:
        exists = isinstance(error, FileExistsError)
        why = "already exists and was not changed" if exists else error.strerror
        complain([f"{out}: {why}"])
        raise typer.Exit(EXIT_TROUBLE) from None
    if as_json:
        made = {"key": key} if out is None else {"file": str(out)}
        typer.echo(json.dumps({**made, "settings": KEYS}))
        return
    typer.echo(key if out is None else f"The key is in {out}.")
    typer.echo(NOTE, err=True)
