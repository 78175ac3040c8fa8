"""``signupd keys``: make keys for the settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Final

import typer

from signupd.cli.common import EXIT_TROUBLE, AsJson, complain
from signupd.keyfile import new_key, write_private
from signupd.sources import PREFIX

NAMES: Final = (f"{PREFIX}TOKEN_KEYS", f"{PREFIX}DIGEST_KEY")
NOTE: Final = f"""\
Use the key for {" or for ".join(NAMES)}, and a different key for the other.
To rotate TOKEN_KEYS, put the new key first and keep the old ones after it, separated by
commas. Remove them after RETENTION (30d) and one more day. With several servers, first
add the new key at the end on all of them, then move it to the front. Do not change
DIGEST_KEY: with another one no address is found again.
"""
HINT: Final = "With --out FILE the key is not shown on the terminal.\n"

app = typer.Typer(no_args_is_help=True, help="Make keys for the settings.")

Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Write the key to this new file (mode 0600) instead of standard output. "
        "TOKEN_KEYS_FILE and DIGEST_KEY_FILE can name it.",
    ),
]


@app.callback()
def keys() -> None:
    """Make keys for the settings."""


@app.command()
def new(out: Out = None, *, as_json: AsJson = False) -> None:
    """Make a key and print it; standard error says what it is for and how to rotate."""
    key = new_key()
    if out is not None:
        _write(out, key)
    if as_json:
        made = {"key": key} if out is None else {"file": str(out)}
        typer.echo(json.dumps({**made, "settings": NAMES}))
        return
    typer.echo(key if out is None else f"The key is in {out}.")
    typer.echo(f"\n{NOTE}" + (HINT if out is None else ""), err=True, nl=False)


def _write(out: Path, key: str) -> None:
    try:
        write_private(out, f"{key}\n")
    except FileExistsError:
        complain([f"{out} already exists and was not changed"])
        raise typer.Exit(EXIT_TROUBLE) from None
    except OSError as error:
        complain([f"{out}: {error.strerror}"])
        raise typer.Exit(EXIT_TROUBLE) from None
