"""Spans of RPCs and of calls to Kratos, for OpenTelemetry.

A span has names, an outcome and times: no field of a request, no URL, no text of an
exception. Only ``switch`` imports this module, since it imports OpenTelemetry.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from opentelemetry import context
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_W3C: Final = TraceContextTextMapPropagator()
# gRPC's statuses that are a server's fault, by OpenTelemetry's conventions: UNKNOWN,
# DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
_FAULTS: Final = frozenset({2, 4, 12, 13, 14, 15})
_TOO_MANY, _SERVER_ERROR = 429, 500


class RpcSpan:
    """The span of an RPC, and the parent of what its task begins."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._token = context.attach(set_span_in_context(span))

    def end(self, outcome: str, status: int) -> None:
        """End it, in the task that began it.

        The outcome is OK, the error's reason, or CALLER_GONE; the status gRPC's number.
        """
        self._span.set_attribute("rpc.grpc.status_code", status)
        self._span.set_attribute("signupd.reason", outcome)
        if status in _FAULTS:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()
        context.detach(self._token)


class CallSpan:
    """The span of a call to Kratos."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.headers: dict[str, str] = {}
        _W3C.inject(self.headers, set_span_in_context(span))

    def end(self, outcome: str) -> None:
        """End it. The outcome is an HTTP status, UNREACHED or LOST.

        A 400 is not an error: Kratos answers with the flow's next page.
        """
        status = int(outcome) if outcome.isdecimal() else None
        if status is not None:
            self._span.set_attribute("http.response.status_code", status)
        if status is None or status >= _SERVER_ERROR or status == _TOO_MANY:
            self._span.set_attribute("error.type", outcome)
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


class Tracing:
    """Makes spans and exports them in batches, in a thread.

    No call waits for an export. If exports fall behind, spans are dropped
    (OTEL_BSP_MAX_QUEUE_SIZE, 2048).
    """

    def __init__(self, exporters: Sequence[SpanExporter]) -> None:
        named = Resource.create({SERVICE_NAME: "signupd"})
        resource = named.merge(OTELResourceDetector().detect())  # its own variables win
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        for exporter in exporters:
            self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("signupd")

    def rpc(self, method: str, metadata: Iterable[tuple[str, Any]]) -> RpcSpan:
        """Begin the span of an RPC, in the caller's trace if the metadata has one."""
        name = method.removeprefix("/")
        service, _, rpc = name.partition("/")
        # A value is bytes only if its name ends in -bin.
        carrier = {key: value for key, value in metadata if key in _W3C.fields}
        span = self._tracer.start_span(
            name,
            _W3C.extract(carrier, context.Context()),
            SpanKind.SERVER,
            {"rpc.system": "grpc", "rpc.service": service, "rpc.method": rpc},
        )
        return RpcSpan(span)

    def call(self, name: str, method: str) -> CallSpan:
        """Begin the span of a call to Kratos, below the span of its RPC."""
        span = self._tracer.start_span(
            f"kratos {name}",
            kind=SpanKind.CLIENT,
            attributes={"http.request.method": method},
        )
        return CallSpan(span)

    def close(self) -> None:
        """Export the remaining spans; the SDK gives up after 30 s. Called last."""
        self._provider.shutdown()
