"""The service as a process sees it: start, ports, health, reflection, the proof."""

import asyncio
import contextlib
import socket
import sqlite3
from contextlib import closing
from typing import Any

import aiohttp
import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from signupd.ledger.ledger import Ledger
from signupd.ports import health
from signupd.ports.hooks import MAX_LINE_BYTES
from signupd.service import Service

from tests.integration.caller import Caller, reflected, refusal, state_of
from tests.integration.world import World, to_code

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
NAMES = ("", "kratos_signup.v1.SignupService", "kratos_signup.v1.AccountService")


async def test_health(caller: Caller) -> None:
    """The server and both its services are SERVING on loopback."""
    stub: Any = health_pb2_grpc.HealthStub(caller.channel)
    for name in NAMES:
        await told(stub.Watch(health_pb2.HealthCheckRequest(service=name)), SERVING)
    unknown = await refusal(stub.Check(health_pb2.HealthCheckRequest(service="x")))

    assert grpc.StatusCode.NOT_FOUND is unknown.code


async def test_health_watched(world: World) -> None:
    """Who watches hears that it serves, and that it is about to stop."""
    replica = await world.serve()
    stub: Any = health_pb2_grpc.HealthStub(replica.caller.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    serving = (await watch.read()).status
    stopping = asyncio.ensure_future(replica.service.stop())
    stopped = (await watch.read()).status
    watch.cancel()
    await stopping

    assert health_pb2.HealthCheckResponse.SERVING == serving
    assert health_pb2.HealthCheckResponse.NOT_SERVING == stopped
    assert [] == world.log.events("error")


async def test_connections_grow_old(world: World) -> None:
    """A connection of some age is replaced, without a failed call."""
    replica = await world.serve(max_connection_age="1s")
    token, _ = await to_code(world, replica.caller, "ann@example.com")
    channel = replica.caller.channel
    await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)

    assert "CODE_REQUIRED" == state_of(await replica.caller.get(token))


async def test_unix_socket_in_use(world: World) -> None:
    """A second server takes nobody's unix socket away; one left behind is no hurdle."""
    path = f"{world.directory}/signupd.sock"
    (world.directory / "second").mkdir()
    ledger = f"sqlite:///{world.directory}/second/signupd.db"
    first = await world.serve(listen=f"unix:{path}")
    with pytest.raises(OSError, match="in use"):
        await world.serve(listen=f"unix:{path}", ledger_url=ledger)
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest())
    await first.service.stop()
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as left_behind:
        left_behind.bind(path)
    again = await world.serve(listen=f"unix:{path}", proved=False)

    assert health_pb2.HealthCheckResponse.SERVING == answer.status
    assert 1 == again.service.port


async def test_reflection(caller: Caller) -> None:
    """The contract can be asked for, comments apart: grpcurl needs no files."""
    listed = await reflected(
        caller, reflection_pb2.ServerReflectionRequest(list_services="")
    )
    symbol = reflection_pb2.ServerReflectionRequest(file_containing_symbol=NAMES[1])
    described = await reflected(caller, symbol)

    names = {service.name for service in listed.list_services_response.service}
    assert {
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
        *NAMES[1:],
    } == names
    files = described.file_descriptor_response.file_descriptor_proto
    protos = [descriptor_pb2.FileDescriptorProto.FromString(file) for file in files]
    assert "kratos_signup/v1/signup_service.proto" in [proto.name for proto in protos]


async def test_no_reflection(world: World) -> None:
    """Reflection can be turned off."""
    caller = (await world.serve(reflection=False)).caller
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    refused = await refusal(reflected(caller, request))

    assert grpc.StatusCode.UNIMPLEMENTED is refused.code


