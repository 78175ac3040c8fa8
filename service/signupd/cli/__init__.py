"""The command line: joins the commands of this package's modules."""

from importlib import metadata
from typing import Annotated

import typer

from signupd.cli.check import check
from signupd.cli.health import health
from signupd.cli.orphans import orphans
from signupd.cli.serve import migrate, serve, sweep
from signupd.cli.settings import keys, settings
from signupd.cli.signup import signup
from signupd.cli.signups import signups

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,  # they show the values of variables
)
for command in (serve, check, health, migrate, sweep, orphans, settings, signup):
    app.command()(command)
app.add_typer(signups, name="signups")
app.add_typer(keys, name="keys")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"signupd {metadata.version('signupd')}")
        raise typer.Exit


@app.callback()
def signupd(
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
    """Sign-up for Ory Kratos over gRPC.

    Settings come from SIGNUPD_... variables, from .env and from --config.
    "signupd settings" lists them.
    """


def main() -> None:
    """Run the command line."""
    app()
