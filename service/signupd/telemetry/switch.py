"""Turns tracing on or off by OpenTelemetry's own variables.

The SDK reads the other variables, such as OTEL_SERVICE_NAME and OTEL_TRACES_SAMPLER.
Its import takes a third of a second, so it happens only if it is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

    from signupd.telemetry.tracing import Tracing

# The entry points of exporters, the SDK's own among them.
_GROUP: Final = "opentelemetry_traces_exporter"
# By the protocol's name in OTEL_EXPORTER_OTLP_PROTOCOL.
_OTLP: Final = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}
# The default of OpenTelemetry's specification.
_PROTOCOL: Final = "http/protobuf"


class TracingUnusableError(Exception):
    """The variables cannot be used; the text names the variable and not its value."""


def tracing_of(environ: Mapping[str, str]) -> Tracing | None:
    """Make what the process' environment asks for; None if it asks for nothing.

    What is not available is a TracingUnusableError.
    """
    exporters = [_exporter(name) for name in exporters_named(environ)]
    if not exporters:
        return None
    from signupd.telemetry.tracing import Tracing  # noqa: PLC0415 - see above

    return Tracing(exporters)


def exporters_named(environ: Mapping[str, str]) -> list[str]:
    """List the exporters that are asked for, by their entry points.

    OTEL_TRACES_EXPORTER names them. Without it an endpoint asks for OTLP, and nothing
    asks for nothing: the server does not look for a collector that was not configured.
    An unknown protocol is a TracingUnusableError.
    """

    def otlp(name: str) -> str:
        # The variable for traces takes precedence unless it is empty.
        traces = environ.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}")
        return (traces or environ.get(f"OTEL_EXPORTER_OTLP_{name}", "")).strip()

    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    default = "otlp" if otlp("ENDPOINT") else "none"
    listed = environ.get("OTEL_TRACES_EXPORTER") or default
    names = {name.strip() for name in listed.split(",")} - {"", "none"}
    if "otlp" in names:
        protocol = otlp("PROTOCOL") or _PROTOCOL
        if protocol not in _OTLP:
            known = " or ".join(_OTLP)
            raise TracingUnusableError(f"OTEL_EXPORTER_OTLP_PROTOCOL: must be {known}")
        names = names - {"otlp"} | {_OTLP[protocol]}
    return sorted(names)


def _exporter(name: str) -> SpanExporter:
    """Make an exporter, which reads its variables by itself."""
    found = next(iter(entry_points(group=_GROUP, name=name)), None)
    if found is None:
        raise TracingUnusableError(
            "OTEL_TRACES_EXPORTER: names an exporter that is not installed; known are "
            "otlp, console, none, and installed packages opentelemetry-exporter-..."
        )
    try:
        exporter: SpanExporter = found.load()()
    except Exception as error:  # noqa: BLE001 - whatever a foreign constructor raises
        # Its text may have a value in it, such as a header with a key.
        raise TracingUnusableError(
            f"OTEL_EXPORTER_...: the exporter cannot be made ({type(error).__name__})"
        ) from None
    return exporter
