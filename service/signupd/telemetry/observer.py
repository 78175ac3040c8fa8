"""Observes calls: counts and measures them, and traces them if that is on.

It is given names, outcomes and statuses only, so neither metrics nor traces can leak
anything else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
)

if TYPE_CHECKING:
    from signupd.telemetry.tracing import CallSpan, RpcSpan, Tracing

# Outcomes that are neither a reason nor an HTTP status.
OK: Final = "OK"
CALLER_GONE: Final = "CALLER_GONE"
UNREACHED: Final = "unreached"
LOST: Final = "lost"

# Most calls take milliseconds, bcrypt a quarter of a second, a dead hook 3 s; no caller
# waits longer than a minute.
BUCKETS_SECONDS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)


class Observer:
    """Observes RPCs, calls to Kratos, and sign-ups, whose events count from zero."""

    def __init__(
        self,
        events: Iterable[str] = (),
        tracing: Tracing | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        # Without this each counter would have a second series, for its start.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._tracing = tracing
        self._clock = clock
        counter = partial(Counter, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry, buckets=BUCKETS_SECONDS)
        self._rpcs = histogram(
            "signupd_rpc_duration_seconds",
            "How long RPCs took, by how they ended.",
            ("method", "reason"),
        )
        self._calls = histogram(
            "signupd_kratos_call_duration_seconds",
            "How long calls to Kratos took, by HTTP status or how else they ended.",
            ("call", "outcome"),
        )
        self.events = counter(
            "signupd_signups", "Transitions of sign-ups at this process.", ("event",)
        )
        self.wrong_codes = counter(
            "signupd_wrong_codes",
            "Wrong codes tried, over all sign-ups, at this process.",
        )
        self.wrong_passwords = counter(
            "signupd_wrong_passwords",
            "Other passwords tried on completed sign-ups, at this process.",
        )
        self.dropped_lines = counter(
            "signupd_log_lines_dropped",
            "Lines of the log that were dropped because standard error was not read.",
        )
        for event in events:
            self.events.labels(event)

    def close(self) -> None:
        """Send the spans that are left, if calls are traced."""
        if self._tracing is not None:
            self._tracing.close()

    def rpc(self, method: str, metadata: Callable[[], Any]) -> Watch:
        """Begin to observe an RPC, by its full name: ``/package.Service/Method``."""
        tracing = self._tracing
        span = None if tracing is None else tracing.rpc(method, metadata() or ())
        # The label has the service and the method, as CALLERS has them.
        return Watch(self._rpcs, method.rpartition(".")[2], self._clock, span)

    def call(self, name: str, method: str) -> Watch:
        """Begin to observe a call to Kratos, by its purpose and HTTP method."""
        span = None if self._tracing is None else self._tracing.call(name, method)
        return Watch(self._calls, name, self._clock, span)


class Watch:
    """Observes one call, from now on; made by ``Observer``."""

    def __init__(
        self,
        histogram: Histogram,
        name: str,
        clock: Callable[[], float],
        span: RpcSpan | CallSpan | None,
    ) -> None:
        self._histogram = histogram
        self._name = name
        self._clock = clock
        self._span = span
        self._start = clock()

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers by which Kratos can join the trace."""
        return {} if self._span is None else self._span.headers

    def end(self, outcome: str, status: int | None = None) -> None:
        """Record how the call ended; called once, in the task that began it.

        Args:
            outcome: Of an RPC OK, the error's reason, or CALLER_GONE; of a call to
                Kratos the HTTP status, UNREACHED or LOST.
            status: Of an RPC gRPC's number of the status.
        """
        seconds = self._clock() - self._start
        self._histogram.labels(self._name, outcome).observe(seconds)
        if self._span is not None:
            self._span.end(outcome, status)
