"""Too much to do, and a Kratos that does not answer: refused at once, and healed."""

import asyncio
import contextlib
import time
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from signupd.kratos.http import FAILURES, PROBE_SECONDS
from signupd.policy.rules import CODE_REPEATS
from signupd.rpc.interceptor import MAX_WATCHES

from tests.doubles.trouble import Held
from tests.integration.caller import Caller, another, refusal, state_of
from tests.integration.world import PASSWORD, World, to_code, to_password

MOST = 3
MANY = 50
METHOD = "/kratos_signup.v1.SignupService/GetSignup"
# Bounds a hang.
HEALED_SECONDS = 60.0


@pytest.fixture
async def busy(world: World) -> tuple[Caller, list[Any], list[Held]]:
    """Give a server with as many calls at work as it takes, and what holds them."""
    caller = (await world.serve(max_concurrent_rpcs=MOST)).caller
    holds: list[Held] = []
    calls: list[Any] = []
    for number in range(MOST):
        holds.append(world.kratos.hold("send"))
        address = f"ann+{number}@example.com"
        calls.append(asyncio.ensure_future(caller.start(address)))
        await holds[-1].arrived.wait()
    return caller, calls, holds


async def test_shed(busy: tuple[Caller, list[Any], list[Held]]) -> None:
    """Calls beyond the limit are OVERLOADED and do nothing; health is answered."""
    caller, calls, holds = busy
    refused = [await refusal(caller.get("x")) for _ in range(MANY)]
    stub: Any = health_pb2_grpc.HealthStub(caller.channel)
    health = await stub.Check(health_pb2.HealthCheckRequest())
    for hold in holds:
        hold.released.set()
    served = await asyncio.gather(*calls)
    after = await refusal(caller.get("x"))

    assert {("OVERLOADED", 1.0)} == {(r.reason, r.retry_seconds) for r in refused}
    assert health_pb2.HealthCheckResponse.SERVING == health.status
    assert ["CODE_REQUIRED"] * MOST == [state_of(answer) for answer in served]
    assert "TOKEN_INVALID" == after.reason


async def test_watchers(world: World) -> None:
    """So many may watch the health at once; checks go on meanwhile."""
    caller = (await world.serve()).caller
    stub: Any = health_pb2_grpc.HealthStub(caller.channel)
    request = health_pb2.HealthCheckRequest()
    watches = [stub.Watch(request) for _ in range(MAX_WATCHES)]
    for watch in watches:
        await watch.read()
    refused = await refusal(stub.Watch(request).read())
    checked = await stub.Check(request)
    for watch in watches:
        watch.cancel()

    assert "OVERLOADED" == refused.reason
    assert health_pb2.HealthCheckResponse.SERVING == checked.status


