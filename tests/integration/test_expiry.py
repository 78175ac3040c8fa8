"""Expiry, by moving the clock: from the deadline on every answer says so."""

import uuid
from typing import Any

import grpc
import pytest

from tests.integration.caller import Caller, another, refusal, state_of
from tests.integration.world import PASSWORD, World, to_code, to_password
from tests.refusal import Refusal

ADDRESS = "ann@example.com"
CODE_TTL = 15 * 60
PASSWORD_TTL = 30 * 60
MICROSECOND = 1e-6
EXPIRED = (grpc.StatusCode.FAILED_PRECONDITION, "SIGNUP_EXPIRED", "EXPIRED")


def said(refused: Refusal) -> tuple[grpc.StatusCode, str, str]:
    """Give status, reason and shown state of a refusal."""
    return refused.code, refused.reason, state_of(refused)


def figures(answer: Any) -> tuple[int, int, int, bool]:
    """Give what an expired sign-up has none of."""
    shown = answer.signup
    return (
        shown.code_attempts_remaining,
        shown.resends_remaining,
        shown.password_attempts_remaining,
        shown.HasField("expire_time"),
    )


async def test_code_too_late(world: World, caller: Caller) -> None:
    """From the deadline on every answer says EXPIRED, and Kratos is not asked."""
    request_id = uuid.uuid4()
    token = (await caller.start(ADDRESS, request_id)).continuation_token
    code = world.kratos.code_for(ADDRESS)
    world.clock.move(CODE_TTL)
    calls = len(world.kratos.calls)
    right = await refusal(caller.verify(token, code))
    wrong = await refusal(caller.verify(token, another(code)))
    got = await caller.get(token)
    again = await caller.start(ADDRESS, request_id)

    assert [EXPIRED] * 2 == [said(right), said(wrong)]
    assert ["EXPIRED"] * 2 == [state_of(got), state_of(again)]
    assert ["", ""] == [got.continuation_token, again.continuation_token]
    assert [(0, 0, 0, False)] * 2 == [figures(got), figures(right)]
    assert "a***@example.com" == got.signup.masked_email
    assert calls == len(world.kratos.calls)


async def test_suspended(world: World, on: dict[str, Any]) -> None:
    """A process that was suspended sets its deadlines by the ledger's server."""
    caller = (await world.serve(**on)).caller
    world.clock.move(-3600)
    token = (await caller.start(ADDRESS)).continuation_token
    other = (await world.serve(**on)).caller

    assert "CODE_REQUIRED" == state_of(await other.get(token))


async def test_password_in_time(world: World, caller: Caller) -> None:
    """The time for the password begins with the proof, whenever that was."""
    token, code = await to_code(world, caller, ADDRESS)
    world.clock.move(CODE_TTL - MICROSECOND)
    token = (await caller.verify(token, code)).continuation_token
    world.clock.move(PASSWORD_TTL - MICROSECOND)

    assert "COMPLETED" == state_of(await caller.set_password(token, PASSWORD))


async def test_password_too_late(world: World, caller: Caller) -> None:
    """From the deadline on nothing is stored, and every answer says EXPIRED."""
    token, code = await to_code(world, caller, ADDRESS)
    later = (await caller.verify(token, code)).continuation_token
    world.clock.move(PASSWORD_TTL)
    calls = len(world.kratos.calls)
    refusals = [
        await refusal(caller.set_password(later, PASSWORD)),
        await refusal(caller.set_password(later, "short")),
        await refusal(caller.verify(token, code)),
    ]
    answers = [await caller.get(token), await caller.get(later)]

    assert [EXPIRED] * 3 == [said(refused) for refused in refusals]
    assert ["EXPIRED"] * 2 == [state_of(answer) for answer in answers]
    assert calls == len(world.kratos.calls)
    assert [] == world.kratos.accounts()


@pytest.mark.parametrize("seconds", [1, 60, 3600])
async def test_own_spans(world: World, seconds: int) -> None:
    """The spans are the settings', and trying does not put the deadline off."""
    caller = (await world.serve(code_ttl=f"{seconds}s")).caller
    token, code = await to_code(world, caller, ADDRESS)
    world.clock.move(seconds - MICROSECOND)
    await refusal(caller.verify(token, another(code)))
    before = await caller.get(token)
    world.clock.move(MICROSECOND)
    after = await caller.get(token)

    assert ["CODE_REQUIRED", "EXPIRED"] == [state_of(before), state_of(after)]


async def test_start_left_too_long(world: World, caller: Caller) -> None:
    """A StartSignup whose mail is not known of begins anew after the deadline."""
    request_id = uuid.uuid4()
    world.kratos.lose("send", "flow", times=99)
    await refusal(caller.start(ADDRESS, request_id))
    (before,) = world.rows()
    world.kratos.heal()
    world.clock.move(CODE_TTL)
    started = await caller.start(ADDRESS, request_id)

    assert ("CODE_REQUIRED", 4) == (state_of(started), started.signup.resends_remaining)
    assert before["signup_id"] != world.row()["signup_id"]


async def test_dead_proof_shows_alike(world: World) -> None:
    """A code proved by a call that died is shown by every RPC, or by none."""
    first = await world.serve()
    request_id = uuid.uuid4()
    token = (await first.caller.start(ADDRESS, request_id)).continuation_token
    async with world.held(
        "code", first.caller.verify(token, world.kratos.code_for(ADDRESS)), after=True
    ) as call:
        world.clock.move(CODE_TTL)
        second = (await world.serve()).caller
        started = await second.start(ADDRESS, request_id)
        got = await second.get(token)
    await refusal(call)

    assert state_of(started) == state_of(got)


async def test_expired_before_the_lease(world: World, caller: Caller) -> None:
    """What was shown as EXPIRED stays so: the grant of the lease decides."""
    token = await to_password(world, caller, ADDRESS)
    async with world.held(
        "open", refusal(caller.set_password(token, PASSWORD))
    ) as call:
        world.clock.move(PASSWORD_TTL)
        shown = await caller.get(token)
    refused = await call

    assert ("EXPIRED", "SIGNUP_EXPIRED") == (state_of(shown), refused.reason)
    assert [] == world.kratos.accounts()
