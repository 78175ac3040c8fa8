"""Fifty calls at once, on two servers of one ledger, exceed no limit."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from tests.integration.caller import Caller, another, state_of
from tests.integration.world import PASSWORD, World, to_code, to_password
from tests.refusal import read_refusal

ADDRESS = "ann@example.com"
CALLS = 50
# The reasons for which a call is repeated.
AGAIN = {"SIGNUP_BUSY", "RESEND_TOO_SOON"}


@pytest.fixture
async def pair(world: World, on: dict[str, Any]) -> list[Caller]:
    """Make callers of two servers on one ledger of either kind."""
    return [(await world.serve(**on)).caller for _ in range(2)]


async def outcome(call: Awaitable[Any]) -> str:
    """Return the state that a call answers, or the reason of its refusal."""
    try:
        return state_of(await call)
    except grpc.aio.AioRpcError as error:
        return read_refusal(error).reason


async def at_once(
    pair: list[Caller], call: Callable[[Caller, int], Awaitable[Any]]
) -> Counter[str]:
    """Make fifty calls to the two in turn, each repeated for some reasons.

    Args:
        pair: The callers.
        call: Makes one, given the caller and its number.

    Returns:
        How many calls had which outcome.
    """

    async def persist(number: int) -> str:
        caller = pair[number % len(pair)]
        while (what := await outcome(call(caller, number))) in AGAIN:
            pass
        return what

    return Counter(await asyncio.gather(*[persist(n) for n in range(CALLS)]))


async def test_starts(world: World, pair: list[Caller]) -> None:
    """Of fifty StartSignup for one address five send a mail."""
    seen = await at_once(
        pair, lambda caller, n: caller.start(ADDRESS, client_ip=f"192.0.2.{n}")
    )

    assert {"CODE_REQUIRED": 5, "SEND_LIMIT_REACHED": 45} == seen
    assert 5 == len(world.kratos.mails_to(ADDRESS))


async def test_codes(world: World, pair: list[Caller]) -> None:
    """Of fifty wrong codes five are tried; after that the right one is refused too."""
    token, code = await to_code(world, pair[0], ADDRESS)
    seen = await at_once(
        pair, lambda caller, number: caller.verify(token, another(code, number + 1))
    )
    right = await outcome(pair[1].verify(token, code))

    assert {"CODE_INCORRECT": 5, "CODE_ATTEMPTS_EXHAUSTED": 45} == seen
    assert "CODE_ATTEMPTS_EXHAUSTED" == right
    assert 5 == world.kratos.calls.count("code")


async def test_passwords(world: World, pair: list[Caller]) -> None:
    """Of fifty wrong passwords for a new account twenty are compared."""
    token = await to_password(world, pair[1], ADDRESS)
    await pair[1].set_password(token, PASSWORD)
    seen = await at_once(
        pair, lambda caller, n: caller.set_password(token, f"{PASSWORD}{n}")
    )

    assert {"PASSWORD_ALREADY_SET": 20, "STEP_MISMATCH": 30} == seen


async def test_resends(world: World, pair: list[Caller]) -> None:
    """Of fifty ResendCode four send a mail, which is the sign-up's limit."""
    token, _ = await to_code(world, pair[0], ADDRESS)
    ticking = asyncio.create_task(_tick(world))
    seen = await at_once(pair, lambda caller, _: caller.resend(token))
    ticking.cancel()

    assert {"CODE_REQUIRED": 4, "SEND_LIMIT_REACHED": 46} == seen
    assert 5 == len(world.kratos.mails_to(ADDRESS))


async def _tick(world: World) -> None:
    """Advance the ledger's clock, which is the world's with SQLite."""
    while True:
        world.clock.move(0.001)
        await asyncio.sleep(0)
