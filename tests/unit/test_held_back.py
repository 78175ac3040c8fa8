"""VerifyCode's code is held back until it is counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from signupd.errors import (
    KratosIncompatible,
    KratosUnavailable,
    KratosUnreached,
    SignupBusy,
    SignupdError,
    SignupExpired,
)
from signupd.ledger.record import Lease
from signupd.signup.start import StartRequest, start_signup
from signupd.signup.verify import verify_code

from tests.unit.samples import RULES
from tests.unit.test_steps import World

if TYPE_CHECKING:
    from signupd.ledger.record import Record

First = Callable[[], Awaitable[Any]]
# Until a code expires.
CODE_SECONDS = RULES.code_ttl / 1e6
Play = Callable[[First], Awaitable[None]]


class Odd:
    """A Kratos with which a code fares as a test says.

    Args:
        play: Does what befalls it, given what counts the code.
    """

    def __init__(self, play: Play) -> None:
        self._play = play
        self.asked = 0

    async def submit_code(self, *_: object, first: First) -> None:
        """Have it befall the code."""
        self.asked += 1
        await self._play(first)

    async def flow_state(self, _flow_id: str) -> None:
        """Count what else is asked."""
        self.asked += 1


@pytest.fixture
def world() -> World:
    """Give a world in which nothing else goes wrong."""
    return World()


async def tried(
    world: World, play: Play, error: type[SignupdError]
) -> tuple[Record, Record]:
    """Hand a code in, which ends in an error; give the row before and after."""
    request = StartRequest("ann@example.com", {}, "", None)
    token = (await start_signup(world.deps, request)).token
    [before] = world.ledger.rows.values()
    kratos = Odd(play)
    deps = replace(world.deps, kratos=cast("Any", kratos))
    with pytest.raises(error) as caught:
        await verify_code(deps, token, world.code(0))
    [after] = world.ledger.rows.values()

    assert caught.type is error
    assert 1 == kratos.asked
    return before, after


@pytest.mark.parametrize(
    "error", [KratosUnreached, KratosUnavailable, KratosIncompatible]
)
async def test_never_sent(world: World, error: type[SignupdError]) -> None:
    """Where no request could be begun the row is as it was, and that is all."""

    async def play(_first: First) -> None:
        raise error

    before, after = await tried(world, play, error)

    assert before == after


async def test_not_sent_in_the_end(world: World) -> None:
    """A code that was counted and could then not be sent is uncounted."""
    counted: list[Record] = []

    async def play(first: First) -> None:
        await first()
        counted.extend(world.ledger.rows.values())
        raise KratosUnreached

    before, after = await tried(world, play, KratosUnreached)

    assert (1, Lease.VERIFYING) == (counted[0].code_attempts, counted[0].lease)
    assert (0, Lease.NONE) == (after.code_attempts, after.lease)
    assert before.code_digest == after.code_digest


async def test_counted_and_not_understood(world: World) -> None:
    """A code that Kratos may have seen stays counted, whatever it answers."""

    async def play(first: First) -> None:
        await first()
        raise KratosIncompatible

    _, after = await tried(world, play, KratosIncompatible)

    assert (1, 0) == (after.code_attempts, after.lease_until)


async def test_expired_meanwhile(world: World) -> None:
    """A sign-up that expires before its code is counted is expired, as it may show."""

    async def play(first: First) -> None:
        world.clock.move(CODE_SECONDS)
        await first()
        raise AssertionError

    before, after = await tried(world, play, SignupExpired)

    assert before == after


async def test_lease_begins_late(world: World) -> None:
    """The lease begins when the code is counted, however long the way to Kratos was."""
    leased: list[Record] = []

    async def play(first: First) -> None:
        world.clock.move(60)
        await first()
        leased.extend(world.ledger.rows.values())
        raise KratosUnreached

    await tried(world, play, KratosUnreached)

    assert world.clock() + RULES.lease == leased[0].lease_until


async def test_somebody_was_first(world: World) -> None:
    """Where somebody else changed the row meanwhile it is theirs, and no code goes."""
    theirs: list[Record] = []

    async def play(first: First) -> None:
        [row] = world.ledger.rows.values()
        theirs.append(await world.ledger.change(row, code_attempts=3))
        await first()
        raise AssertionError

    _, after = await tried(world, play, SignupBusy)

    assert theirs == [after]