async def test_connections(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many connections are served at once; those beyond are closed."""
    monkeypatch.setattr("signupd.rpc.server.MAX_CONNECTIONS", MOST)
    replica = await world.serve()
    address, caller = ("127.0.0.1", replica.service.port), replica.caller
    others = [await asyncio.open_connection(*address) for _ in range(MOST)]
    refused = await refusal(caller.get("x"))
    others[0][1].close()
    async with asyncio.timeout(HEALED_SECONDS):
        while "TOKEN_INVALID" != (await refusal(caller.get("x"))).reason:
            pass
    for _, writer in others:
        writer.close()

    assert grpc.StatusCode.UNAVAILABLE is refused.code


async def test_calls_without_a_request(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls whose request does not arrive are bounded too."""
    monkeypatch.setattr("signupd.rpc.server.MAX_OPEN_CALLS", MOST)
    caller = (await world.serve()).caller
    silent: Any = caller.channel.stream_unary(METHOD)
    calls = [silent() for _ in range(MOST + 1)]
    codes = [asyncio.ensure_future(call.code()) for call in calls]
    (ended,), _ = await asyncio.wait(codes, return_when=asyncio.FIRST_COMPLETED)
    for call in calls:
        call.cancel()

    assert grpc.StatusCode.RESOURCE_EXHAUSTED is ended.result()


async def test_work_without_callers_counts(
    busy: tuple[Caller, list[Any], list[Held]],
) -> None:
    """Callers who hang up and call again cannot pile up work."""
    caller, calls, holds = busy
    for call in calls:
        call.cancel()
    await asyncio.wait(calls)
    refused = await refusal(caller.get("x"))
    for hold in holds:
        hold.released.set()

    assert "OVERLOADED" == refused.reason


async def test_sweeper_does_not_count(world: World) -> None:
    """What the server does of itself takes nothing of what callers may have at once."""
    replica = await world.serve(max_concurrent_rpcs=1, sweep_interval="1d")
    token = await to_password(world, replica.caller, "ann@example.com")
    world.kratos.lose("password", "find", times=99)
    await refusal(replica.caller.set_password(token, PASSWORD))
    world.kratos.heal()
    world.clock.move(60)
    async with world.held("find", replica.service.sweeper.sweep()) as sweeping:
        refused = await refusal(replica.caller.get("x"))
    swept = await sweeping

    assert "TOKEN_INVALID" == refused.reason
    assert 1 == swept.settled


@pytest.mark.parametrize(("call", "rows"), [("open", 0), ("send", FAILURES)])
async def test_silent_kratos(world: World, call: str, rows: int) -> None:
    """After some calls that Kratos let wait, the others fail at once.

    So they do where it still opens flows, but no longer goes on with them.
    """
    caller = (await world.serve(kratos_timeout="2s")).caller
    held = world.kratos.hold(call, times=FAILURES + MANY)
    starts = (caller.start(f"ann+{number}@example.com") for number in range(FAILURES))
    first = await asyncio.gather(*map(refusal, starts))
    mark, begun = len(world.kratos.calls), time.monotonic()
    others = [await refusal(caller.start("bob@example.com")) for _ in range(MANY)]
    seconds = time.monotonic() - begun
    asked = world.kratos.calls[mark:].count(call)
    held.released.set()

    assert {"KRATOS_UNAVAILABLE"} == {r.reason for r in [*first, *others]}
    # Kratos is asked by a probe now and then, and by nobody else.
    assert asked <= 1 + seconds / PROBE_SECONDS
    assert all(0 < (r.retry_seconds or 0) <= PROBE_SECONDS for r in others)
    assert rows == len(world.rows())


async def test_cut_calls(world: World) -> None:
    """A code that Kratos breaks off at stops nobody else, and is not sent for ever."""
    caller = (await world.serve()).caller
    token, code = await to_code(world, caller, "ann@example.com")
    world.kratos.lose("code", times=1000)
    reasons = [
        (await refusal(caller.verify(token, another(code)))).reason
        for _ in range(CODE_REPEATS + 6)
    ]

    assert [*["KRATOS_UNAVAILABLE"] * (CODE_REPEATS + 5), reasons[-1]] == reasons
    assert "CODE_ATTEMPTS_EXHAUSTED" == reasons[-1]
    assert "CODE_REQUIRED" == state_of(await caller.start("bob@example.com"))


async def test_healed_kratos(world: World) -> None:
    """A Kratos that answers again serves all soon; nothing was counted meanwhile."""
    caller = (await world.serve()).caller
    token, code = await to_code(world, caller, "ann@example.com")
    await world.kratos.down()
    for _ in range(FAILURES):
        await refusal(caller.start("bob@example.com"))
    await world.kratos.up()
    refused = await refusal(caller.verify(token, code))
    verified = None
    async with asyncio.timeout(HEALED_SECONDS):
        while verified is None:
            with contextlib.suppress(grpc.aio.AioRpcError):
                verified = await caller.verify(token, code)

    assert "KRATOS_UNAVAILABLE" == refused.reason
    assert refused.signup is not None
    assert 5 == refused.signup.code_attempts_remaining
    assert 0 < (refused.retry_seconds or 0) <= PROBE_SECONDS
    assert "PASSWORD_REQUIRED" == state_of(verified)
