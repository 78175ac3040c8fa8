"""Leases: two servers on one ledger exclude each other, and clear up after the dead."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from tests.integration.caller import refusal
from tests.integration.world import PASSWORD, another, state_of, to_code, to_password

if TYPE_CHECKING:
    from tests.integration.caller import Caller
    from tests.integration.world import World

ADDRESS = "ann@example.com"
LEASE_SECONDS = 75
APPROVAL_SECONDS = 45
MICROSECOND = 1e-6
BUSY = (grpc.StatusCode.ABORTED, "SIGNUP_BUSY", 1.0)


async def two(world: World) -> tuple[Caller, Caller]:
    """Give callers of two servers; the hooks go to the second."""
    return (await world.serve()).caller, (await world.serve()).caller


async def outcome(call: Any) -> str:
    """Name the state that a call came to, or the reason that it was refused for."""
    try:
        return state_of(await call)
    except grpc.aio.AioRpcError as error:
        return (await refusal(_failed(error))).reason


async def _failed(error: grpc.aio.AioRpcError) -> None:
    raise error


async def test_busy_while_verifying(world: World) -> None:
    """While a code is being checked nobody else gets at the sign-up."""
    first, second = await two(world)
    token, code = await to_code(world, first, ADDRESS)
    held = world.kratos.hold("code")
    call = asyncio.ensure_future(first.verify(token, code))
    await held.arrived.wait()
    same = await refusal(second.verify(token, code))
    other = await refusal(second.verify(token, another(code)))
    got = await second.get(token)
    held.released.set()

    for refused in (same, other):
        assert BUSY == (refused.code, refused.reason, refused.retry_seconds)
        assert "CODE_REQUIRED" == state_of(refused)
    assert "CODE_REQUIRED" == state_of(got)
    assert 4 == got.signup.code_attempts_remaining  # counted before Kratos answers
    assert "PASSWORD_REQUIRED" == state_of(await call)
    assert 1 == world.kratos.calls.count("code")


async def test_busy_while_setting(world: World) -> None:
    """While a password is being set nobody else gets at the sign-up."""
    first, second = await two(world)
    token, code = await to_code(world, first, ADDRESS)
    later = (await first.verify(token, code)).continuation_token
    held = world.kratos.hold("password")
    call = asyncio.ensure_future(first.set_password(later, PASSWORD))
    await held.arrived.wait()
    refusals = [
        await refusal(second.set_password(later, PASSWORD)),
        await refusal(second.set_password(later, PASSWORD + "!")),
        await refusal(second.verify(token, code)),
    ]
    got = await second.get(later)
    held.released.set()

    for refused in refusals:
        assert BUSY == (refused.code, refused.reason, refused.retry_seconds)
    assert "PASSWORD_REQUIRED" == state_of(got)
    assert "COMPLETED" == state_of(await call)


async def test_busy_while_sending(world: World) -> None:
    """While a mail is being sent the same request is busy, and sends no other."""
    first, second = await two(world)
    request_id = uuid.uuid4()
    held = world.kratos.hold("send")
    call = asyncio.ensure_future(first.start(ADDRESS, request_id))
    await held.arrived.wait()
    refused = await refusal(second.start(ADDRESS, request_id))
    held.released.set()
    started = await call
    again = await second.start(ADDRESS, request_id)

    assert BUSY == (refused.code, refused.reason, refused.retry_seconds)
    assert started.signup == again.signup
    assert 1 == len(world.kratos.mails_to(ADDRESS))


async def test_starts_raced(world: World) -> None:
    """Of two first calls with one request id on two servers one begins the sign-up."""
    first, second = await two(world)
    request_id = uuid.uuid4()
    held = world.kratos.hold("open", after=True)
    call = asyncio.ensure_future(refusal(first.start(ADDRESS, request_id)))
    await held.arrived.wait()
    started = await second.start(ADDRESS, request_id)
    held.released.set()
    refused = await call

    assert "CODE_REQUIRED" == state_of(started)
    assert BUSY == (refused.code, refused.reason, refused.retry_seconds)
    assert 1 == len(world.kratos.mails_to(ADDRESS))


async def test_repeat_joins(world: World) -> None:
    """On one server a repeat joins the work, and both get its answer."""
    caller = (await world.serve()).caller
    token = await to_password(world, caller, ADDRESS)
    held = world.kratos.hold("password")
    calls = [
        asyncio.ensure_future(caller.set_password(token, PASSWORD)) for _ in range(3)
    ]
    await held.arrived.wait()
    # Whoever comes by another way sees that the three are at work as one.
    other = await refusal(caller.set_password(token, PASSWORD + "!"))
    held.released.set()
    answers = await asyncio.gather(*calls)

    assert "SIGNUP_BUSY" == other.reason
    assert ["COMPLETED"] * 3 == [state_of(answer) for answer in answers]
    assert 1 == [account.password for account in world.kratos.accounts()].count(
        PASSWORD
    )


async def test_codes_raced(world: World) -> None:
    """Of codes tried on two servers at once none is counted less than it was tried."""
    callers = await two(world)
    token, code = await to_code(world, callers[0], ADDRESS)
    tried = [
        outcome(callers[n % 2].verify(token, another(code, n + 1))) for n in range(12)
    ]
    outcomes = await asyncio.gather(*tried)
    got = await callers[0].get(token)

    posted = world.kratos.calls.count("code")
    assert {"CODE_INCORRECT", "SIGNUP_BUSY", "CODE_ATTEMPTS_EXHAUSTED"} >= {*outcomes}
    assert posted == outcomes.count("CODE_INCORRECT") <= 5
    assert 5 - posted == got.signup.code_attempts_remaining


async def test_repeats_raced(world: World) -> None:
    """After the proof guesses on two servers at once stay within their own count."""
    callers = await two(world)
    token, code = await to_code(world, callers[0], ADDRESS)
    await callers[0].verify(token, code)
    tried = [
        outcome(callers[n % 2].verify(token, another(code, n + 1))) for n in range(12)
    ]
    outcomes = await asyncio.gather(*tried)

    assert {"CODE_INCORRECT", "SIGNUP_BUSY", "CODE_ATTEMPTS_EXHAUSTED"} >= {*outcomes}
    assert outcomes.count("CODE_INCORRECT") <= world.row()["code_repeats"] <= 5


async def test_passwords_raced(world: World) -> None:
    """Of passwords set on two servers at once one makes the account, and says so."""
    callers = await two(world)
    token = await to_password(world, callers[0], ADDRESS)
    passwords = [f"plum-violin-harbor-{n}" for n in range(6)]
    outcomes = await asyncio.gather(
        *[
            outcome(callers[n % 2].set_password(token, password))
            for n, password in enumerate(passwords)
        ]
    )
    (account,) = world.kratos.accounts()

    assert {"COMPLETED", "SIGNUP_BUSY", "PASSWORD_ALREADY_SET"} >= {*outcomes}
    assert [account.password] == [
        password
        for password, came in zip(passwords, outcomes, strict=True)
        if came == "COMPLETED"
    ]


@pytest.mark.parametrize(
    ("taken", "state"), [(False, "PASSWORD_REQUIRED"), (True, "ALREADY_REGISTERED")]
)
async def test_dead_verifying_of_a_right_code(
    world: World, *, taken: bool, state: str
) -> None:
    """Of a call that died over a right code, the flow tells that it was right."""
    if taken:
        world.kratos.add_account(ADDRESS, verified=True)
    first, second = await two(world)
    token, code = await to_code(world, first, ADDRESS)
    held = world.kratos.hold("code", after=True)
    call = asyncio.ensure_future(first.verify(token, code))
    await held.arrived.wait()
    world.clock.move(LEASE_SECONDS)
    got = await second.get(token)
    verified = await second.verify(token, code)
    held.released.set()
    late = await refusal(call)

    assert [state] * 2 == [state_of(got), state_of(verified)]
    assert 1 == world.kratos.calls.count("code")
    assert "SIGNUP_BUSY" == late.reason
    assert state == state_of(late)
    assert "settled" in world.log.events("warning")


async def test_dead_verifying_of_an_unposted_code(world: World) -> None:
    """A code that never was posted is counted, and decided by its repeat for free."""
    first, second = await two(world)
    token, code = await to_code(world, first, ADDRESS)
    held = world.kratos.hold("code")
    call = asyncio.ensure_future(first.verify(token, code))
    await held.arrived.wait()
    world.clock.move(LEASE_SECONDS)
    got = await second.get(token)
    verified = await second.verify(token, code)
    held.released.set()
    await refusal(call)

    assert ("CODE_REQUIRED", 4) == (state_of(got), got.signup.code_attempts_remaining)
    assert "PASSWORD_REQUIRED" == state_of(verified)
    assert 1 == world.row()["code_attempts"]


async def test_dead_verifying_of_a_wrong_code(world: World) -> None:
    """A wrong code whose call died is counted once, and told wrong by its repeat."""
    first, second = await two(world)
    token, code = await to_code(world, first, ADDRESS)
    held = world.kratos.hold("code", after=True)
    call = asyncio.ensure_future(first.verify(token, another(code)))
    await held.arrived.wait()
    world.clock.move(LEASE_SECONDS)
    again = await refusal(second.verify(token, another(code)))
    held.released.set()
    await refusal(call)

    assert "CODE_INCORRECT" == again.reason
    assert again.signup is not None
    assert 4 == again.signup.code_attempts_remaining


async def test_dead_verifying_of_a_torn_code(world: World) -> None:
    """A code used up by a call that died before its flow noticed is right."""
    first, second = await two(world)
    token, code = await to_code(world, first, ADDRESS)
    world.kratos.tear("code")
    held = world.kratos.hold("flow")
    call = asyncio.ensure_future(first.verify(token, code))
    await held.arrived.wait()
    world.clock.move(LEASE_SECONDS)
    verified = await outcome(second.verify(token, code))
    held.released.set()
    await outcome(call)

    assert "PASSWORD_REQUIRED" == verified


async def test_dead_setting_that_made_the_account(world: World) -> None:
    """Of a call that died over a password, the account tells whose it is."""
    first, second = await two(world)
    token = await to_password(world, first, ADDRESS)
    held = world.kratos.hold("password", after=True)
    call = asyncio.ensure_future(first.set_password(token, PASSWORD))
    await held.arrived.wait()
    world.clock.move(LEASE_SECONDS)
    other = await refusal(second.set_password(token, PASSWORD + "!"))
    done = await second.set_password(token, PASSWORD)
    held.released.set()
    late = await refusal(call)

    (account,) = world.kratos.accounts()
    assert "PASSWORD_ALREADY_SET" == other.reason
    assert ("COMPLETED", str(account.id)) == (state_of(done), done.signup.identity_id)
    assert PASSWORD == account.password
    assert ("SIGNUP_BUSY", "COMPLETED") == (late.reason, state_of(late))


async def test_dead_setting_that_made_nothing(world: World) -> None:
    """A password that was never posted is counted; what comes late is refused."""
    first, second = await two(world)
    token = await to_password(world, first, ADDRESS)
    held = world.kratos.hold("password")
    call = asyncio.ensure_future(first.set_password(token, PASSWORD))
    await held.arrived.wait()
    world.clock.move(LEASE_SECONDS)
    got = await second.get(token)
    done = await second.set_password(token, "entirely-different-9")
    held.released.set()
    late = await refusal(call)

    assert ("PASSWORD_REQUIRED", 19) == (
        state_of(got),
        got.signup.password_attempts_remaining,
    )
    assert "COMPLETED" == state_of(done)
    assert ["entirely-different-9"] == [a.password for a in world.kratos.accounts()]
    assert "COMPLETED" == state_of(late)


async def test_dead_setting_of_a_stranger(world: World) -> None:
    """An account that came by another way is nobody's of this sign-up."""
    first, second = await two(world)
    token = await to_password(world, first, ADDRESS)
    held = world.kratos.hold("password")
    call = asyncio.ensure_future(first.set_password(token, PASSWORD))
    await held.arrived.wait()
    there = world.kratos.add_account(ADDRESS, password="old")
    world.clock.move(LEASE_SECONDS)
    got = await second.get(token)
    held.released.set()
    await refusal(call)

    assert "ALREADY_REGISTERED" == state_of(got)
    assert [there] == world.kratos.accounts()


