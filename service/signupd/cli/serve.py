"""``signupd serve``, and ``migrate`` and ``sweep``, the upkeep of its ledger."""

import asyncio
import gc
import os
import signal
import sys
from functools import partial
from importlib.metadata import version

import structlog
import typer
import uvloop

from signupd.cli.common import EXIT_SETTINGS, Config, complain, run, settings_of
from signupd.ledger.migrate import migrate as migrate_ledger
from signupd.ledger.sqlite import alone_on
from signupd.parts import Parts
from signupd.service import Service
from signupd.settings import Settings
from signupd.signup.transitions import Event
from signupd.sources import names_of_kubernetes
from signupd.telemetry import logs
from signupd.telemetry.observer import Observer
from signupd.telemetry.switch import TracingUnusableError, tracing_of


def serve(config: Config = None) -> None:
    """Run the server until SIGTERM or SIGINT, then drain it; SIGINT without a wait."""
    settings = settings_of(config)
    as_json = settings.log_format == "json" or (
        settings.log_format is None and not sys.stderr.isatty()
    )
    log = logs.configure(json=as_json, level=settings.log_level)
    observer = Observer(Event)

    try:
        with logs.written_by_a_thread(
            observer.dropped_lines.inc, observer.error_logged
        ):
            log.info("starting", version=version("signupd"))
            if ignored := names_of_kubernetes():
                why = "Kubernetes sets them"
                log.debug("variables_ignored", names=ignored, why=why)
            for line in settings.warnings():
                log.warning("unsafe_setting", why=line)
            observer.tracing = tracing_of(os.environ)
            serving = partial(_serve, settings, log, observer)
            run(serving, uvloop.new_event_loop)
    except TracingUnusableError as error:  # after the lines of the log
        complain([str(error)])
        raise typer.Exit(EXIT_SETTINGS) from None


async def _serve(
    settings: Settings, log: structlog.typing.FilteringBoundLogger, observer: Observer
) -> None:
    """Serve until a signal, then drain."""
    stopping = asyncio.Event()
    add_handler = asyncio.get_running_loop().add_signal_handler
    add_handler(signal.SIGTERM, stopping.set)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        add_handler(signal.SIGHUP, stopping.set)
    with alone_on(settings.ledger_url):
        service = Service(settings, log, observer=observer)

        def interrupted() -> None:  # at a terminal, where no balancer is
            service.hurry.set()
            stopping.set()

        add_handler(signal.SIGINT, interrupted)
        try:
            await service.start()
            # Objects that exist now stay; the collector need not visit them.
            gc.collect()
            gc.freeze()
            await stopping.wait()
        finally:
            await service.stop()


def migrate(config: Config = None) -> None:
    """Upgrade the ledger's schema. With SQLite the server does it at start."""
    settings = settings_of(config)
    before, after = run(lambda: migrate_ledger(settings.ledger_url))
    typer.echo(f"ledger schema: {before or 'none'} -> {after}")


def sweep(config: Config = None) -> None:
    """Run the sweeper once.

    It settles stale leases, but for those of a first mail, writes down which sign-ups
    have expired, and deletes rows that are older than RETENTION.
    """
    settings = settings_of(config)
    log = logs.configure(json=False, level="warning")

    async def work() -> None:
        parts = Parts.of(settings, log, Observer())
        try:
            await parts.open_ledger(only_server=False)
            done = await parts.sweeper.sweep()
        finally:
            await parts.close()
        typer.echo(
            f"settled {done.settled}, not settled {done.failed}, "
            f"expired {done.expired}, forgotten {done.forgotten}"
            + (", more is due" if done.more else "")
        )

    run(work)
