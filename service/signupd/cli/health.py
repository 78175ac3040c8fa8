"""``signupd health``: ask the server beside this command, as a container does."""

from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from typing import Final

import typer

from signupd.cli.common import (
    EXIT_SETTINGS,
    EXIT_TROUBLE,
    Config,
    complain,
    settings_of,
)
from signupd.notation import dialled, endpoint

# The server itself gives its ledger 2 s.
ANSWER_SECONDS: Final = 5.0
MAX_ANSWER_BYTES: Final = 1024


def health(config: Config = None) -> None:
    """Ask the server on this machine whether it is ready. Exit code 1: it is not.

    The question goes to /readyz at METRICS_LISTEN.
    """
    listen = settings_of(config).metrics_listen
    if not listen:
        complain(["METRICS_LISTEN is empty, so no server can be asked"])
        raise typer.Exit(EXIT_SETTINGS)
    connection = HTTPConnection(*endpoint(dialled(listen)), timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        text = answer.read(MAX_ANSWER_BYTES).decode(errors="replace").strip()
    except (OSError, HTTPException) as error:
        why = getattr(error, "strerror", None) or error
        complain([f"no answer at {listen}: {why}"])
        raise typer.Exit(EXIT_TROUBLE) from None
    finally:
        connection.close()
    typer.echo(text)
    if answer.status != HTTPStatus.OK:
        raise typer.Exit(EXIT_TROUBLE)