async def test_approval_outlives_the_lease(world: World) -> None:
    """While Kratos may still store what the hook agreed to, nobody moves the row."""
    first, second = await two(world)
    token = await to_password(world, first, ADDRESS)
    held = world.kratos.hold("password")
    call = asyncio.ensure_future(first.set_password(token, PASSWORD))
    await held.arrived.wait()
    before = world.row()["lease_until"]
    world.clock.micros = before - 1
    flow_id = world.kratos.flow_ids()[-1]
    answer = await world.ask_hook("password", flow_id=flow_id, email=ADDRESS)
    world.clock.move(APPROVAL_SECONDS - MICROSECOND)
    busy = await refusal(second.set_password(token, PASSWORD))
    world.clock.move(MICROSECOND)
    done = await second.set_password(token, PASSWORD)
    held.released.set()
    await refusal(call)

    assert 200 == answer.status
    assert "SIGNUP_BUSY" == busy.reason
    assert "COMPLETED" == state_of(done)


async def test_account_found_while_the_approval_stands(world: World) -> None:
    """What Kratos stored of what the hook agreed to is seen as soon as it is there."""
    first, second = await two(world)
    token = await to_password(world, first, ADDRESS)
    held = world.kratos.hold("password", after=True)
    call = asyncio.ensure_future(first.set_password(token, PASSWORD))
    await held.arrived.wait()
    world.clock.micros = world.row()["lease_until"] - 1
    flow_id = world.kratos.flow_ids()[-1]
    await world.ask_hook("password", flow_id=flow_id, email=ADDRESS)
    world.clock.move(MICROSECOND)
    got = await second.get(token)
    held.released.set()
    await refusal(call)

    assert "COMPLETED" == state_of(got)