async def test_port_taken(
    world: World, caller: Caller, capfd: pytest.CaptureFixture[str]
) -> None:
    """A port that somebody has is an error, not a silent rival; stopping is clean.

    The error names the setting and the address, and other reasons too. gRPC prints no
    lines of its own beside it.
    """
    first = await world.serve()
    port, hook_port = first.service.port, first.service.hook_port
    for setting, address, why in (
        ("LISTEN", f"127.0.0.1:{port}", "Address already in use"),
        ("LISTEN", "unix:/nowhere/socket", "No such file or directory"),
        ("LISTEN", "name.invalid:1", "Name or service not known"),
        ("HOOK_LISTEN", f"127.0.0.1:{hook_port}", "Address already in use"),
        ("HOOK_LISTEN", "192.0.2.1:1", "Cannot assign requested address"),
        ("METRICS_LISTEN", f"127.0.0.1:{port}", "Address already in use"),
        ("METRICS_LISTEN", "name.invalid:1", "Name or service not known"),
    ):
        service = Service(
            world.settings(**{setting.lower(): address}), world.log.logger, world.clock
        )
        with pytest.raises(OSError, match=r".") as caught:
            await service.start()
        await service.stop()

        assert f"{setting}: cannot listen on {address}: {why}" == str(caught.value)
        assert "" == capfd.readouterr().err


async def test_metrics_port_limits(world: World) -> None:
    """The metrics port has the limits of the hook port, and hides what serves it."""
    replica = await world.serve(metrics_listen="127.0.0.1:0")
    url = f"http://127.0.0.1:{replica.service.metrics_port}/livez"
    async with aiohttp.ClientSession() as http:
        async with http.get(url) as alive:
            served = alive.status, alive.headers.get("Server")
        async with http.get(f"{url}?{MAX_LINE_BYTES * 'a'}") as long:
            refused = long.status

    assert (200, None) == served
    assert 400 == refused


async def test_stop_twice(world: World) -> None:
    """A service may be told to stop before it starts, and more than once."""
    await Service(world.settings(), world.log.logger, world.clock).stop()
    replica = await world.serve()
    await replica.service.stop()
    await replica.service.stop()

    assert ["stopped"] * 2 == world.log.events()[-2:]


async def test_proof_leaves_nothing(world: World, caller: Caller) -> None:
    """The proof asks Kratos for one account that our hook refuses."""
    calls = ["schemas", "open", "find", "open", "password"]
    assert calls == list(world.kratos.calls)
    assert [] == world.kratos.accounts()
    assert [] == world.rows()


async def test_first_signup_waits_for_the_proof(world: World) -> None:
    """Who comes during the proof waits for it; there is one proof."""
    held = world.kratos.hold("password")
    replica = await world.serve(proved=False)
    await held.arrived.wait()
    held.released.set()
    await to_code(world, replica.caller, "ann@example.com")

    assert 1 == world.kratos.calls.count("password")


async def test_health_of_what_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each service is SERVING as long as what it needs answers, and watchers are told.

    A Kratos that is away is no reason to restart this process.
    """
    monkeypatch.setattr(health, "INTERVAL_SECONDS", 0.1)
    replica = await world.serve()
    stub: Any = health_pb2_grpc.HealthStub(replica.caller.channel)
    watches = [
        stub.Watch(health_pb2.HealthCheckRequest(service=name), timeout=60)
        for name in NAMES
    ]
    before = [await told(watch, SERVING) for watch in watches]
    await world.kratos.down()
    kratos = [await told(watch, NOT_SERVING) for watch in watches[1:]]
    process = (await stub.Check(health_pb2.HealthCheckRequest(service=""))).status
    await world.kratos.up()
    after = [await told(watch, SERVING) for watch in watches[1:]]
    with closing(sqlite3.connect(world.directory / "signupd.db")) as database:
        database.execute("BEGIN IMMEDIATE")
        ledger = [await told(watch, NOT_SERVING) for watch in watches[:2]]

    assert all(before + kratos + after + ledger)
    assert SERVING == process
    assert {(True, "info"), (False, "warning")} == {
        (one["ledger"] and one["kratos"] and one["kratos_admin"], one["level"])
        for one in world.log.entries
        if one["event"] == "health"
    }


async def told(watch: Any, status: int) -> bool:
    """Wait until a watcher is told a status."""
    while (await watch.read()).status != status:
        pass
    return True


async def test_health_survives_a_defect(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was never to happen counts as away, is logged, and health goes on."""
    monkeypatch.setattr(health, "INTERVAL_SECONDS", 0.1)
    replica = await world.serve()
    stub: Any = health_pb2_grpc.HealthStub(replica.caller.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest(service=""), timeout=60)
    await told(watch, SERVING)

    async def broken(_ledger: Ledger) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "probe", broken)
        broke = await told(watch, NOT_SERVING)
    mended = await told(watch, SERVING)

    assert broke
    assert mended
    assert "health" == world.log.entry("defect")["where"]
