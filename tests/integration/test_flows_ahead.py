"""Flows opened ahead, seen from outside: who uses them, and what if they are gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from signupd.telemetry.tracing import Tracing

from tests.integration.caller import refusal
from tests.integration.world import PASSWORD, state_of, to_password

if TYPE_CHECKING:
    from tests.integration.caller import Caller
    from tests.integration.world import Replica, World

# The gate's own, before anybody calls.
PROOF = 1
REFILLED = ["send", "open"]


@pytest.fixture
async def replica(world: World) -> Replica:
    """Serve with one flow ahead."""
    return await world.serve(flows_ahead=1)


@pytest.fixture
def caller(replica: Replica) -> Caller:
    """Call it."""
    return replica.caller


async def start(world: World, caller: Caller, address: str) -> list[str]:
    """Start a sign-up, and name Kratos' calls from its first on, once all are over."""
    before = len(world.kratos.calls)
    answer = await caller.start(address)
    assert "CODE_REQUIRED" == state_of(answer)
    await world.kratos.wait_until(lambda calls: calls[before:][-2:] == REFILLED)
    return [*world.kratos.calls[before:]]


async def test_next_one(world: World, caller: Caller) -> None:
    """The second StartSignup submits to a flow that was there when it came."""
    first = await start(world, caller, "ann@example.com")
    opened = len(world.kratos.flow_ids())
    second = await start(world, caller, "ben@example.com")

    assert ["open", "send", "open"] == first
    assert ["send", "open"] == second
    assert 1 == len(world.kratos.flow_ids()) - opened


async def test_whole_way(world: World, caller: Caller) -> None:
    """Sign-ups by flows opened ahead end as all others."""
    await start(world, caller, "ann@example.com")
    token = await to_password(world, caller, "ben@example.com")
    done = await caller.set_password(token, PASSWORD)

    assert "COMPLETED" == state_of(done)


async def test_gone(world: World) -> None:
    """A Kratos that has lost its flows is asked for another, once; one mail goes."""
    replica = await world.serve(flows_ahead=2)
    await replica.caller.start("ann@example.com")
    await world.kratos.wait_until(lambda _: PROOF + 2 == len(world.kratos.flow_ids()))
    await replica.caller.start("ben@example.com")
    await world.kratos.wait_until(lambda _: PROOF + 4 == len(world.kratos.flow_ids()))
    world.kratos.expire_flows()
    before = len(world.kratos.calls)
    await replica.caller.start("cal@example.com")
    calls = [*world.kratos.calls[before:]]

    assert ["send", "open", "send"] == calls[:3]
    assert {"open"} >= set(calls[3:])
    assert 1 == len(world.kratos.mails_to("cal@example.com"))
    assert 3 == len(world.rows())


async def test_codes_off(world: World, caller: Caller) -> None:
    """A Kratos that knows no flow at all, fresh ones neither, is not asked twice."""
    world.kratos.fail("send", status=404)
    before = len(world.kratos.calls)
    refused = await refusal(caller.start("ann@example.com"))

    assert "KRATOS_INCOMPATIBLE" == refused.reason
    assert ["open", "send"] == world.kratos.calls[before:]
    assert [] == world.rows()


async def test_gone_counts_once(world: World) -> None:
    """The mail that did not go is not counted."""
    replica = await world.serve(flows_ahead=1, sends_per_address=1)
    await start(world, replica.caller, "ann@example.com")
    world.kratos.expire_flows()
    await start(world, replica.caller, "ben@example.com")
    refused = await refusal(replica.caller.start("ben@example.com"))

    assert "SEND_LIMIT_REACHED" == refused.reason


async def test_kratos_away(world: World, caller: Caller) -> None:
    """With Kratos away StartSignup says so; when it is back, it goes on."""
    await start(world, caller, "ann@example.com")
    await world.kratos.down()
    refused = await refusal(caller.start("ben@example.com"))
    await world.kratos.up()
    await start(world, caller, "ben@example.com")

    assert "KRATOS_UNAVAILABLE" == refused.reason


async def test_refused_uses_none(world: World) -> None:
    """A call that a limit refuses leaves the flow to the next."""
    replica = await world.serve(flows_ahead=1, sends_per_address=1)
    await start(world, replica.caller, "ann@example.com")
    before = len(world.kratos.calls)
    await refusal(replica.caller.start("ann@example.com"))
    await start(world, replica.caller, "ben@example.com")

    assert ["send", "open"] == world.kratos.calls[before:]


async def test_stops_while_it_opens(world: World, replica: Replica) -> None:
    """A server that stops does not wait for a flow that nobody will use."""
    await start(world, replica.caller, "ann@example.com")
    held = world.kratos.hold("open")
    await replica.caller.start("ben@example.com")
    await held.arrived.wait()
    await replica.service.stop()
    left = [task.get_coro() for task in asyncio.all_tasks()]

    assert [] == [one for one in left if "open_registration" in repr(one)]


async def test_traces(world: World) -> None:
    """What is opened ahead is in nobody's trace."""
    spans = InMemorySpanExporter()
    world.tracing = Tracing([spans])
    replica = await world.serve(flows_ahead=1)
    await start(world, replica.caller, "ann@example.com")
    await replica.service.stop()
    (proof, own, ahead) = sorted(
        (one for one in spans.get_finished_spans() if one.name == "kratos open"),
        key=lambda one: one.start_time or 0,
    )

    assert own.parent is not None
    assert (None, None) == (proof.parent, ahead.parent)
