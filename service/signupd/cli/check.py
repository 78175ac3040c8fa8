"""``signupd check``."""

import asyncio
import dataclasses
import json
import os
import select
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer
from kratos_signup.v1.signup_service_pb2_grpc import SignupServiceStub
from rich.console import Console
from rich.text import Text

from signupd.address import Address
from signupd.check.canary import Canary
from signupd.check.findings import Finding, Severity, Subject, consequences
from signupd.check.kratos_file import KratosFile, read_files
from signupd.check.preflight import preflight
from signupd.cli.common import (
    EXIT_TROUBLE,
    AsJson,
    Ca,
    Cert,
    Config,
    Key,
    Traits,
    demand_callable,
    json_object,
    mailbox,
    run,
    settings_of,
)
from signupd.cli.page import columns, console, printable
from signupd.client.channel import Tls, open_channel
from signupd.notation import dialled
from signupd.parts import kratos_of
from signupd.telemetry import logs
from signupd.textfile import FileUnusableError

_STYLES: Final = {Severity.OK: "green", Severity.WARNING: "yellow"}
_WORST: Final = "bold red"
MAX_CODE_LINE_BYTES: Final = 256
_LOOK_SECONDS: Final = 0.1


_CANARY_HELP: Final = "Also run a sign-up for this address, and delete its account."
CanaryAddress = Annotated[
    Address | None,
    typer.Option("--canary", parser=mailbox, metavar="ADDRESS", help=_CANARY_HELP),
]
_STDIN_HELP: Final = "Read the canary's code from standard input."
CodeFromStdin = Annotated[bool, typer.Option("--code-from-stdin", help=_STDIN_HELP)]
_FILE_HELP: Final = "Kratos' configuration; several are merged, the last one wins."
KratosConfig = Annotated[
    list[Path] | None, typer.Option(metavar="FILE", help=_FILE_HELP)
]
_TARGET_HELP: Final = "Where the canary finds the server; LISTEN unless given."
Target = Annotated[str | None, typer.Option(metavar="HOST:PORT", help=_TARGET_HELP)]


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
    """Check whether the running Kratos is set up for sign-ups.

    Each finding says what to change; the exit code is 1 if one is an error. The check
    costs Kratos one password hash and leaves no account.
    """
    settings = settings_of(config)
    file, given = _file(kratos_config), json_object(traits)
    tls, server = Tls(ca, cert, key), settings.listen if target is None else target
    demand_callable(server, tls)  # gRPC would end the process
    if canary_address is None and (target or tls != Tls() or code_from_stdin):
        hint = "--target, --ca, --cert, --key, --code-from-stdin"
        raise typer.BadParameter("they go with --canary", param_hint=hint)
    plaintext = settings.certificate_files is None and tls == Tls()
    log = logs.configure(json=False, level="warning")

    async def work() -> list[Finding]:
        kratos, address = kratos_of(settings), canary_address
        try:
            subject = Subject(kratos, settings, log, file, given, address is not None)
            findings = await preflight(subject)
            if address is not None:
                wait, piped = settings.code_ttl, code_from_stdin
                ask = partial(ask_for_code, address, wait, piped=piped)
                security = None if plaintext else tls
                with open_channel(dialled(server), security) as channel:
                    stub = SignupServiceStub(channel)
                    findings += await Canary(stub, subject, address.text, ask).run()
            return findings
        finally:
            await kratos.close()

    findings = consequences(run(work))
    if json_wanted:
        typer.echo(as_json(findings))
    else:
        show(findings, console())
    if any(finding.severity is Severity.ERROR for finding in findings):
        raise typer.Exit(EXIT_TROUBLE)


def _file(paths: list[Path] | None) -> KratosFile | None:
    try:
        return read_files(paths) if paths else None
    except FileUnusableError as error:
        raise typer.BadParameter(str(error), param_hint="--kratos-config") from error


def show(findings: Sequence[Finding], console: Console) -> None:
    """Show findings to a person: a table, then what each fault means."""
    table = columns("", "", "", header=False)
    for finding in findings:
        table.add_row(_severity(finding), finding.check, printable(finding.what))
    console.print(table)
    for finding in findings:
        if finding.severity is not Severity.OK:
            title = f" {finding.check}: {finding.what}"
            console.print()
            console.print(Text.assemble(_severity(finding), title))
            console.print(printable(finding.why))
            # Not folded, so that its lines can be pasted.
            console.print(finding.cure, soft_wrap=True)
    counts = Counter(finding.severity for finding in findings)
    console.print()
    console.print(", ".join(f"{name.value}: {counts[name]}" for name in Severity))


def as_json(findings: Sequence[Finding]) -> str:
    """Write findings for a script."""
    entries = [dataclasses.asdict(finding) for finding in findings]
    return json.dumps({"findings": entries}, indent=2)


def _severity(finding: Finding) -> Text:
    return Text(finding.severity.value, style=_STYLES.get(finding.severity, _WORST))


async def ask_for_code(address: Address, timeout_seconds: float, *, piped: bool) -> str:
    """Ask for the code in a mailbox; it is empty if nobody can be asked or answers.

    A standard input that is not a terminal is read only if ``piped``.
    """
    if not (piped or sys.stdin.isatty()):
        return ""
    if not piped:
        typer.echo(f"Code mailed to {address.masked}: ", nl=False, err=True)
    line, descriptor = b"", sys.stdin.fileno()
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_seconds):
            # What is piped may begin with empty lines; a person who types one gives up.
            while (
                b"\n" not in (line.lstrip() if piped else line)
                and len(line) < MAX_CODE_LINE_BYTES
            ):
                # A thread that waits would keep Ctrl-C from ending, and asyncio watches
                # no files.
                while not select.select([descriptor], [], [], 0)[0]:  # noqa: ASYNC110
                    await asyncio.sleep(_LOOK_SECONDS)
                part = os.read(descriptor, MAX_CODE_LINE_BYTES)
                if not part:
                    break
                line += part
            return line.decode(errors="replace").strip().partition("\n")[0]
    return ""
