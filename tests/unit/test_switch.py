"""Whether there are traces, by OpenTelemetry's own variables."""

import pytest
from signupd.telemetry.switch import exporters_named, tracing_of

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
TRACES_ENDPOINT = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318"}
HTTP, GRPC = "otlp_proto_http", "otlp_proto_grpc"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_SERVICE_NAME": "signup"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://collector:4318"},
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {"OTEL_TRACES_EXPORTER": "none"},
        {**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"},
        {**ENDPOINT, "OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "True"},
    ],
)
def test_off(environ: dict[str, str]) -> None:
    """Nothing is exported unless something asks for traces, and nothing forbids it."""
    assert tracing_of(environ) is None


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (ENDPOINT, [HTTP]),
        (TRACES_ENDPOINT, [HTTP]),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, [HTTP]),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": ""}, [HTTP]),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "false"}, [HTTP]),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, [GRPC]),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, [HTTP]),
        (
            {
                **TRACES_ENDPOINT,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
            },
            [GRPC],
        ),
        ({"OTEL_TRACES_EXPORTER": "console"}, ["console"]),
        ({"OTEL_TRACES_EXPORTER": "otlp, console"}, ["console", HTTP]),
    ],
)
def test_on(environ: dict[str, str], expected: list[str]) -> None:
    """An endpoint, or an exporter's name, turns it on; the protocol chooses."""
    assert expected == exporters_named(environ)
