"""``signupd signup``: one sign-up from the terminal, as a client."""

from __future__ import annotations

from typing import Annotated

import typer

from signupd.cli.common import (
    EXIT_TROUBLE,
    Ca,
    Cert,
    Key,
    Traits,
    complain,
    json_object,
)
from signupd.cli.page import printable
from signupd.client.channel import Tls, open_channel
from signupd.client.dialogue import Dialogue
from signupd.notation import is_loopback

Target = Annotated[
    str, typer.Option("--target", metavar="HOST:PORT", help="The server, or unix:PATH.")
]
Email = Annotated[
    str, typer.Option("--email", help="The address; the command asks if not given.")
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Use plaintext to another machine too.")
]


def signup(  # noqa: PLR0913 - one for each option
    *,
    target: Target,
    email: Email = "",
    traits: Traits = "{}",
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    insecure: Insecure = False,
) -> None:
    """Sign up a person at the terminal: address, code, password.

    Uses TLS, except to this machine itself without --ca and --cert. An empty code
    requests a new one. The end of the input cancels the sign-up. The exit code is 0 if
    the account was made.
    """
    tls = tls_of(target, Tls(ca, cert, key), insecure=insecure)
    given = json_object(traits)
    try:
        channel = open_channel(target, tls, retry=True)
    except OSError as error:
        complain([f"{error.filename}: {error.strerror}"])
        raise typer.Exit(EXIT_TROUBLE) from None
    with channel:
        made = Dialogue(channel, _say).run(email, given)
    raise typer.Exit(0 if made else EXIT_TROUBLE)


def tls_of(target: str, files: Tls, *, insecure: bool) -> Tls | None:
    """Choose TLS or plaintext as a server does.

    Raises:
        typer.BadParameter: The options contradict each other.
    """
    if (files.cert is None) != (files.key is None):
        raise typer.BadParameter("--cert and --key go together")
    if files != Tls():
        if insecure:
            raise typer.BadParameter("--insecure excludes --ca, --cert and --key")
        return files
    return None if insecure or is_loopback(target) else Tls()


def _say(line: str) -> None:
    typer.echo(printable(line))
