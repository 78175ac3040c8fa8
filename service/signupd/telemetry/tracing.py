"""Spans of RPCs and of calls to Kratos, for OpenTelemetry.

They have names, outcomes and times, and nothing else: no exception's text, no field of
a request, no URL. Only ``switch`` imports this module, for it imports OpenTelemetry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from opentelemetry import context
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from signupd.observer import LOST, UNREACHED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

    from signupd.observer import Metadata

# What the SDK calls a service that nobody named.
_UNNAMED: Final = "unknown_service"
_W3C: Final = TraceContextTextMapPropagator()
# gRPC's statuses that are a server's fault, by OpenTelemetry's conventions: UNKNOWN,
# DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
_FAULTS: Final = frozenset({2, 4, 12, 13, 14, 15})
_TOO_MANY, _SERVER_ERROR = 429, 500


class Tracing:
    """An observer that makes spans.

    It hands them over to a thread that exports them in batches; when that falls behind,
    spans are dropped and no call waits (OTEL_BSP_MAX_QUEUE_SIZE, 2048).

    Args:
        exporters: Where spans go.
    """

    def __init__(self, exporters: Sequence[SpanExporter]) -> None:
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        for exporter in exporters:
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("signupd")

    def rpc(self, method: str, metadata: Metadata) -> _RpcSpan:
        """Begin the span of an RPC, under the caller's where it sends one along."""
        name = method.removeprefix("/")
        service, _, rpc = name.partition("/")
        span = self._tracer.start_span(
            name,
            _W3C.extract(_carrier(metadata), context.Context()),
            SpanKind.SERVER,
            {"rpc.system": "grpc", "rpc.service": service, "rpc.method": rpc},
        )
        return _RpcSpan(span)

    def call(self, name: str, method: str) -> _CallSpan:
        """Begin the span of a call to Kratos, under that of the RPC it is for."""
        span = self._tracer.start_span(
            f"kratos {name}",
            kind=SpanKind.CLIENT,
            attributes={"http.request.method": method},
        )
        return _CallSpan(span)

    def close(self) -> None:
        """Export what is left; the SDK gives up after 30 s. Called last of all."""
        self._provider.shutdown()


class _RpcSpan:
    """The span of an RPC; current in its task, and so in what that task begins."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Span) -> None:
        self._span = span
        self._token = context.attach(set_span_in_context(span))

    def end(self, reason: str, status: int) -> None:
        """End it."""
        self._span.set_attribute("rpc.grpc.status_code", status)
        self._span.set_attribute("signupd.reason", reason)
        if status in _FAULTS:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()
        context.detach(self._token)


class _CallSpan:
    """The span of a call to Kratos."""

    __slots__ = ("_span", "headers")

    def __init__(self, span: Span) -> None:
        self._span = span
        self.headers: dict[str, str] = {}
        _W3C.inject(self.headers, set_span_in_context(span))

    def end(self, outcome: str) -> None:
        """End it. A 400 is no error: it is how Kratos answers with a flow."""
        if outcome in (UNREACHED, LOST):
            failed = True
        else:
            status = int(outcome)
            self._span.set_attribute("http.response.status_code", status)
            failed = status >= _SERVER_ERROR or status == _TOO_MANY
        if failed:
            self._span.set_attribute("error.type", outcome)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


def _carrier(metadata: Metadata) -> Mapping[str, str]:
    """Take W3C's two fields from a call's metadata, and no other."""
    return {
        name: value
        for name, value in metadata() or ()
        if name in _W3C.fields and isinstance(value, str)
    }


def _resource() -> Resource:
    """Describe this process as OTEL_SERVICE_NAME and so on do; it has a name anyway."""
    resource = Resource.create()
    if str(resource.attributes[SERVICE_NAME]).startswith(_UNNAMED):
        return resource.merge(Resource({SERVICE_NAME: "signupd"}))
    return resource
