"""``signupd signup``: one whole sign-up from the terminal, as a client."""

from __future__ import annotations

import time
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
from signupd.cli.terminal import StandardTerminal
from signupd.client.calls import Signups
from signupd.client.channel import Tls, open_channel
from signupd.client.dialogue import Dialogue
from signupd.notation import is_loopback

Target = Annotated[
    str, typer.Option("--target", metavar="HOST:PORT", help="The server, or unix:PATH.")
]
Email = Annotated[
    str, typer.Option("--email", help="The address; asked for where not given.")
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Plaintext, also beyond this machine.")
]


def signup(  # noqa: PLR0913 - the contract's options
    *,
    target: Target,
    email: Email = "",
    traits: Traits = "{}",
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    insecure: Insecure = False,
) -> None:
    """Sign somebody up from the terminal: address, code, password.

    It talks TLS, but to this machine itself, unless --ca or --cert is given, plaintext.
    An empty code has another mailed; the end of input cancels the sign-up. The exit
    code is 0 when the account was made.
    """
    tls = tls_of(target, Tls(ca, cert, key), insecure=insecure)
    further = json_object(traits)
    try:
        channel = open_channel(target, tls)
    except OSError as error:
        complain([f"{error.filename}: {error.strerror}"])
        raise typer.Exit(EXIT_TROUBLE) from None
    with channel:
        dialogue = Dialogue(Signups(channel, time.sleep), StandardTerminal())
        made = dialogue.run(email, further)
    raise typer.Exit(0 if made else EXIT_TROUBLE)


def tls_of(target: str, files: Tls, *, insecure: bool) -> Tls | None:
    """Choose as a server does: plaintext beyond loopback must be asked for.

    Raises:
        typer.BadParameter: The options contradict each other.
    """
    if (files.cert is None) != (files.key is None):
        raise typer.BadParameter("--cert and --key go together")
    if files != Tls():
        if insecure:
            raise typer.BadParameter("--insecure leaves no use for a certificate")
        return files
    return None if insecure or is_loopback(target) else Tls()
