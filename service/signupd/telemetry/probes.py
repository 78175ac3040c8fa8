"""The port that operators' machines ask: metrics, liveness, readiness."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from aiohttp import web
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily

from signupd.errors import LedgerUnavailable
from signupd.ledger.record import WAITING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

    from signupd.ledger.backlog import Backlog
    from signupd.telemetry.metrics import Metrics

# Counting reads an index entry for each sign-up under way, so scrapes that are closer
# together share one count.
COUNT_SECONDS: Final = 15.0


class Telemetry:
    """Answers scrapes and probes.

    The sign-ups under way come from the ledger, so every replica tells the same. The
    rest is this process' own.

    Args:
        backlog: Of the ledger: whether it answers, and how many sign-ups are under way.
        metrics: What was measured.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        backlog: Backlog,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._backlog = backlog
        self._metrics = metrics
        self._clock = clock
        self._counts: dict[str, int] | None = None
        self._counted_at: float | None = None
        self.ready = False

    def app(self) -> web.Application:
        """Make the web application."""
        app = web.Application()
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/livez", self.livez)
        app.router.add_get("/readyz", self.readyz)
        return app

    async def livez(self, _request: web.Request) -> web.Response:
        """Say that the process runs its loop."""
        return web.Response(text="alive\n")

    async def readyz(self, _request: web.Request) -> web.Response:
        """Say whether calls can be served: not while draining, nor with no ledger.

        Kratos is left out: with Kratos away every replica would be, and those that
        restart together are no help.
        """
        if not self.ready:
            return web.Response(status=503, text="not serving\n")
        try:
            await self._backlog.ping()
        except LedgerUnavailable:
            return web.Response(status=503, text="no ledger\n")
        return web.Response(text="ready\n")

    async def metrics(self, _request: web.Request) -> web.Response:
        """Tell all of it in Prometheus' text format."""
        await self._count()
        registry = CollectorRegistry()
        registry.register(_Counts(self._counts))
        body = generate_latest(registry) + generate_latest(self._metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _count(self) -> None:
        """Count anew where it is time; old counts do not stand for new ones."""
        now = self._clock()
        if self._counted_at is not None and now - self._counted_at < COUNT_SECONDS:
            return
        self._counts = self._counted_at = None
        with contextlib.suppress(LedgerUnavailable):
            self._counts = await self._backlog.under_way()
            self._counted_at = now


class _Counts:
    """One scrape's counts, as Prometheus' client wants them.

    Args:
        counts: Sign-ups under way by state; None if the ledger does not answer. They
            are left out then, and the scrape still has the rest.
    """

    def __init__(self, counts: dict[str, int] | None) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """Give the metric families."""
        yield GaugeMetricFamily(
            "signupd_ledger_up",
            "Whether the ledger answered; where not, it could not be counted.",
            value=self._counts is not None,
        )
        if self._counts is None:
            return
        under_way = GaugeMetricFamily(
            "signupd_signups",
            "Sign-ups that wait for a code or a password, on all replicas.",
            labels=["state"],
        )
        for state in WAITING:
            under_way.add_metric([state], self._counts.get(state, 0))
        yield under_way
