"""The command line as a whole: its version, and the help of each command."""

import pytest
from signupd.cli import app
from typer.testing import CliRunner

COMMANDS = [
    *("", "serve", "check", "health", "migrate", "sweep", "orphans", "settings"),
    *("signup", "signups", "signups list", "signups show", "keys", "keys new"),
]


def test_version() -> None:
    """The version is one line."""
    done = CliRunner().invoke(app, ["--version"])

    assert (0, "signupd 0.1.0\n", "") == (done.exit_code, done.stdout, done.stderr)


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str) -> None:
    """Each command has help, as text that a terminal shows as it is meant."""
    done = CliRunner().invoke(app, [*command.split(), "--help"])

    assert 0 == done.exit_code
    assert "Usage:" in done.stdout
    assert "``" not in done.stdout
