"""How long calls take and how they end, as Prometheus' histograms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
)

from signupd.observer import Silent
from signupd.signup.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from signupd.observer import Metadata

# Most calls take milliseconds, bcrypt a quarter of a second, a hook that is dead 3 s;
# nothing takes longer than a caller waits, a minute.
BUCKETS_SECONDS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)


class Metrics:
    """An observer that counts and measures.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        # A second series for each counter, of no use here.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._clock = clock
        self._rpcs = self._histogram(
            "signupd_rpc_duration_seconds",
            "How long RPCs took, by how they ended.",
            ("method", "reason"),
        )
        self._calls = self._histogram(
            "signupd_kratos_call_duration_seconds",
            "How long calls to Kratos took, by HTTP status or how else they ended.",
            ("call", "outcome"),
        )

        self._events = Counter(
            "signupd_signups",
            "Transitions of sign-ups at this process.",
            ("event",),
            registry=self.registry,
        )
        self._wrong_codes = Counter(
            "signupd_wrong_codes",
            "Wrong codes tried, over all sign-ups, at this process.",
            registry=self.registry,
        )
        for event in Event:
            self._events.labels(event)  # an event that never happened counts 0

    def event(self, event: Event) -> None:
        """Count a transition of a sign-up."""
        self._events.labels(event).inc()

    def wrong_code(self) -> None:
        """Count a wrong code."""
        self._wrong_codes.inc()

    def rpc(self, method: str, _metadata: Metadata) -> _Timing:
        """Begin to measure an RPC."""
        return _Timing(self._rpcs, method, self._clock)

    def call(self, name: str, _method: str) -> _Timing:
        """Begin to measure a call to Kratos."""
        return _Timing(self._calls, name, self._clock)

    def _histogram(self, name: str, text: str, labels: tuple[str, str]) -> _Series:
        histogram = Histogram(
            name, text, labels, registry=self.registry, buckets=BUCKETS_SECONDS
        )
        return _Series(histogram)


class _Series(dict[tuple[str, str], Histogram]):
    """A histogram's children, which are dear to look up in the histogram itself."""

    def __init__(self, histogram: Histogram) -> None:
        super().__init__()
        self._histogram = histogram

    def __missing__(self, labels: tuple[str, str]) -> Histogram:
        name, outcome = labels
        # Of a method its service and its name, as CALLERS has them.
        child = self._histogram.labels(name.rpartition(".")[2], outcome)
        return self.setdefault(labels, child)


class _Timing(Silent):
    """Measures one call."""

    __slots__ = ("_begun", "_clock", "_name", "_series")

    def __init__(self, series: _Series, name: str, clock: Callable[[], float]) -> None:
        self._series = series
        self._name = name
        self._clock = clock
        self._begun = clock()

    def end(self, outcome: str, _status: int = 0) -> None:
        """Measure."""
        self._series[self._name, outcome].observe(self._clock() - self._begun)
