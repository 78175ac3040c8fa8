"""What operators' machines read: metrics, liveness, readiness."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from signupd.errors import LedgerUnavailable
from signupd.ledger.backlog import IN_PROGRESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

    from signupd.ledger.backlog import Backlog
    from signupd.signup.tally import Tally

# Counting reads the whole outbox; scrapes closer together share one count.
COUNT_SECONDS: Final = 5.0


class Telemetry:
    """Answers scrapes and probes.

    The counts of sign-ups come from the ledger, so every replica tells the same, they
    survive restarts, and started is always the sum of the others. The tally is this
    process' own.

    Args:
        backlog: Where the counts of sign-ups come from.
        tally: What else was counted.
        clock: Monotonic seconds.
    """

    def __init__(
        self, backlog: Backlog, tally: Tally, clock: Callable[[], float]
    ) -> None:
        self._backlog = backlog
        self._tally = tally
        self._clock = clock
        self._counts: dict[str, int] = {}
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
        """Tell the counts in Prometheus' text format."""
        now = self._clock()
        if self._counted_at is None or now - self._counted_at >= COUNT_SECONDS:
            try:
                self._counts = await self._backlog.counts()
            except LedgerUnavailable:
                return web.Response(status=503, text="no ledger\n")
            self._counted_at = now
        registry = CollectorRegistry()
        registry.register(_Counts(self._counts, self._tally))
        return web.Response(body=generate_latest(registry), content_type="text/plain")


class _Counts:
    """One scrape's counts, as Prometheus' client wants them."""

    def __init__(self, counts: dict[str, int], tally: Tally) -> None:
        self._counts = counts
        self._tally = tally

    def collect(self) -> Iterator[Metric]:
        """Give the metric families."""
        events = CounterMetricFamily(
            "signupd_events", "What happened to sign-ups.", labels=["kind"]
        )
        for kind, count in self._counts.items():
            if kind != IN_PROGRESS:
                events.add_metric([kind], count)
        yield events
        yield GaugeMetricFamily(
            "signupd_signups_in_progress",
            "Sign-ups waiting for a code or a password.",
            value=self._counts[IN_PROGRESS],
        )
        yield CounterMetricFamily(
            "signupd_wrong_codes",
            "Wrong codes tried, over all sign-ups, at this process.",
            value=self._tally.wrong_codes,
        )
