"""The metrics port: metrics for Prometheus, and probes of liveness and readiness."""

import asyncio
from collections.abc import Callable
from importlib.metadata import version
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge, Info, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from signupd.errors import LedgerUnavailable
from signupd.ledger.ledger import Ledger
from signupd.ledger.record import WAITING, WORK

# A count reads an index entry for each sign-up under way, so scrapes within this time
# share one.
COUNT_SECONDS: Final = 15.0


class Probes:
    """Answers scrapes and probes.

    The registry has the metrics of this process; the clock counts monotonic seconds.
    ``proved`` tells whether Kratos was seen to ask the password hook. ``ready`` and
    ``writable`` are set: whether the server serves, and whether its ledger took the
    last write.
    """

    def __init__(
        self,
        ledger: Ledger,
        registry: CollectorRegistry,
        clock: Callable[[], float],
        proved: Callable[[], bool],
    ) -> None:
        self.ready, self.writable = False, True
        self._ledger = ledger
        self._registry = registry
        self._clock = clock
        self._next_count = clock()
        self._asking = asyncio.Lock()
        # Not in the other registry: a counter there has the name of this gauge.
        self._counts = CollectorRegistry()
        self._ledger_up = Gauge(
            "signupd_ledger_up",
            "Whether the ledger answered when sign-ups were counted.",
            registry=self._counts,
        )
        self._under_way = Gauge(
            "signupd_signups",
            "Sign-ups that wait for a code or a password, on all replicas.",
            ("state",),
            registry=self._counts,
        )
        self._leases = Gauge(
            "signupd_leases",
            "Sign-ups with a lease, live or stale, on all replicas.",
            ("lease",),
            registry=self._counts,
        )
        self._connections = Gauge(
            "signupd_ledger_connections",
            "This process' connections to PostgreSQL, and calls waiting for one.",
            ("state",),
            registry=self._counts,
        )
        Gauge(
            "signupd_password_hook_proved",
            "Whether Kratos was seen to ask the password hook.",
            registry=self._counts,
        ).set_function(proved)
        build = Info("signupd_build", "The version.", registry=self._counts)
        build.info({"version": version("signupd")})

    def app(self) -> web.Application:
        """Make the web application."""
        app = web.Application()
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/livez", self.livez)
        app.router.add_get("/readyz", self.readyz)
        return app

    async def livez(self, _request: web.Request) -> web.Response:
        """Answer that the process runs."""
        return web.Response(text="alive\n")

    async def readyz(self, _request: web.Request) -> web.Response:
        """Answer whether calls can be served: not while draining or without a ledger.

        Kratos does not count: without it all replicas would be unready at once, and
        restarting them does not help.
        """
        if not self.ready:
            return web.Response(status=503, text="not serving\n")
        if not self.writable:
            return web.Response(status=503, text="no ledger\n")
        return web.Response(text="ready\n")

    async def metrics(self, _request: web.Request) -> web.Response:
        """Answer with all metrics, in Prometheus' text format."""
        async with self._asking:
            if self._clock() >= self._next_count:
                await self._count()
        for state, count in self._ledger.connections().items():
            self._connections.labels(state).set(count)
        body = generate_latest(self._counts) + generate_latest(self._registry)
        return web.Response(
            body=body, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        )

    async def _count(self) -> None:
        """Count sign-ups under way; without the ledger the metric has no values."""
        try:
            counts = await self._ledger.under_way()
        except LedgerUnavailable:
            self._ledger_up.set(0)
            self._under_way.clear()
            self._leases.clear()
        else:
            self._ledger_up.set(1)
            for state in WAITING:
                self._under_way.labels(state).set(counts.get(state, 0))
            for lease in WORK:
                self._leases.labels(lease).set(counts.get(lease, 0))
        self._next_count = self._clock() + COUNT_SECONDS
