"""Leases: two servers on one ledger exclude each other, and clear up after the dead."""

import asyncio
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing

import grpc
import pytest

from tests.integration.caller import Caller, another, refusal, state_of
from tests.integration.world import PASSWORD, World, to_code, to_password

ADDRESS = "ann@example.com"
LEASE_SECONDS = 75
MICROSECOND = 1e-6
PATIENCE = 30.0  # seconds
BUSY = (grpc.StatusCode.ABORTED, "SIGNUP_BUSY", 1.0)


async def two(world: World) -> tuple[Caller, Caller]:
    """Give callers of two servers; the hooks go to the second."""
    return (await world.serve()).caller, (await world.serve()).caller


async def test_busy_while_sending(world: World) -> None:
    """While a mail is being sent the same request is busy, and sends no other."""
    first, second = await two(world)
    request_id = uuid.uuid4()
    async with world.held("send", first.start(ADDRESS, request_id)) as call:
        refused = await refusal(second.start(ADDRESS, request_id))
    started = await call
    again = await second.start(ADDRESS, request_id)

    assert BUSY == (refused.code, refused.reason, refused.retry_seconds)
    assert started.signup == again.signup
    assert 1 == len(world.kratos.mails_to(ADDRESS))


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
    async with world.held("code", first.verify(token, code), after=True) as call:
        world.clock.move(LEASE_SECONDS)
        got = await second.get(token)
        verified = await second.verify(token, code)
    late = await refusal(call)

    assert [state] * 2 == [state_of(got), state_of(verified)]
    assert 1 == world.kratos.calls.count("code")
    assert "SIGNUP_BUSY" == late.reason
    assert state == state_of(late)
    assert "settled" in world.log.events("warning")


async def test_account_found_while_the_approval_stands(world: World) -> None:
    """What Kratos stored of what the hook agreed to is seen as soon as it is there."""
    first, second = await two(world)
    token = await to_password(world, first, ADDRESS)
    async with world.held(
        "password", first.set_password(token, PASSWORD), after=True
    ) as call:
        world.clock.micros = world.row()["lease_until"] - 1
        flow_id = world.kratos.flow_ids()[-1]
        await world.ask_hook("password", flow_id=flow_id, email=ADDRESS)
        world.clock.move(MICROSECOND)
        got = await second.get(token)
    await refusal(call)

    assert "COMPLETED" == state_of(got)


@asynccontextmanager
async def untold(world: World, call: str) -> AsyncIterator[None]:
    """Have the ledger be away when Kratos answers a call, until the caller knows."""
    held = world.kratos.hold(call, after=True)
    yield
    await held.arrived.wait()
    with closing(sqlite3.connect(world.directory / "signupd.db")) as database:
        database.execute("ALTER TABLE signups RENAME TO elsewhere")
        begun = time.monotonic()
        held.released.set()
        await world.log.wait_for("ledger_unavailable")
        looks = world.clock.looks
        async with asyncio.timeout(PATIENCE):
            # Each try to release asks twice, one time from a thread.
            while world.clock.looks < looks + 5:  # noqa: ASYNC110
                await asyncio.sleep(0)
        database.execute("ALTER TABLE elsewhere RENAME TO signups")

    # Three pauses, each twice as long as the one before: 0.1, 0.2 and 0.4 s.
    assert time.monotonic() - begun > 0.6


@pytest.mark.parametrize("right", [True, False])
async def test_ledger_away_at_the_code(
    world: World, caller: Caller, *, right: bool
) -> None:
    """A lease whose end a ledger could not be told ends when it is back."""
    token, code = await to_code(world, caller, ADDRESS)
    if not right:
        code = another(code)
    async with untold(world, "code"):
        call = asyncio.ensure_future(refusal(caller.verify(token, code)))
    await world.log.wait_for("lease_released")
    again = caller.verify(token, code)
    outcome = state_of(await again) if right else (await refusal(again)).reason

    assert "LEDGER_UNAVAILABLE" == (await call).reason
    assert ("PASSWORD_REQUIRED" if right else "CODE_INCORRECT") == outcome
    assert 1 == world.row()["code_attempts"]


@pytest.mark.parametrize("approved", [True, False])
async def test_ledger_away_at_the_password(
    world: World, caller: Caller, *, approved: bool
) -> None:
    """What our hook approved is its sign-up's, wherever it has moved since.

    What it did not approve is deleted. The row has noted which account it is.
    """
    token = await to_password(world, caller, ADDRESS)
    world.kratos.setup.password_hook = approved
    async with untold(world, "password"):
        call = asyncio.ensure_future(refusal(caller.set_password(token, PASSWORD)))
    (account,) = world.kratos.accounts()
    account.traits = {"email": "moved@example.com"}
    account.address_id, account.verified = str(account.id), False
    there = world.kratos.add_account(ADDRESS, password="old")
    await world.log.wait_for("lease_released")
    got = await caller.get(token)

    assert "LEDGER_UNAVAILABLE" == (await call).reason
    assert ([account, there] if approved else [there]) == world.kratos.accounts()
    assert (str(account.id) if approved else "") == got.signup.identity_id
    assert ("COMPLETED" if approved else "PASSWORD_REQUIRED") == state_of(got)


async def test_approved_and_removed(world: World, caller: Caller) -> None:
    """Where an operator has removed the account since, the sign-up goes on."""
    token = await to_password(world, caller, ADDRESS)
    async with untold(world, "password"):
        call = asyncio.ensure_future(refusal(caller.set_password(token, PASSWORD)))
    world.kratos.remove_account(ADDRESS)
    await world.log.wait_for("lease_released")
    got = await caller.get(token)

    assert "LEDGER_UNAVAILABLE" == (await call).reason
    assert "PASSWORD_REQUIRED" == state_of(got)
    assert "COMPLETED" == state_of(await caller.set_password(token, PASSWORD))


@pytest.mark.parametrize("over", [True, False])
async def test_ledger_away_for_good(world: World, *, over: bool) -> None:
    """A ledger that is away is told until the lease is over, or the server ends."""
    replica = await world.serve()
    token, code = await to_code(world, replica.caller, ADDRESS)
    async with world.held(
        "code", refusal(replica.caller.verify(token, code)), after=True
    ) as call:
        with closing(sqlite3.connect(world.directory / "signupd.db")) as database:
            database.execute("ALTER TABLE signups RENAME TO elsewhere")
    refused = await call
    releases = replica.service.deps.releases
    waiting = len(releases.tasks)
    world.clock.move(LEASE_SECONDS if over else 0)
    async with asyncio.timeout(PATIENCE):
        await releases.drain(None if over else 0.01)

    assert "LEDGER_UNAVAILABLE" == refused.reason
    assert (1, 0) == (waiting, len(releases.tasks))


async def test_account_past_us_and_past_the_lease(world: World) -> None:
    """An account of a call that was overtaken is logged, since nothing proves it."""
    first, second = await two(world)
    token = await to_password(world, first, ADDRESS)
    world.kratos.setup.password_hook = False
    async with world.held(
        "password", refusal(first.set_password(token, PASSWORD)), after=True
    ) as call:
        world.clock.move(LEASE_SECONDS)
        got = await second.get(token)
    late = await call
    (account,) = world.kratos.accounts()

    assert ("ALREADY_REGISTERED", "SIGNUP_BUSY") == (state_of(got), late.reason)
    assert str(account.id) == world.log.entry("account_left")["identity_id"]
