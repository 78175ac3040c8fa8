"""Spans of calls that were really made: whose they are, and what they tell."""

import asyncio
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from kratos_signup.v1 import signup_service_pb2 as pb
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, SpanKind, StatusCode
from signupd.telemetry.tracing import Tracing

from tests.integration.caller import DEADLINE_SECONDS, refusal
from tests.integration.world import Replica, World

SERVICE = "kratos_signup.v1.SignupService"
ADDRESS = "ann@example.com"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Scene:
    """A traced service."""

    def __init__(
        self, world: World, replica: Replica, spans: InMemorySpanExporter
    ) -> None:
        self.world = world
        self.replica = replica
        self.caller = replica.caller
        self._exporter = spans

    async def spans(self, name: str) -> list[ReadableSpan]:
        """Stop the service, which exports what is left; give the spans of a name."""
        await self.replica.service.stop()
        return [one for one in self._exporter.get_finished_spans() if one.name == name]

    async def span(self, name: str) -> ReadableSpan:
        """Give the only span of a name."""
        (span,) = await self.spans(name)
        return span

    async def start(self, *metadata: tuple[str, str]) -> None:
        """Call StartSignup with metadata."""
        call: Any = self.caller.channel.unary_unary(f"/{SERVICE}/StartSignup")
        request = pb.StartSignupRequest(email=ADDRESS).SerializeToString()
        await call(request, metadata=metadata, timeout=DEADLINE_SECONDS)


@pytest.fixture
async def scene(world: World) -> Scene:
    """Set the scene."""
    spans = InMemorySpanExporter()
    world.tracing = Tracing([spans])
    return Scene(world, await world.serve(), spans)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    """Read a span's attributes."""
    return dict(span.attributes or {})


def parents_of(spans: list[ReadableSpan]) -> list[SpanContext]:
    """Give the parents of those spans that have one."""
    return [span.parent for span in spans if span.parent]


def id_of(span: ReadableSpan) -> int:
    """Read a span's id."""
    context = span.get_span_context()
    assert context is not None
    return context.span_id


async def test_rpc(scene: Scene) -> None:
    """An RPC is a server's span, with its names and how it ended."""
    await scene.start()

    span = await scene.span(f"{SERVICE}/StartSignup")
    assert (SpanKind.SERVER, None) == (span.kind, span.parent)
    assert {
        "rpc.system.name": "grpc",
        "rpc.method": f"{SERVICE}/StartSignup",
        "rpc.response.status_code": "OK",
        "signupd.reason": "OK",
    } == attributes(span)
    assert StatusCode.UNSET is span.status.status_code
    assert "signupd" == span.resource.attributes["service.name"]


async def test_refusals_are_no_errors(scene: Scene) -> None:
    """What callers do to themselves is no error of the server's."""
    await refusal(scene.caller.get("x"))

    span = await scene.span(f"{SERVICE}/GetSignup")
    assert "TOKEN_INVALID" == attributes(span)["signupd.reason"]
    assert "INVALID_ARGUMENT" == attributes(span)["rpc.response.status_code"]
    assert StatusCode.UNSET is span.status.status_code


async def test_troubles_are_errors(scene: Scene) -> None:
    """What goes wrong here, or in Kratos, is one; neither has words of an exception."""
    scene.world.kratos.lose("send")
    await scene.start()
    scene.world.kratos.fail("open")
    await refusal(scene.caller.start("ben@example.com"))

    failed = [
        one
        for name in ("kratos send", "kratos open")
        for one in await scene.spans(name)
        if "error.type" in attributes(one)
    ]
    (refused,) = [
        one
        for one in await scene.spans(f"{SERVICE}/StartSignup")
        if attributes(one)["signupd.reason"] == "KRATOS_UNAVAILABLE"
    ]
    assert ["lost", "503"] == [attributes(one)["error.type"] for one in failed]
    for span in (*failed, refused):
        assert StatusCode.ERROR is span.status.status_code
        assert (None, ()) == (span.status.description, tuple(span.events))


