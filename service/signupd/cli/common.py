"""What the commands share: options, reading the settings, running and ending."""

import asyncio
import json
import ssl
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn, TypeVar

import typer
from pydantic import TypeAdapter, ValidationError

from signupd.address import Address, parse_address
from signupd.client.channel import Tls
from signupd.errors import EmailInvalid, SignupdError
from signupd.notation import ListenAddress
from signupd.settings import Settings, SettingsInvalidError, load

EXIT_TROUBLE: Final = 1
EXIT_SETTINGS: Final = 2

T = TypeVar("T")

Config = Annotated[
    Path | None, typer.Option("--config", help="A TOML file with settings.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Traits = Annotated[
    str, typer.Option("--traits", help="Further traits as a JSON object.")
]


def _pem(name: str, purpose: str) -> Any:
    return typer.Option(name, exists=True, dir_okay=False, help=purpose)


Ca = Annotated[
    Path | None, _pem("--ca", "Trust these certificates (PEM), not the system's.")
]
Cert = Annotated[Path | None, _pem("--cert", "Your certificate (PEM). Needs --key.")]
Key = Annotated[Path | None, _pem("--key", "The private key (PEM) of --cert.")]


def settings_of(config: Path | None) -> Settings:
    """Read the settings; print each mistake and exit if they cannot be used."""
    if config == Path():
        raise typer.BadParameter("names no file", param_hint="--config")
    try:
        return load(config)
    except SettingsInvalidError as error:
        complain(error.mistakes)
        raise typer.Exit(EXIT_SETTINGS) from None


def parsed(kind: Any, text: str, option: str) -> Any:
    """Parse an option's value like a setting of this type, or refuse it."""
    try:
        return TypeAdapter(kind).validate_python(text)
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(why, param_hint=option) from None


def demand_callable(target: str, files: Tls) -> None:
    """Refuse a --target that is none, and files that make no TLS connection."""
    parsed(ListenAddress, target, "--target")
    if (files.cert is None) != (files.key is None):
        raise typer.BadParameter("--cert and --key go together")
    try:
        context = ssl.create_default_context(cafile=files.ca)
    except OSError as error:  # ssl.SSLError is one
        raise typer.BadParameter(
            "holds no certificate in PEM", param_hint="--ca"
        ) from error
    try:
        if files.cert:
            context.load_cert_chain(files.cert, files.key, password="")
    except OSError as error:
        why = "are no certificate and its key in PEM, without a password"
        raise typer.BadParameter(why, param_hint="--cert, --key") from error


def mailbox(text: str) -> Address:
    """Parse an option's e-mail address, or refuse it."""
    try:
        return parse_address(text)
    except EmailInvalid as error:
        raise typer.BadParameter("is not an e-mail address") from error


def json_object(text: str) -> dict[str, Any]:
    """Parse the value of ``--traits``, or refuse it."""

    def refuse(_: str) -> NoReturn:
        raise ValueError  # NaN and Infinity, which are not JSON

    try:
        value = json.loads(text, parse_constant=refuse)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise typer.BadParameter("is not a JSON object", param_hint="--traits")
    return value


def run(
    work: Callable[[], Coroutine[Any, Any, T]],
    new_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> T:
    """Run a command's work to its end; Ctrl-C cancels it.

    If it fails, the reason is printed in one line, and the command exits.
    """
    try:
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(work())
    except BrokenPipeError:
        raise  # click exits silently when the reader of a pipe is gone
    except SettingsInvalidError as error:
        complain(error.mistakes)
        raise typer.Exit(EXIT_SETTINGS) from None
    except (SignupdError, OSError) as error:
        complain([str(error)])
        raise typer.Exit(EXIT_TROUBLE) from None


def complain(lines: Iterable[str]) -> None:
    """Print errors on standard error."""
    for line in lines:
        typer.echo(f"signupd: {line}", err=True)