async def test_dead_sending(world: World) -> None:
    """A StartSignup that died after the mail is carried on, without another."""
    first, second = await two(world)
    request_id = uuid.uuid4()
    held = world.kratos.hold("send", after=True)
    call = asyncio.ensure_future(first.start(ADDRESS, request_id))
    await held.arrived.wait()
    world.clock.move(LEASE_SECONDS)
    started = await second.start(ADDRESS, request_id)
    held.released.set()
    await refusal(call)

    assert ("CODE_REQUIRED", 4) == (state_of(started), started.signup.resends_remaining)
    assert 1 == len(world.kratos.mails_to(ADDRESS))


async def test_dead_sending_of_nothing(world: World) -> None:
    """A StartSignup that died before the mail is carried on, by a flow of its own."""
    first, second = await two(world)
    request_id = uuid.uuid4()
    held = world.kratos.hold("send")
    call = asyncio.ensure_future(first.start(ADDRESS, request_id))
    await held.arrived.wait()
    world.clock.move(LEASE_SECONDS)
    started = await second.start(ADDRESS, request_id)
    code = world.kratos.code_for(ADDRESS)
    verified = await second.verify(started.continuation_token, code)
    held.released.set()
    await refusal(call)

    assert 3 == started.signup.resends_remaining
    assert "PASSWORD_REQUIRED" == state_of(verified)


async def test_keys_and_ledger_are_shared(world: World) -> None:
    """Each step may be called on another server."""
    first, second = await two(world)
    token, code = await to_code(world, first, ADDRESS)
    later = (await second.verify(token, code)).continuation_token
    done = await first.set_password(later, PASSWORD)

    assert "COMPLETED" == state_of(done)
    assert done.signup == (await second.get(later)).signup
