"""Work outlives its caller, and the server outlives its neighbours."""

import asyncio
import contextlib
import sqlite3
from contextlib import closing
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.integration.caller import Caller, refusal, state_of
from tests.integration.world import PASSWORD, World, to_code, to_password

ADDRESS = "ann@example.com"
# How gRPC tells a caller that the server is going, by where it finds the call.
CUT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


@pytest.mark.parametrize("grace", ["60s", "0s"])
async def test_drain(world: World, grace: str) -> None:
    """A server that is told to stop ends its work first; hooks come in meanwhile.

    When the grace is over callers are cut off, and the work is still finished.
    """
    first = await world.serve(drain_timeout=grace)
    token = await to_password(world, first.caller, ADDRESS)
    async with world.held(
        "password", first.caller.set_password(token, PASSWORD)
    ) as call:
        stopping = asyncio.create_task(first.service.stop())
        # A call that arrives as gRPC stops listening is answered after the grace only.
        first.caller.deadline_seconds = 2
        refused = None
        while refused is None or refused.code not in CUT:
            with contextlib.suppress(AssertionError):  # not refused yet
                refused = await refusal(
                    call if grace == "0s" else first.caller.get(token)
                )
    await stopping
    second = await world.serve()

    assert grace == "0s" or "COMPLETED" == state_of(await call)
    assert "COMPLETED" == state_of(await second.caller.get(token))


async def test_wait_before_the_drain(world: World) -> None:
    """A server that is told to stop says so at once, and serves until its wait ends."""
    first = await world.serve(drain_wait="1h", metrics_listen="127.0.0.1:0")
    health: Any = health_pb2_grpc.HealthStub(first.caller.channel)
    watch = health.Watch(health_pb2.HealthCheckRequest())
    states = [(await watch.read()).status]
    stopping = asyncio.create_task(first.service.stop())
    states.append((await watch.read()).status)
    readiness, _ = await first.page("readyz")
    token = await to_password(world, first.caller, ADDRESS)
    done = await first.caller.set_password(token, PASSWORD)
    waiting = not stopping.done()
    first.service.hurry.set()
    await stopping
    refused = await refusal(first.caller.get(token))

    serving = health_pb2.HealthCheckResponse
    assert [serving.SERVING, serving.NOT_SERVING] == states
    assert 3600.0 == world.log.entry("stopping")["seconds"]
    assert 503 == readiness
    assert waiting
    assert "COMPLETED" == state_of(done)
    assert refused.code in CUT


async def test_ledger_locked(world: World, caller: Caller) -> None:
    """A ledger that somebody else holds is told as away; the hook then says no."""
    token, code = await to_code(world, caller, ADDRESS)
    later = await to_password(world, caller, "bob@example.com")
    async with world.held("password", caller.set_password(later, PASSWORD)) as call:
        flow_id = world.kratos.flow_ids()[-1]
        with closing(sqlite3.connect(world.directory / "signupd.db")) as database:
            database.execute("BEGIN IMMEDIATE")
            verified, started, answer = await asyncio.gather(
                refusal(caller.verify(token, code)),
                refusal(caller.start("cid@example.com")),
                world.ask_hook("password", flow_id=flow_id, email="bob@example.com"),
            )
            got = await caller.get(token)

    for refused in (verified, started):
        assert (grpc.StatusCode.UNAVAILABLE, "LEDGER_UNAVAILABLE") == (
            refused.code,
            refused.reason,
        )
        assert "locked" not in refused.wire
    assert (403, [9999003]) == (answer.status, answer.message_ids())
    assert "CODE_REQUIRED" == state_of(got)
    assert "COMPLETED" == state_of(await call)
    assert "code" not in world.kratos.calls[-3:]


async def test_ledger_lost(world: World, caller: Caller) -> None:
    """A ledger without its table is told as away, with a time to wait."""
    token, code = await to_code(world, caller, ADDRESS)
    with closing(sqlite3.connect(world.directory / "signupd.db")) as database:
        database.execute("ALTER TABLE signups RENAME TO elsewhere")
    refusals = [
        await refusal(caller.get(token)),
        await refusal(caller.verify(token, code)),
        await refusal(caller.set_password(token, PASSWORD)),
        await refusal(caller.start(ADDRESS)),
    ]

    expected = (grpc.StatusCode.UNAVAILABLE, "LEDGER_UNAVAILABLE")
    assert [expected] * 4 == [(r.code, r.reason) for r in refusals]
    assert all(refused.retry_seconds for refused in refusals)
    assert "signups" not in " ".join(refused.wire for refused in refusals)
