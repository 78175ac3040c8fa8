"""The metrics of this process, and its tracing if that is on.

Both are given names, outcomes and statuses only, so they can leak nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
)

if TYPE_CHECKING:
    from signupd.telemetry.tracing import Tracing

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
    """Has the metrics of RPCs, calls to Kratos and sign-ups.

    An RPC's label is its ``Service/Method``, as in CALLERS. Events count from zero.
    """

    def __init__(
        self, events: Iterable[str] = (), tracing: Tracing | None = None
    ) -> None:
        # Without this each counter would have a second series, for its start.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.tracing = tracing
        counter = partial(Counter, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry, buckets=BUCKETS_SECONDS)
        self.rpcs = histogram(
            "signupd_rpc_duration_seconds",
            "How long RPCs took, by how they ended.",
            ("method", "reason"),
        )
        self.calls = histogram(
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
