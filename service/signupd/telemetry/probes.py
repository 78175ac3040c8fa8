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
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from signupd.errors import LedgerUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

    from signupd.ledger.backlog import Backlog
    from signupd.ledger.outbox import Counts, Outbox
    from signupd.signup.tally import Tally
    from signupd.telemetry.metrics import Metrics

# Counting reads all events since the sweeper's last round; scrapes closer together
# share one count.
COUNT_SECONDS: Final = 5.0


class Telemetry:
    """Answers scrapes and probes.

    The counts of sign-ups come from the ledger, so every replica tells the same, they
    survive restarts, and started is always the sum of the others. The rest is this
    process' own.

    Args:
        backlog: Tells whether the ledger answers.
        outbox: Where the counts of sign-ups come from.
        tally: What else was counted.
        metrics: What was measured.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        backlog: Backlog,
        outbox: Outbox,
        tally: Tally,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._backlog = backlog
        self._outbox = outbox
        self._tally = tally
        self._metrics = metrics
        self._clock = clock
        self._counts: Counts | None = None
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
        registry.register(_Counts(self._counts, self._tally))
        body = generate_latest(registry) + generate_latest(self._metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _count(self) -> None:
        """Count anew where it is time; old counts do not stand for new ones."""
        now = self._clock()
        if self._counted_at is not None and now - self._counted_at < COUNT_SECONDS:
            return
        self._counts = self._counted_at = None
        with contextlib.suppress(LedgerUnavailable):
            self._counts = await self._outbox.counts()
            self._counted_at = now


class _Counts:
    """One scrape's counts, as Prometheus' client wants them.

    Args:
        counts: None where the ledger does not answer: then they are left out, and the
            scrape still has the rest, which is wanted most at such a time.
        tally: This process' own counts.
    """

    def __init__(self, counts: Counts | None, tally: Tally) -> None:
        self._counts = counts
        self._tally = tally

    def collect(self) -> Iterator[Metric]:
        """Give the metric families."""
        yield GaugeMetricFamily(
            "signupd_ledger_up",
            "Whether the ledger answered; where not, it could not be counted.",
            value=self._counts is not None,
        )
        yield CounterMetricFamily(
            "signupd_wrong_codes",
            "Wrong codes tried, over all sign-ups, at this process.",
            value=self._tally.wrong_codes,
        )
        if self._counts is None:
            return
        events = CounterMetricFamily(
            "signupd_events", "What happened to sign-ups.", labels=["kind"]
        )
        for kind, count in self._counts.events.items():
            events.add_metric([kind], count)
        yield events
        yield GaugeMetricFamily(
            "signupd_signups_in_progress",
            "Sign-ups waiting for a code or a password.",
            value=self._counts.in_progress,
        )
        yield GaugeMetricFamily(
            "signupd_events_pending",
            "Events that the sweeper has not added up yet; they are not pruned either.",
            value=self._counts.pending,
        )
