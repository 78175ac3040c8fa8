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
from signupd.ledger.sqlite import alone_on
from signupd.service import Service
from signupd.telemetry.switch import TracingUnusableError, tracing_of

if TYPE_CHECKING:
    from signupd.telemetry.tracing import Tracing


def serve(config: Config = None) -> None:
    """Run the server until SIGTERM or SIGINT, then drain it."""
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
                # Objects that exist now stay; the collector need not visit them.
                gc.collect()
                gc.freeze()
                await stopping.wait()
            finally:
                await service.stop()

    run(work, uvloop.new_event_loop)


def _tracing() -> Tracing | None:
    """Set up tracing as OpenTelemetry's variables say.

    Raises:
        typer.Exit: It cannot be set up; the reason was printed.
    """
    try:
        return tracing_of(os.environ)
    except TracingUnusableError as error:
        complain([str(error)])
        raise typer.Exit(EXIT_SETTINGS) from None
