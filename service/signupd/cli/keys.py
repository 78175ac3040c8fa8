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
The key is for {" or ".join(NAMES)}; each wants one of its own.
To rotate TOKEN_KEYS put the new key first, leave the old ones behind it, separated by
commas, and drop them when RETENTION (30d) and a day have passed. Of several servers
give each the new key last, and only when all of them have it, first. DIGEST_KEY stays:
under another one no address is found again.
"""
HINT: Final = "With --out FILE the key does not pass over the terminal.\n"

app = typer.Typer(no_args_is_help=True, help="Make keys for the settings.")

Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Write the key to this new file, for its owner alone to read, instead of "
        "standard output. TOKEN_KEYS_FILE and DIGEST_KEY_FILE may name it.",
    ),
]


@app.callback()
def keys() -> None:
    """Make keys for the settings."""


@app.command()
def new(out: Out = None, *, as_json: AsJson = False) -> None:
    """Print a fresh key; on standard error, what it is for and how to rotate."""
    key = new_key()
    if out is not None:
        _write(out, key)
    if as_json:
        told = {"key": key} if out is None else {"file": str(out)}
        typer.echo(json.dumps({**told, "settings": NAMES}))
        return
    typer.echo(key if out is None else f"a key is in {out}")
    typer.echo(f"\n{NOTE}" + (HINT if out is None else ""), err=True, nl=False)


def _write(out: Path, key: str) -> None:
    try:
        write_private(out, f"{key}\n")
    except FileExistsError:
        complain([f"{out} is there already, and stays as it is"])
        raise typer.Exit(EXIT_TROUBLE) from None
    except OSError as error:
        complain([f"{out}: {error.strerror}"])
        raise typer.Exit(EXIT_TROUBLE) from None
