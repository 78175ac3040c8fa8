"""The composition root: settings in, a running service out."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from signupd.assembly import deps_of, kratos_of, micros, secret
from signupd.errors import (
    KratosIncompatible,
    KratosUnavailable,
    LedgerUnavailable,
)
from signupd.front import credentials_of, server_of
from signupd.hooks import Hooks
from signupd.ledger.backlog import Backlog
from signupd.ledger.database import make_database, steady_clock
from signupd.ledger.schema import demand_usable, is_up_to_date, migrate
from signupd.observer import Both
from signupd.signup.approve import approve
from signupd.signup.events import Events
from signupd.signup.gate import PROOF_INTERVAL_SECONDS
from signupd.signup.sweep import Swept, pause, sweep
from signupd.signup.work import Work
from signupd.telemetry.metrics import Metrics
from signupd.telemetry.probes import Telemetry
from signupd.web import listen, runner_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import structlog

    from signupd.settings import Settings
    from signupd.telemetry.tracing import Tracing

_NAMED_AT_START: Final = 20


class Service:
    """A whole service in this process: hook port, gRPC server, proof of the hook.

    Args:
        settings: What to be.
        log: Where to write.
        clock: The ledger's clock, in microseconds since the Unix epoch.
        tracing: Where spans go, if anywhere.
    """

    def __init__(
        self,
        settings: Settings,
        log: structlog.typing.FilteringBoundLogger,
        clock: Callable[[], int] | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._settings = settings
        self._log = log
        self._tracing = tracing
        metrics = Metrics(time.monotonic)
        observer = metrics if tracing is None else Both(metrics, tracing)
        self._kratos = kratos_of(settings, observer)
        self._database = make_database(settings.ledger_url, clock or steady_clock())
        events = Events(log, metrics)
        self.deps = deps_of(settings, self._kratos, self._database, events, log)
        self.backlog = Backlog(self._database, settings.sweep_batch)
        self._work = Work()
        # Apart from the callers' work: it must not take of what they may have at once.
        self._chores = Work()
        hooks = Hooks(partial(approve, self.deps), log, secret(settings.hook_key))
        self._hooks = runner_of(hooks.app(), log, "hook port")
        self._server = server_of(
            settings, self.deps, self._kratos.admin, self._work, observer
        )
        self._telemetry = Telemetry(self.backlog, metrics, time.monotonic)
        self._metrics = runner_of(self._telemetry.app(), log, "metrics port")
        self._loops: list[asyncio.Task[None]] = []
        self.port = 0
        self.hook_port = 0
        self.metrics_port = 0

    async def start(self) -> None:
        """Bring the ledger up to date, open the hook port, then serve.

        Raises:
            OSError: A port cannot be had.
            CertificatesUnusable: The server's certificate cannot be used.
            LedgerUnavailable: The ledger cannot be opened.
        """
        # Taken first: where it cannot be had nothing else must have been touched.
        credentials = credentials_of(self._settings, self._log)
        self.port = self._server.listen(self._settings.listen, credentials)
        await self.open_ledger(alone=True)
        await self._name_unopened()
        self.hook_port = await listen(self._hooks, self._settings.hook_listen)
        if self._settings.metrics_listen:
            address = self._settings.metrics_listen
            self.metrics_port = await listen(self._metrics, address)
        await self._server.start()
        self._telemetry.ready = True
        self._loops = [
            asyncio.create_task(self._prove()),
            asyncio.create_task(self._sweep()),
        ]
        self._log.info(
            "serving", listen=self._settings.listen, hooks=self._settings.hook_listen
        )

    async def _name_unopened(self) -> None:
        """Say which sign-ups cannot go on, since their key has been forgotten."""
        left = await self.backlog.unopened(self.deps.keys.heads, _NAMED_AT_START)
        if left:
            self._log.error(
                "key_forgotten",
                signup_ids=[str(signup_id) for signup_id in left],
                more=len(left) == _NAMED_AT_START,
                why="TOKEN_KEYS lacks a key that sign-ups under way are sealed with; "
                "keep old keys behind the new one until RETENTION has passed",
            )

    async def stop(self) -> None:
        """Drain: no new calls, end those under way, then let go of everything.

        The hook port goes last of what listens, since work under way needs it.
        """
        self._telemetry.ready = False
        for loop in self._loops:
            loop.cancel()
        if self.port:
            await self._server.stop(self._settings.drain_seconds)
        await self._work.drain()
        await self._chores.drain()
        await self._hooks.cleanup()
        await self._metrics.cleanup()
        await self._kratos.close()
        await self._database.close()
        if self._tracing is not None:
            self._tracing.close()
        self._log.info("stopped")

    async def open_ledger(self, *, alone: bool) -> None:
        """Bring a SQLite ledger up to date; demand that a shared one is.

        Args:
            alone: Whether this is the one server of a SQLite ledger. Then whoever held
                a lease there is dead.

        Raises:
            LedgerUnavailable: As ``demand_usable``.
        """
        await self._database.open()
        if self._database.shared:
            await demand_usable(self._database)
        elif not await is_up_to_date(self._database):
            await migrate(self._settings.ledger_url)
        if alone and not self._database.shared:
            await self.backlog.end_all_leases()
        await self._database.read_clock()

    async def sweep(self) -> Swept:
        """Do one round of sweeping, to its end whatever becomes of the caller."""
        return await self._chores.run(
            None,
            lambda: sweep(
                self.deps, self.backlog, retention=micros(self._settings.retention)
            ),
        )

    async def _sweep(self) -> None:
        """Sweep for ever, with a rest after each round."""
        while True:
            rest = self._settings.sweep_interval
            begun = time.monotonic()
            try:
                swept = await self.sweep()
                rest = pause(swept, time.monotonic() - begun, rest)
            except LedgerUnavailable as error:
                self._log.warning("not_swept", why=error.detail)
            except Exception:  # noqa: BLE001 - one bad round must not end the sweeping
                self._log.exception("defect", where="sweeper")
            await asyncio.sleep(rest)

    async def _prove(self) -> None:
        """Look at schema and hook before anybody asks, and say what is wrong if so."""

        async def prove() -> None:
            await self.deps.schema.permit({})
            await self.deps.gate.prove({})

        while True:
            try:
                await self._chores.run(None, prove)
            except KratosUnavailable as error:
                self._log.warning("kratos_unavailable", why=error.detail)
            except KratosIncompatible:
                pass  # whoever found it has said it
            else:
                return
            await asyncio.sleep(PROOF_INTERVAL_SECONDS)
