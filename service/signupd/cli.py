"""The commands."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from signupd import logs
from signupd.bootstrap import Service
from signupd.errors import SignupdError
from signupd.ledger.schema import migrate as bring_up_to_date
from signupd.settings import Settings, SettingsInvalidError, load

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

EXIT_TROUBLE: Final = 1
EXIT_SETTINGS: Final = 2

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks show the values of variables
    help="The sign-up front of Ory Kratos. Settings: environment, SIGNUPD_ and a name.",
)
Config = Annotated[
    Path | None, typer.Option("--config", help="A TOML file of settings.")
]


@app.callback()
def _commands() -> None:
    """Have typer treat a single command as one of several."""


@app.command()
def serve(config: Config = None) -> None:
    """Serve until told to stop (SIGTERM, SIGINT), then drain."""
    settings = _settings(config)
    as_json = settings.log_format == "json" or (
        settings.log_format is None and not sys.stderr.isatty()
    )
    log = logs.configure(json=as_json, level=settings.log_level)

    async def run() -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        service = Service(settings, log)
        try:
            await service.start()
            await stopping.wait()
        finally:
            await service.stop()

    _run(run)


@app.command()
def migrate(config: Config = None) -> None:
    """Bring the ledger's schema up to date. ``serve`` does it too, with SQLite."""
    settings = _settings(config)

    async def run() -> None:
        before, after = await bring_up_to_date(settings.ledger_url)
        print(f"ledger schema: {before or 'none'} -> {after}")  # noqa: T201

    _run(run)


@app.command()
def sweep(config: Config = None) -> None:
    """Do one round of the sweeper, now."""
    settings = _settings(config)
    log = logs.configure(json=False, level="warning")

    async def run() -> None:
        service = Service(settings, log)
        try:
            await service.open_ledger(alone=False)
            done = await service.sweep()
        finally:
            await service.stop()
        print(  # noqa: T201
            f"settled {done.settled}, not settled {done.failed}, "
            f"expired {done.expired}, forgotten {done.forgotten}"
            + (", more is due" if done.more else "")
        )

    _run(run)


def _run(job: Callable[[], Coroutine[Any, Any, None]]) -> None:
    try:
        asyncio.run(job())
    except (SignupdError, OSError) as error:
        _complain([str(error)])
        raise typer.Exit(EXIT_TROUBLE) from None


def _settings(config: Path | None) -> Settings:
    try:
        return load(config)
    except SettingsInvalidError as error:
        _complain(error.mistakes)
        raise typer.Exit(EXIT_SETTINGS) from None


def _complain(lines: list[str]) -> None:
    for line in lines:
        typer.echo(f"signupd: {line}", err=True)


def main() -> None:
    """Run the command line."""
    app()