async def test_callers_trace(scene: Scene) -> None:
    """An RPC is in its caller's trace, and so is what Kratos is asked for it."""
    before = len(scene.world.kratos.headers)
    await scene.start(
        ("traceparent", f"00-{TRACE}-{PARENT}-01"),
        ("tracestate", "vendor=1"),
        ("baggage", "secret=hunter2"),
    )
    asked = scene.world.kratos.headers[before:]
    calls = scene.world.kratos.calls[before:]

    rpc = await scene.span(f"{SERVICE}/StartSignup")
    assert rpc.parent is not None
    assert (TRACE, PARENT) == (
        f"{rpc.parent.trace_id:032x}",
        f"{rpc.parent.span_id:016x}",
    )
    children = [
        one
        for name in ("open", "send")
        for one in await scene.spans(f"kratos {name}")
        if one.parent and one.parent.span_id == id_of(rpc)
    ]
    assert ["open", "send"] == list(calls)
    assert [f"00-{TRACE}-{id_of(one):016x}-01" for one in children] == [
        headers["traceparent"] for headers in asked
    ]
    assert ["baggage" in headers for headers in asked] == [False, False]
    assert {
        "http.request.method": "POST",
        "http.response.status_code": 400,
        "server.address": "127.0.0.1",
        "server.port": urlsplit(scene.world.kratos.public_url).port,
    } == attributes(children[1])
    assert (SpanKind.CLIENT, StatusCode.UNSET) == (
        children[1].kind,
        children[1].status.status_code,
    )


async def test_hooks_are_in_their_trace(scene: Scene) -> None:
    """A hook's request is a server's span in Kratos' trace, with its answer."""
    url = f"http://127.0.0.1:{scene.replica.service.hook_port}/kratos/password"
    parent = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    async with aiohttp.ClientSession() as http:
        await http.post(url, headers=parent, json={"flow_id": "f", "email": "a@b.test"})

    spans = await scene.spans("hook password")
    parents = [(f"{p.trace_id:032x}", f"{p.span_id:016x}") for p in parents_of(spans)]
    (span,) = [one for one in spans if one.parent]
    assert [(TRACE, PARENT)] == parents
    assert SpanKind.SERVER is span.kind
    assert {
        "http.request.method": "POST",
        "http.route": "/kratos/password",
        "signupd.answer": "unknown_flow",
    } == attributes(span)


async def test_log_lines_of_a_call(scene: Scene) -> None:
    """The lines of a call name its span, so that log and trace are found together."""
    await scene.start(("traceparent", f"00-{TRACE}-{PARENT}-01"))
    rpc = await scene.span(f"{SERVICE}/StartSignup")

    line = scene.world.log.entry("signup_started")
    assert (TRACE, f"{id_of(rpc):016x}") == (line["trace_id"], line["span_id"])


async def test_work_outlives_its_caller(scene: Scene) -> None:
    """What goes on when the caller is gone stays in the caller's trace."""
    held = scene.world.kratos.hold("send")
    parent = ("traceparent", f"00-{TRACE}-{PARENT}-01")
    starting = asyncio.create_task(scene.start(parent))
    await held.arrived.wait()
    starting.cancel()
    await refusal(scene.caller.get("none"))  # the server has heard of that before this
    held.released.set()

    sent = await scene.span("kratos send")
    rpc = await scene.span(f"{SERVICE}/StartSignup")
    assert sent.parent is not None
    assert id_of(rpc) == sent.parent.span_id
    assert sent.end_time is not None
    assert rpc.end_time is not None
    assert rpc.end_time < sent.end_time


async def test_not_traced(world: World) -> None:
    """Without tracing Kratos is sent no trace."""
    replica = await world.serve()
    await replica.caller.start(ADDRESS)

    assert world.kratos.headers
    assert not any("traceparent" in headers for headers in world.kratos.headers)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("OTEL_TRACES_EXPORTER", {}),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", {"OTEL_TRACES_EXPORTER": "otlp"}),
    ],
)
def test_unusable(tmp_path: Path, name: str, more: dict[str, str]) -> None:
    """An unusable variable ends the server at start with code 2, and is named."""
    done = subprocess.run(
        [sys.executable, "-m", "signupd", "serve"],
        env={name: "hunter2", **more},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 2 == done.returncode
    first, second = done.stderr.splitlines()
    assert version("signupd") == json.loads(first)["version"]
    assert second.startswith(f"signupd: {name}: ")
    assert "hunter2" not in done.stderr


def test_not_imported() -> None:
    """A server that is not asked for traces does not even import OpenTelemetry."""
    program = (
        "import sys, signupd.cli, signupd.telemetry.switch as switch\n"
        "assert switch.tracing_of({}) is None\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert "[]" == done.stdout.strip()
