"""``signupd serve``."""

from __future__ import annotations

import asyncio
import signal
import sys

from signupd import logs
from signupd.bootstrap import Service
from signupd.cli.common import Config, run, settings_of
from signupd.ledger.lock import alone_on


def serve(config: Config = None) -> None:
    """Serve until told to stop (SIGTERM, SIGINT), then drain."""
    settings = settings_of(config)
    as_json = settings.log_format == "json" or (
        settings.log_format is None and not sys.stderr.isatty()
    )
    log = logs.configure(json=as_json, level=settings.log_level)

    async def work() -> None:
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopping.set)
        with alone_on(settings.ledger_url):
            service = Service(settings, log)
            try:
                await service.start()
                await stopping.wait()
            finally:
                await service.stop()

    run(work)
