"""A collector of OpenTelemetry's spans, by either of its protocols."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc

from devstack.ports import LOOPBACK

HTTP, GRPC = "http/protobuf", "grpc"


class Collector:
    """Takes spans in, as they come on the wire. A context manager.

    Args:
        protocol: HTTP or GRPC.
    """

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.received: list[bytes] = []
        # What came beside the spans: the operator's own headers.
        self.headers: list[str] = []
        self.port = 0
        self._resources = ExitStack()

    def __enter__(self) -> Self:
        if self.protocol == HTTP:
            self._serve_http()
        else:
            self._serve_grpc()
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    @property
    def environment(self) -> dict[str, str]:
        """What sends a process' spans here."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{LOOPBACK}:{self.port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": self.protocol,
        }

    def names(self) -> set[str]:
        """Name the spans."""
        return {
            span.name
            for content in self.received
            for resource in pb.ExportTraceServiceRequest.FromString(
                content
            ).resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }

    def _serve_http(self) -> None:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                collector.received.append(self.rfile.read(length))
                collector.headers.append(str(self.headers))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._resources.callback(server.server_close)
        self._resources.callback(server.shutdown)

    def _serve_grpc(self) -> None:
        server = grpc.server(ThreadPoolExecutor(2))
        # Its stubs have no types.
        add: Any = trace_service_pb2_grpc.add_TraceServiceServicer_to_server
        add(_Spans(self), server)
        self.port = server.add_insecure_port(f"{LOOPBACK}:0")
        server.start()
        self._resources.callback(lambda: server.stop(0).wait())


class _Spans(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def Export(self, request: Any, context: Any) -> pb.ExportTraceServiceResponse:
        """Keep spans."""
        self._collector.received.append(request.SerializeToString())
        self._collector.headers.append(str(context.invocation_metadata()))
        return pb.ExportTraceServiceResponse()
