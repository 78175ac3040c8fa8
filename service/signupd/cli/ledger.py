"""``signupd migrate`` and ``signupd sweep``: maintenance of the ledger."""

from __future__ import annotations

import typer

from signupd import logs
from signupd.cli.common import Config, run, settings_of
from signupd.ledger.schema import migrate as bring_up_to_date
from signupd.parts import Parts
from signupd.telemetry.observer import Observer


def migrate(config: Config = None) -> None:
    """Upgrade the ledger's schema. With SQLite the server does it at start."""
    settings = settings_of(config)

    async def work() -> None:
        before, after = await bring_up_to_date(settings.ledger_url)
        typer.echo(f"ledger schema: {before or 'none'} -> {after}")

    run(work)


def sweep(config: Config = None) -> None:
    """Run the sweeper once.

    It settles stale leases, writes down which sign-ups have expired, and deletes rows
    that are older than RETENTION.
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
