"""The composition root: settings in, a running service out."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from signupd.errors import KratosIncompatible, KratosUnavailable
from signupd.hooks import Hooks
from signupd.keyfile import key_ring
from signupd.kratos.admin import AdminApi
from signupd.kratos.client import Kratos, Timeouts
from signupd.kratos.hook_proof import PROOF_INTERVAL_SECONDS, HookProof
from signupd.kratos.http import HttpClient
from signupd.kratos.public import PublicApi
from signupd.ledger.backlog import Backlog
from signupd.ledger.buckets import Buckets
from signupd.ledger.database import make_database, steady_clock
from signupd.ledger.ledger import Ledger
from signupd.ledger.schema import demand_usable, is_up_to_date, migrate
from signupd.policy.identity_schema import SchemaRules
from signupd.policy.mail_limits import MailLimits
from signupd.policy.rules import HOUR_SECONDS, Limit, Rules, micros
from signupd.probes import Probes
from signupd.rpc.accounts import AccountServicer
from signupd.rpc.callers import Callers
from signupd.rpc.credentials import Credentials
from signupd.rpc.interceptor import ErrorInterceptor
from signupd.rpc.server import Server
from signupd.rpc.signups import SignupServicer
from signupd.signup.approve import approve
from signupd.signup.deps import Dependencies
from signupd.signup.events import Event, Events
from signupd.sweeper import Sweeper
from signupd.telemetry.observer import Observer
from signupd.web import listen, runner_of
from signupd.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable

    import structlog
    from pydantic import SecretStr

    from signupd.ledger.database import Database
    from signupd.settings import Settings
    from signupd.telemetry.tracing import Tracing

_LISTED_AT_START: Final = 20
# Kratos calls a hook: a dead one costs it three tries and 3 s, a slow one more.
_HOOKED_TIMEOUT_SECONDS: Final = 30.0
# The most calls that one lease covers beside the hooked one: a look-up, and three tries
# at a deletion. At the code: the flow's state, the code again, a look-up.
_CALLS_UNDER_LEASE: Final = 4
_LEASE_SLACK_SECONDS: Final = 5.0
# How long after our approval Kratos may still store; see Rules.approval.
_APPROVAL_SECONDS: Final = 45.0


class Service:
    """A whole service in this process: hook port, gRPC server, sweeper, proof.

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
        observer = Observer(Event, tracing)
        self._parts = Parts.of(settings, log, observer, clock)
        self.deps, self.backlog = self._parts.deps, self._parts.backlog
        self.sweeper = self._parts.sweeper
        self._work = Work()
        # Apart from the callers' work, which MAX_CONCURRENT_RPCS limits.
        self._chores = Work()
        hooks = Hooks(partial(approve, self.deps), log, secret(settings.hook_key))
        self._hooks = runner_of(hooks.app(), log, "hook port")
        self._server = server_of(settings, self.deps, self._work, observer)
        self._probes = Probes(self.backlog, observer.registry, time.monotonic)
        self._metrics = runner_of(self._probes.app(), log, "metrics port")
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
        settings, files = self._settings, self._settings.certificate_files
        credentials = None if files is None else Credentials(files, self._log)
        # The port comes first: without it nothing else must have been touched.
        self.port = self._server.listen(settings.listen, credentials)
        await self._parts.open_ledger(only_server=True)
        await self._log_unreadable()
        self.hook_port = await listen(self._hooks, settings.hook_listen)
        if settings.metrics_listen:
            self.metrics_port = await listen(self._metrics, settings.metrics_listen)
        await self._server.start()
        self._probes.ready = True
        self._loops = [
            asyncio.create_task(self._prove_hook()),
            asyncio.create_task(self.sweeper.run()),
        ]
        self._log.info("serving", listen=settings.listen, hooks=settings.hook_listen)

    async def stop(self) -> None:
        """Drain: accept no new calls, finish those under way, then close everything.

        The hook port closes after the work under way, which needs it.
        """
        self._probes.ready = False
        for loop in self._loops:
            loop.cancel()
        if self.port:
            await self._server.stop(self._settings.drain_seconds)
        await self._work.drain()
        await self._chores.drain()
        await self.sweeper.drain()
        await self._hooks.cleanup()
        await self._metrics.cleanup()
        await self._parts.close()
        if self._tracing is not None:
            self._tracing.close()
        self._log.info("stopped")

    async def _log_unreadable(self) -> None:
        """Log which sign-ups cannot go on because their key is gone."""
        left = await self.backlog.unopened(self.deps.keys.heads, _LISTED_AT_START)
        if left:
            self._log.error(
                "key_forgotten",
                signup_ids=[str(signup_id) for signup_id in left],
                more=len(left) == _LISTED_AT_START,
                why="TOKEN_KEYS lacks a key that sign-ups under way are sealed with; "
                "keep old keys behind the new one until RETENTION has passed",
            )

    async def _prove_hook(self) -> None:
        """Check schema and hook before the first call, and log what is wrong."""

        async def prove() -> None:
            await self.deps.schema.permit({})
            await self.deps.hook_proof.prove({})

        while True:
            try:
                await self._chores.run(None, prove)
            except KratosUnavailable as error:
                self._log.warning("kratos_unavailable", why=error.detail)
            except KratosIncompatible:
                pass  # it was logged where it was found
            else:
                return
            await asyncio.sleep(PROOF_INTERVAL_SECONDS)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the server and ``signupd sweep`` have in common.

    Args:
        settings: What they were made from.
        kratos: The way to Kratos.
        database: The ledger's.
        deps: What the steps of a sign-up work with.
        backlog: What is due in the ledger.
        sweeper: Works on it.
    """

    settings: Settings
    kratos: Kratos
    database: Database
    deps: Dependencies
    backlog: Backlog
    sweeper: Sweeper

    @classmethod
    def of(
        cls,
        settings: Settings,
        log: structlog.typing.FilteringBoundLogger,
        observer: Observer,
        clock: Callable[[], int] | None = None,
    ) -> Self:
        """Make them; nothing is connected yet."""
        kratos = kratos_of(settings, observer)
        database = make_database(settings.ledger_url, clock or steady_clock())
        rules = rules_of(settings)
        deps = Dependencies(
            ledger=Ledger(database),
            mails=MailLimits(Buckets(database), rules),
            kratos=kratos,
            keys=key_ring(settings),
            rules=rules,
            hook_proof=HookProof(kratos, log),
            schema=SchemaRules(kratos.public, settings.identity_schema_id, log),
            events=Events(log, observer),
            log=log,
        )
        backlog = Backlog(database, settings.sweep_batch)
        sweeper = Sweeper(
            deps,
            backlog,
            retention=micros(settings.retention),
            interval_seconds=settings.sweep_interval,
        )
        return cls(settings, kratos, database, deps, backlog, sweeper)

    async def open_ledger(self, *, only_server: bool) -> None:
        """Bring a SQLite ledger up to date; demand that a shared one is.

        Args:
            only_server: Whether this is the one server of a SQLite ledger. Then the
                holder of every lease in it is dead.

        Raises:
            LedgerUnavailable: As ``demand_usable``.
        """
        await self.database.open()
        if self.database.shared:
            await demand_usable(self.database)
        elif not await is_up_to_date(self.database):
            await migrate(self.settings.ledger_url)
        if only_server and not self.database.shared:
            await self.backlog.end_all_leases()
        await self.database.read_clock()

    async def close(self) -> None:
        """Close all connections."""
        await self.kratos.close()
        await self.database.close()


def kratos_of(settings: Settings, observer: Observer | None = None) -> Kratos:
    """Make the way to Kratos; the caller closes it."""
    http = HttpClient(ca=settings.kratos_ca, observer=observer)
    seconds = settings.kratos_timeout
    timeouts = Timeouts(call=seconds, hooked=max(_HOOKED_TIMEOUT_SECONDS, seconds))
    token = secret(settings.kratos_admin_token)
    return Kratos(
        http,
        PublicApi(http, settings.kratos_public_url, timeouts),
        AdminApi(http, settings.kratos_admin_url, seconds, token),
    )


def server_of(
    settings: Settings, deps: Dependencies, work: Work, observer: Observer
) -> Server:
    """Make the gRPC server; it listens nowhere yet."""
    callers = callers_of(settings)
    most = settings.max_concurrent_rpcs
    return Server(
        ErrorInterceptor(deps.log, callers, work, most, observer),
        SignupServicer(deps, work, callers),
        AccountServicer(deps.kratos.admin, work),
        callers,
        reflect=settings.reflects,
    )


def callers_of(settings: Settings) -> Callers:
    """Make what decides who may call what."""
    return Callers(
        local=settings.listens_locally,
        mutual=settings.tls_client_ca is not None,
        grants=settings.callers,
    )


def rules_of(settings: Settings) -> Rules:
    """Make the rules that a sign-up goes by."""
    hooked = max(_HOOKED_TIMEOUT_SECONDS, settings.kratos_timeout)
    calls = hooked + _CALLS_UNDER_LEASE * settings.kratos_timeout
    return Rules(
        code_ttl=micros(settings.code_ttl),
        password_ttl=micros(settings.password_ttl),
        code_attempts=settings.code_attempts,
        password_attempts=settings.password_attempts,
        resend_interval=micros(settings.resend_interval),
        sends=settings.sends_per_signup,
        per_address=Limit(settings.sends_per_address, micros(settings.sends_refill)),
        # Rounded up: in no hour may more come back than that.
        per_client=Limit(
            settings.sends_per_ip_per_hour,
            -(-micros(HOUR_SECONDS) // settings.sends_per_ip_per_hour),
        ),
        password_min_length=settings.password_min_length,
        password_max_bytes=settings.password_max_bytes,
        lease=micros(calls + _LEASE_SLACK_SECONDS),
        approval=micros(_APPROVAL_SECONDS),
    )


def secret(value: SecretStr | None) -> str | None:
    """Return the text of a secret, or None."""
    return None if value is None else value.get_secret_value()
