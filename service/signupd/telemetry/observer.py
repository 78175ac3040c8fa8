"""The metrics of this process, and its tracing if that is on.

Both are given names, outcomes and statuses only, so they can leak nothing else.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

if TYPE_CHECKING:
    from signupd.telemetry.tracing import Tracing

# Outcomes that are neither a reason nor an HTTP status.
OK: Final = "OK"
CALLER_GONE: Final = "CALLER_GONE"
UNREACHED: Final = "unreached"
LOST: Final = "lost"
# Those of the sweeper's rounds.
DONE: Final = "done"
FAILED: Final = "failed"
# The events of errors in the log. Each counts from zero, or an alert would miss the
# first one. A library's lines have no event.
LIBRARY: Final = "library"
ERRORS: Final = (
    *("account_left", "account_unverified", "blocked_domains_not_reloaded"),
    *("certificate_not_reloaded", "code_hook_dead", "defect", "internal"),
    *("key_forgotten", "kratos_incompatible", "signup_unreadable", LIBRARY),
)
_RPC: Final = ("grpc_type", "grpc_service", "grpc_method")

# Most calls take milliseconds, bcrypt a quarter of a second, a dead hook 3 s; no caller
# waits longer than a minute.
BUCKETS_SECONDS: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)


class Observer:
    """Has the metrics of RPCs, hooks, calls to Kratos and sign-ups.

    Events count from zero.
    """

    def __init__(
        self, events: Iterable[str] = (), tracing: Tracing | None = None
    ) -> None:
        # Without this each counter would have a second series, for its start.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self.tracing = tracing
        self._counter = partial(Counter, registry=self.registry)
        self._gauge = partial(Gauge, registry=self.registry)
        self._histogram = partial(
            Histogram, registry=self.registry, buckets=BUCKETS_SECONDS
        )
        self._observe_rpcs()
        self._observe_kratos()
        self._observe_signups(events)
        self._observe_process()

    def _observe_rpcs(self) -> None:
        counter, histogram = self._counter, self._histogram
        # The names and labels that interceptors of gRPC commonly use.
        self.started = counter("grpc_server_started", "RPCs begun.", _RPC)
        self.handled = counter(
            "grpc_server_handled", "RPCs ended, by status.", (*_RPC, "grpc_code")
        )
        self.handling = histogram(
            "grpc_server_handling_seconds", "How long RPCs took.", _RPC
        )
        self.reasons = counter(
            "signupd_rpc_reasons",
            "RPCs ended, by the error's reason.",
            ("grpc_method", "reason"),
        )

    def _observe_kratos(self) -> None:
        counter, gauge, histogram = self._counter, self._gauge, self._histogram
        self.calls = histogram(
            "signupd_kratos_call_duration_seconds",
            "How long calls to Kratos took, by HTTP status or how else they ended.",
            ("call", "outcome"),
        )
        self.breakers = gauge(
            "signupd_kratos_breakers_open",
            "APIs of Kratos that get no calls for now, because they did not answer.",
        )
        self.last_mail = gauge(
            "signupd_last_mail_timestamp_seconds",
            "When Kratos last took a code to be mailed from this process; 0 for never.",
        )
        self.hooks = histogram(
            "signupd_hook_duration_seconds",
            "How long Kratos' hooks were answered for.",
            ("hook",),
        )
        self.hook_requests = counter(
            "signupd_hook_requests",
            "Requests of Kratos' hooks, by answer.",
            ("hook", "answer"),
        )

    def _observe_signups(self, events: Iterable[str]) -> None:
        counter = self._counter
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
        for event in events:
            self.events.labels(event)

    def _observe_process(self) -> None:
        counter = self._counter
        self.rounds = counter(
            "signupd_sweeper_rounds", "Rounds of the sweeper.", ("outcome",)
        )
        self.dropped_lines = counter(
            "signupd_log_lines_dropped",
            "Lines of the log that were dropped because standard error was not read.",
        )
        self._errors = counter(
            "signupd_log_errors", "Lines of the log at level error.", ("event",)
        )
        for event in ERRORS:
            self._errors.labels(event)
        for outcome in (DONE, FAILED):
            self.rounds.labels(outcome)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)

    def error_logged(self, event: str) -> None:
        """Count an error in the log."""
        self._errors.labels(event).inc()


@functools.cache
def rpc_labels(method: str) -> tuple[str, str, str]:
    """Split the path of one of our methods, all of which are unary."""
    _, service, name = method.split("/")
    return "unary", service, name
