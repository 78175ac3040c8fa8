"""The composition root: settings in, a running service out."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import structlog

from signupd.errors import KratosIncompatible, KratosUnavailable
from signupd.kratos.hook_proof import PROOF_INTERVAL_SECONDS
from signupd.parts import Parts
from signupd.ports import health
from signupd.ports.hooks import Hooks, listen, runner_of
from signupd.ports.probes import Probes
from signupd.ports.tls import server_context
from signupd.rpc.interceptor import wall_clock
from signupd.rpc.server import Server
from signupd.sealing import hook_signature
from signupd.settings import Settings
from signupd.signup.approve import approve
from signupd.signup.transitions import Event
from signupd.signup.verify import note_proof
from signupd.telemetry.observer import Observer
from signupd.work import Work

_LISTED_AT_START: Final = 20
# A ledger that is away when the server ends does not hold it up for longer.
_RELEASE_SECONDS: Final = 5.0


class Service:
    """A whole service in this process: hook port, gRPC server, sweeper, hook proof.

    The clock gives microseconds since the Unix epoch, for the ledger and for
    certificates. ``chance`` returns a random number from 0 to 1.
    """

    def __init__(
        self,
        settings: Settings,
        log: structlog.typing.FilteringBoundLogger,
        clock: Callable[[], int] | None = None,
        observer: Observer | None = None,
        chance: Callable[[], float] | None = None,
    ) -> None:
        self._settings = settings
        self._log = log
        self._observer = observer = observer or Observer(Event)
        self._parts = Parts.of(settings, log, observer, clock, chance)
        self.deps = self._parts.deps
        self.sweeper = self._parts.sweeper
        self._work = Work()
        # Separate from the callers' work, which MAX_CONCURRENT_RPCS limits.
        self._chores = Work()
        proofs, accounts = partial(note_proof, self.deps), partial(approve, self.deps)
        keys = tuple(key.get_secret_value() for key in settings.hook_key)
        sign = partial(hook_signature, self.deps.keys)
        hooks = Hooks(proofs, accounts, sign, log, keys, observer)
        self._hooks = runner_of(hooks.app(), log, "hook port")
        now = clock or wall_clock
        self._server = Server(settings, self.deps, self._work, now)
        self._probes = Probes(
            self.deps.ledger,
            observer.registry,
            time.monotonic,
            lambda: self.deps.hook_proof.proved,
        )
        self._metrics = runner_of(self._probes.app(), log, "metrics port")
        self._loops: list[asyncio.Task[None]] = []
        self.hurry = asyncio.Event()  # ends the wait of ``stop``
        self.port = 0
        self.hook_port = 0
        self.metrics_port = 0

    async def start(self) -> None:
        """Bring the ledger up to date, open the hook port, then serve.

        Raises:
            OSError: A port is not available.
            CertificatesUnusable: The server's certificate cannot be used.
            LedgerUnavailable: The ledger cannot be opened.
            SettingsInvalidError: DIGEST_KEY is not the ledger's.
        """
        settings = self._settings
        # The port comes first: a second server must not touch the ledger.
        with _listening("LISTEN", settings.listen):
            self.port = self._server.listen(settings.listen)
        await self._parts.open_ledger(only_server=True)
        while await self.sweeper.clamp():
            pass
        await self._log_unreadable()
        with _listening("HOOK_LISTEN", settings.hook_listen):
            files = settings.hook_certificate_files
            tls = None if files is None else server_context(files, self._log)
            self.hook_port = await listen(self._hooks, settings.hook_listen, tls)
        if settings.metrics_listen:
            with _listening("METRICS_LISTEN", settings.metrics_listen):
                self.metrics_port = await listen(self._metrics, settings.metrics_listen)
        await self._server.start()
        self._probes.ready = True
        self._loops = [
            asyncio.create_task(self._prove_hook()),
            asyncio.create_task(
                health.watch(self.deps, self._tell_health, health.INTERVAL_SECONDS)
            ),
            asyncio.create_task(self.sweeper.run()),
        ]
        self._log.info("serving", listen=settings.listen, hooks=settings.hook_listen)

    async def stop(self) -> None:
        """Say NOT_SERVING, serve on, finish the calls under way, then close everything.

        Balancers send calls until they notice; ``hurry`` ends that wait. The hook port
        closes after the work under way, which needs it.
        """
        serving, self._probes.ready = self._probes.ready, False
        if serving:
            self._log.info("stopping", seconds=self._settings.drain_wait)
            await self._server.announce_stop()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.drain_wait):
                    await self.hurry.wait()
        for loop in self._loops:
            loop.cancel()
        if self.port:
            await self._server.stop(self._settings.drain_timeout)
        await self._work.drain()
        await self._chores.drain()
        await self.deps.releases.drain(_RELEASE_SECONDS)
        await self.sweeper.work.drain()
        await self._hooks.cleanup()
        await self._metrics.cleanup()
        await self._parts.close()
        if self._observer.tracing is not None:
            self._observer.tracing.close()
        self._log.info("stopped")

    async def _tell_health(self, works: dict[str, bool]) -> None:
        self._probes.writable = works[""]
        await self._server.tell_health(works)

    async def _log_unreadable(self) -> None:
        """Log the sign-ups that cannot go on because their key is gone."""
        left = await self.deps.ledger.unopened(self.deps.keys.heads, _LISTED_AT_START)
        if left:
            self._log.error(
                "key_forgotten",
                signup_ids=[str(signup_id) for signup_id in left],
                more=len(left) == _LISTED_AT_START,
                why="TOKEN_KEYS lacks a key that sign-ups under way are sealed with; "
                "keep old keys behind the new one until RETENTION has passed",
            )

    async def _prove_once(self) -> None:
        await self.deps.schema.permit({})
        await self.deps.hook_proof.prove({})

    async def _prove_hook(self) -> None:
        """Check schema and hook before the first call, and log what is wrong.

        A proof that was revoked is made anew.
        """
        proof = self.deps.hook_proof
        while True:
            if proof.proved or proof.waits:
                await asyncio.sleep(PROOF_INTERVAL_SECONDS)
                continue
            try:
                await self._chores.run(self._prove_once)
            except KratosUnavailable as error:
                self._log.warning("kratos_unavailable", why=error.detail)
            except KratosIncompatible:
                pass  # it was logged where it was found
            except Exception:  # noqa: BLE001 - or the proof would never be made
                self._log.exception("defect", where="hook proof")
            await asyncio.sleep(PROOF_INTERVAL_SECONDS)


@contextlib.contextmanager
def _listening(setting: str, address: str) -> Iterator[None]:
    """Name the setting of an address that cannot be listened on, and why."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        if error.errno and not isinstance(error, socket.gaierror):
            why = os.strerror(error.errno)  # asyncio's own words repeat the address
        raise OSError(f"{setting}: cannot listen on {address}: {why}") from error
