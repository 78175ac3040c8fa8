"""The look-up that begins with the code hook, before Kratos has answered the code."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.doubles.kratos_flow import SENT_EMAIL
from tests.integration.caller import refusal
from tests.integration.world import state_of

if TYPE_CHECKING:
    from tests.doubles.trouble import Held
    from tests.integration.caller import Caller
    from tests.integration.world import World

ADDRESS = "ann@example.com"


@pytest.fixture
async def caller(world: World) -> Caller:
    """Call a server that may ask Kratos two things at once."""
    return (await world.serve(flows_ahead=1)).caller


@pytest.fixture
async def token(world: World, caller: Caller) -> str:
    """Start a sign-up."""
    answer = await caller.start(ADDRESS)
    await world.kratos.wait_until(lambda calls: "open" == calls[-1])
    return str(answer.continuation_token)


async def submitting(
    world: World, caller: Caller, token: str, code: str
) -> tuple[Held, asyncio.Task[Any]]:
    """Bring a code to Kratos, which does not look at it yet."""
    held = world.kratos.hold("code")
    call = asyncio.ensure_future(caller.verify(token, code))
    await held.arrived.wait()
    return held, call


def mailed_flow(world: World) -> str:
    """Give the flow that waits for a code; another one may be open ahead."""
    waiting = [
        flow_id
        for flow_id in world.kratos.flow_ids()
        if world.kratos.flow(flow_id).state == SENT_EMAIL
    ]
    return waiting[-1]


async def test_before_the_answer(world: World, caller: Caller, token: str) -> None:
    """It is made while Kratos is busy with the code, and no second time."""
    held, call = await submitting(world, caller, token, world.kratos.code_for(ADDRESS))
    before = len(world.kratos.calls)
    await world.ask_hook("code", flow_id=mailed_flow(world))
    await world.kratos.wait_until(lambda calls: "find" in calls[before:])
    early = not call.done()
    held.released.set()
    done = await call

    assert early
    assert "PASSWORD_REQUIRED" == state_of(done)
    assert ["find"] == world.kratos.calls[before:]


async def test_forged(world: World, caller: Caller, token: str) -> None:
    """A hook that somebody else calls proves nothing: what Kratos answers counts."""
    held, call = await submitting(world, caller, token, "000000")
    before = world.row()
    answer = await world.ask_hook("code", flow_id=mailed_flow(world))
    await world.kratos.wait_until(lambda calls: "find" == calls[-1])
    during = world.row()
    held.released.set()
    refused = await refusal(call)

    assert 403 == answer.status
    assert before == during
    assert "CODE_INCORRECT" == refused.reason
    assert "code_required" == world.row()["state"]


async def test_lost_answer(world: World, caller: Caller, token: str) -> None:
    """With Kratos' answer lost it is made anew, once the code is known to be right."""
    world.kratos.lose("code")
    before = len(world.kratos.calls)
    done = await caller.verify(token, world.kratos.code_for(ADDRESS))

    assert "PASSWORD_REQUIRED" == state_of(done)
    # The early one may have got as far as Kratos, or not.
    calls = [*world.kratos.calls[before:]]
    assert ["flow", "find"] == calls[calls.index("flow") :]


async def test_taken(world: World, caller: Caller, token: str) -> None:
    """What it finds is what the caller is told."""
    world.kratos.add_account(ADDRESS)
    done = await caller.verify(token, world.kratos.code_for(ADDRESS))

    assert "ALREADY_REGISTERED" == state_of(done)


async def test_silent_hook(world: World, caller: Caller, token: str) -> None:
    """A hook that names no flow, as those of older configurations, will do."""
    world.kratos.setup.code_hook_names_flow = False
    before = len(world.kratos.calls)
    done = await caller.verify(token, world.kratos.code_for(ADDRESS))

    assert "PASSWORD_REQUIRED" == state_of(done)
    assert ["code", "find"] == world.kratos.calls[before:]
