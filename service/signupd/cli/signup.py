"""``signupd signup``: one sign-up from the terminal, as a client."""

from typing import Annotated

import typer
from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceStub

from signupd.cli.common import (
    EXIT_TROUBLE,
    Ca,
    Cert,
    Key,
    Traits,
    demand_callable,
    json_object,
)
from signupd.cli.page import printable
from signupd.client.channel import Tls, open_channel
from signupd.client.dialogue import Dialogue
from signupd.notation import is_loopback


def signup(  # noqa: PLR0913 - one for each option
    *,
    target: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The server, or unix:PATH.")
    ],
    email: Annotated[
        str, typer.Option(help="The address; the command asks if not given.")
    ] = "",
    traits: Traits = "{}",
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Use plaintext to another machine too.")
    ] = False,
) -> None:
    """Sign up a person at the terminal: address, code, password.

    Uses TLS. To this machine it uses plaintext unless --ca or --cert is given. An empty
    code requests a new one. The end of the input cancels the sign-up. The exit code is
    0 if the account was made.
    """
    tls = tls_of(target, Tls(ca, cert, key), insecure=insecure)
    given = json_object(traits)

    with open_channel(target, tls, retry=True) as channel:
        stub = SignupServiceStub(channel)
        made = Dialogue(stub, lambda x: typer.echo(printable(x)), email, given).run()
    raise typer.Exit(0 if made else EXIT_TROUBLE)


def tls_of(target: str, files: Tls, *, insecure: bool) -> Tls | None:
    """Choose TLS or plaintext as a server does; refuse options that contradict."""
    if insecure and files != Tls():
        raise typer.BadParameter("--insecure excludes --ca, --cert and --key")
    demand_callable(target, files)
    if files != Tls():
        return files
    return None if insecure or is_loopback(target) else Tls()
