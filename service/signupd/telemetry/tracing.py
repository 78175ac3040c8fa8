"""Spans of RPCs, of calls to Kratos and of its hooks' requests, for OpenTelemetry.

A span has names, an outcome and times: no field of a request, no URL, no text of an
exception. Only ``switch`` imports this module, since it imports OpenTelemetry.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from opentelemetry import context
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import (
    Span,
    SpanKind,
    StatusCode,
    format_span_id,
    format_trace_id,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

_W3C: Final = TraceContextTextMapPropagator()
# gRPC's statuses that are a server's fault, by OpenTelemetry's conventions.
_FAULTS: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED"}
    | {"INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)
_TOO_MANY, _SERVER_ERROR = 429, 500
_PORTS: Final = {"http": 80, "https": 443}


class RpcSpan:
    """The span of an RPC, and the parent of what its task begins."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._token = context.attach(set_span_in_context(span))
        of = span.get_span_context()
        # For the log, under the names that OpenTelemetry has for logs in JSON.
        self.ids = {
            "trace_id": format_trace_id(of.trace_id),
            "span_id": format_span_id(of.span_id),
        }

    def end(self, outcome: str, status: str) -> None:
        """End it, in the task that began it.

        The outcome is OK, the error's reason, or CALLER_GONE; the status gRPC's name.
        """
        self._span.set_attribute("rpc.response.status_code", status)
        self._span.set_attribute("signupd.reason", outcome)
        if status in _FAULTS:
            self._span.set_attribute("error.type", status)
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


class HookSpan:
    """The span of a request of Kratos' hooks."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def end(self, answer: str) -> None:
        """End it, with what was answered."""
        self._span.set_attribute("signupd.answer", answer)
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
        # A value is bytes only if its name ends in -bin.
        carrier = {key: value for key, value in metadata if key in _W3C.fields}
        span = self._tracer.start_span(
            name,
            _W3C.extract(carrier, context.Context()),
            SpanKind.SERVER,
            {"rpc.system.name": "grpc", "rpc.method": name},
        )
        return RpcSpan(span)

    def hook(self, name: str, headers: Mapping[str, str]) -> HookSpan:
        """Begin the span of a hook's request, in the trace of the Kratos that asks."""
        carrier = {key: headers[key] for key in _W3C.fields if key in headers}
        span = self._tracer.start_span(
            f"hook {name}",
            _W3C.extract(carrier, context.Context()),
            SpanKind.SERVER,
            {"http.request.method": "POST", "http.route": f"/kratos/{name}"},
        )
        return HookSpan(span)

    def call(self, name: str, method: str, url: str) -> CallSpan:
        """Begin the span of a call to Kratos, below the span of its RPC.

        Of the URL it has host and port: the rest may hold an address.
        """
        to = urlsplit(url)
        span = self._tracer.start_span(
            f"kratos {name}",
            kind=SpanKind.CLIENT,
            attributes={
                "http.request.method": method,
                "server.address": to.hostname or "",
                "server.port": to.port or _PORTS.get(to.scheme, 0),
            },
        )
        return CallSpan(span)

    def close(self) -> None:
        """Export the remaining spans; the SDK gives up after 30 s. Called last."""
        self._provider.shutdown()
