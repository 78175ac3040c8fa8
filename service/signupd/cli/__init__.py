"""The commands: each a module of its own, joined here."""

from __future__ import annotations

from importlib import metadata
from typing import Annotated

import typer

from signupd.cli.check import check
from signupd.cli.keys import app as keys
from signupd.cli.ledger import migrate, sweep
from signupd.cli.orphans import orphans
from signupd.cli.serve import serve
from signupd.cli.settings import settings
from signupd.cli.signup import signup
from signupd.cli.signups import app as signups

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they show the values of variables
    help="Sign-up for Ory Kratos over gRPC. Settings are environment variables whose "
    "names start with SIGNUPD_; the command settings shows them.",
)
for command in (serve, check, migrate, sweep, orphans, settings, signup):
    app.command()(command)
app.add_typer(signups, name="signups")
app.add_typer(keys, name="keys")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"signupd {metadata.version('signupd')}")
        raise typer.Exit


@app.callback()
def signupd(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def main() -> None:
    """Run the command line."""
    app()
