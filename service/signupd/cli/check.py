"""``signupd check``."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from signupd import logs
from signupd.address import Address, parse_address
from signupd.check.canary import Cage, canary
from signupd.check.findings import Severity
from signupd.check.kratos_file import FileUnreadableError, KratosFile, read_files
from signupd.check.preflight import Look, preflight
from signupd.cli import ask
from signupd.cli.canary import CanaryClient
from signupd.cli.common import (
    EXIT_TROUBLE,
    AsJson,
    Ca,
    Cert,
    Config,
    Key,
    Traits,
    json_object,
    run,
    settings_of,
)
from signupd.cli.findings import as_json, show
from signupd.cli.page import console
from signupd.client.calls import Signups
from signupd.client.channel import Tls, open_channel
from signupd.errors import EmailInvalid
from signupd.kratos.http import HttpClient
from signupd.notation import dialled
from signupd.service import kratos_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from signupd.check.findings import Finding
    from signupd.settings import Settings


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except EmailInvalid as error:
        raise typer.BadParameter("is not an e-mail address") from error


CanaryAddress = Annotated[
    Address | None,
    typer.Option(
        "--canary",
        parser=_address,
        metavar="ADDRESS",
        help="Also sign this address up at the running server, and remove it again.",
    ),
]
CodeFromStdin = Annotated[
    bool,
    typer.Option(
        "--code-from-stdin", help="Read the canary's code from standard input."
    ),
]
KratosConfig = Annotated[
    list[Path] | None,
    typer.Option(
        "--kratos-config",
        metavar="FILE",
        help="Kratos' configuration; several are merged, the last one wins.",
    ),
]
Target = Annotated[
    str | None,
    typer.Option(
        "--target",
        metavar="HOST:PORT",
        help="Where the canary finds the server; LISTEN unless given.",
    ),
]


def check(  # noqa: PLR0913 - each option is a thing of its own
    *,
    config: Config = None,
    canary_address: CanaryAddress = None,
    kratos_config: KratosConfig = None,
    traits: Traits = "{}",
    target: Target = None,
    ca: Ca = None,
    cert: Cert = None,
    key: Key = None,
    code_from_stdin: CodeFromStdin = False,
    json_wanted: AsJson = False,
) -> None:
    """See whether the running Kratos is set up for sign-ups.

    Each finding comes with its cure; exit code 1 if one is an error. A probe costs
    Kratos one password hash. Nothing is left in it.
    """
    settings = settings_of(config)
    file, given = _file(kratos_config), json_object(traits)
    tls = None if settings.certificate_files is None else Tls(ca, cert, key)

    async def work() -> list[Finding]:
        async with _look(settings) as look:
            findings = await preflight(
                look, file, given, canary_follows=canary_address is not None
            )
            if canary_address is not None:
                asking = ask.for_code(
                    canary_address, settings.code_ttl, piped=code_from_stdin
                )
                with open_channel(dialled(target or settings.listen), tls) as channel:
                    cage = _cage(look, Signups(channel, time.sleep), asking)
                    findings += await canary(cage, canary_address, given)
            return findings

    _tell(run(work), json_wanted=json_wanted)


def _file(paths: list[Path] | None) -> KratosFile | None:
    """Read Kratos' configuration, where it is given."""
    try:
        return read_files(paths) if paths else None
    except FileUnreadableError as error:
        raise typer.BadParameter(str(error), param_hint="--kratos-config") from error


@contextlib.asynccontextmanager
async def _look(settings: Settings) -> AsyncIterator[Look]:
    """Make what the preflight looks with."""
    log = logs.configure(json=False, level="warning")
    kratos, hook_http = kratos_of(settings), HttpClient()
    try:
        yield Look(kratos, hook_http, log, settings)
    finally:
        await kratos.close()
        await hook_http.close()


def _cage(look: Look, signups: Signups, asking: Callable[[], Awaitable[str]]) -> Cage:
    """Make what a canary works with."""
    return Cage(
        CanaryClient(signups),
        look.kratos,
        asking,
        look.settings,
    )


def _tell(findings: Sequence[Finding], *, json_wanted: bool) -> None:
    """Show the findings, and fail if one is an error."""
    if json_wanted:
        typer.echo(as_json(findings))
    else:
        show(findings, console())
    if any(finding.severity is Severity.ERROR for finding in findings):
        raise typer.Exit(EXIT_TROUBLE)
