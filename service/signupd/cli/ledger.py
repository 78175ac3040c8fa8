"""``signupd migrate`` and ``signupd sweep``: care of the ledger."""

from __future__ import annotations

import typer

from signupd import logs
from signupd.cli.common import Config, run, settings_of
from signupd.ledger.schema import migrate as bring_up_to_date
from signupd.service import Parts
from signupd.telemetry.observer import Observer


def migrate(config: Config = None) -> None:
    """Bring the ledger's schema up to date. ``serve`` does it too, with SQLite."""
    settings = settings_of(config)

    async def work() -> None:
        before, after = await bring_up_to_date(settings.ledger_url)
        typer.echo(f"ledger schema: {before or 'none'} -> {after}")

    run(work)


def sweep(config: Config = None) -> None:
    """Do one round of the sweeper, now."""
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
