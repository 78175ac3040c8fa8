"""The commands: each a module of its own, joined here."""

from __future__ import annotations

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
    pretty_exceptions_enable=False,  # its tracebacks show the values of variables
    help="The sign-up front of Ory Kratos. Settings: environment, SIGNUPD_ and a name.",
)
for command in (serve, check, migrate, sweep, orphans, settings, signup):
    app.command()(command)
app.add_typer(signups, name="signups")
app.add_typer(keys, name="keys")


def main() -> None:
    """Run the command line."""
    app()
