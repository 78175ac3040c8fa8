"""Whether there are traces: OpenTelemetry's own variables decide.

Its SDK reads the rest of them (OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, OTEL_BSP_* and
so on) by itself. It takes a third of a second to import, so nothing of it is imported
where there are none.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace.export import SpanExporter

    from signupd.telemetry.tracing import Tracing

# Where exporters announce themselves, the SDK's own among them.
_GROUP: Final = "opentelemetry_traces_exporter"
# By the protocol's name in OTEL_EXPORTER_OTLP_PROTOCOL.
_OTLP: Final = {"grpc": "otlp_proto_grpc", "http/protobuf": "otlp_proto_http"}
# The default that OpenTelemetry's specification recommends.
_PROTOCOL: Final = "http/protobuf"
_ENDPOINTS: Final = (
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
)
_PROTOCOLS: Final = (
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
)


class TracingUnusableError(Exception):
    """The variables ask for what cannot be had; the text has no value but names."""


def tracing_of(environ: Mapping[str, str]) -> Tracing | None:
    """Make what the variables ask for.

    Args:
        environ: The process' environment: the SDK reads that, whatever this is.

    Returns:
        None where they ask for nothing.

    Raises:
        TracingUnusableError: It cannot be made.
    """
    names = exporters_named(environ)
    if not names:
        return None
    exporters = [_exporter(name) for name in names]
    from signupd.telemetry.tracing import Tracing  # noqa: PLC0415 - see above

    return Tracing(exporters)


def exporters_named(environ: Mapping[str, str]) -> list[str]:
    """Read which exporters are asked for, by the names they announce.

    OTEL_TRACES_EXPORTER names them. Where it is not given an endpoint asks for OTLP;
    nothing at all asks for nothing, since a service that nobody told of a collector
    should not look for one.

    Raises:
        TracingUnusableError: The protocol is unknown.
    """
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    default = "otlp" if _first(environ, _ENDPOINTS) else "none"
    listed = _first(environ, ("OTEL_TRACES_EXPORTER",)) or default
    names = {name.strip() for name in listed.split(",")} - {"", "none"}
    return sorted(_otlp(environ) if name == "otlp" else name for name in names)


def _otlp(environ: Mapping[str, str]) -> str:
    protocol = _first(environ, _PROTOCOLS) or _PROTOCOL
    try:
        return _OTLP[protocol]
    except KeyError:
        known = " or ".join(_OTLP)
        raise TracingUnusableError(f"{_PROTOCOLS[1]}: must be {known}") from None


def _exporter(name: str) -> SpanExporter:
    """Make an exporter, which reads its variables by itself."""
    found = next(iter(entry_points(group=_GROUP, name=name)), None)
    if found is None:
        raise TracingUnusableError(
            "OTEL_TRACES_EXPORTER: there is no such exporter; otlp, console and none "
            "are known, and what is installed as opentelemetry-exporter-..."
        )
    try:
        exporter: SpanExporter = found.load()()
    except Exception as error:  # noqa: BLE001 - whatever a foreign constructor raises
        # Its text may have a value in it, a header with a key for instance.
        raise TracingUnusableError(
            f"OTEL_EXPORTER_...: the exporter cannot be made ({type(error).__name__})"
        ) from None
    return exporter


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    """Read the first that is given; an empty one is not, says the specification."""
    return next((environ[name].strip() for name in names if environ.get(name)), "")
