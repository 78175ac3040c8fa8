"""``signupd serve``."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING

import typer
import uvloop

from signupd import logs
from signupd.cli.common import EXIT_SETTINGS, Config, complain, run, settings_of
from signupd.ledger.lock import alone_on
from signupd.service import Service
from signupd.telemetry.switch import TracingUnusableError, tracing_of

if TYPE_CHECKING:
    from signupd.telemetry.tracing import Tracing


def serve(config: Config = None) -> None:
    """Serve until told to stop (SIGTERM, SIGINT), then drain."""
    settings = settings_of(config)
    as_json = settings.log_format == "json" or (
        settings.log_format is None and not sys.stderr.isatty()
    )
    log = logs.configure(json=as_json, level=settings.log_level)
    tracing = _tracing()

    async def work() -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        with alone_on(settings.ledger_url):
            service = Service(settings, log, tracing=tracing)
            try:
                await service.start()
                # What is there now stays: no need to look through it for garbage
                # every few hundred calls.
                gc.collect()
                gc.freeze()
                await stopping.wait()
            finally:
                await service.stop()

    run(work, uvloop.new_event_loop)


def _tracing() -> Tracing | None:
    """Make what OpenTelemetry's variables ask for.

    Raises:
        typer.Exit: It cannot be made; why has been said.
    """
    try:
        return tracing_of(os.environ)
    except TracingUnusableError as error:
        complain([str(error)])
        raise typer.Exit(EXIT_SETTINGS) from None
