"""Look-ups that begin when the hook comes: made once, and told only where asked for."""

from __future__ import annotations

import asyncio
import uuid
from contextvars import ContextVar

import pytest
from signupd.errors import KratosUnavailable
from signupd.kratos.looks import Looks
from signupd.kratos.outcomes import Identity

FLOW, OTHER = "flow", "other"
ADDRESS = "ann@example.com"
ACCOUNT = Identity(uuid.uuid4(), None, frozenset())

trace = ContextVar("trace", default="")


class Finder:
    """Finds the one account; it stands still, or fails the first time, when told.

    Attributes:
        asked: The addresses, each with the trace it was asked in.
        going: Cleared while it stands still.
        failing: Whether the next answer is an error.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.going = asyncio.Event()
        self.going.set()
        self.failing = False

    async def __call__(self, address: str) -> Identity | None:
        """Look an account up."""
        self.asked.append((address, trace.get()))
        await self.going.wait()
        if self.failing:
            self.failing = False
            raise KratosUnavailable
        return ACCOUNT


@pytest.fixture
def finder() -> Finder:
    """Give what finds accounts."""
    return Finder()


@pytest.fixture
def looks(finder: Finder) -> Looks:
    """Give look-ups."""
    return Looks(finder, early=True)


async def settled() -> None:
    """Let everything go on that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_no_hook(looks: Looks, finder: Finder) -> None:
    """Without a hook it is made when it is asked for."""
    async with looks.prepare(FLOW, ADDRESS) as look:
        look.expect()
        await settled()
        before = [*finder.asked]
        found = await look.result()

    assert [] == before
    assert ACCOUNT == found
    assert [(ADDRESS, "")] == finder.asked


async def test_hook(looks: Looks, finder: Finder) -> None:
    """It begins with the hook, in the trace of the call that prepared it, and once."""
    trace.set("the call's")
    async with looks.prepare(FLOW, ADDRESS) as look:
        look.expect()
        trace.set("the hook's")
        looks.hook_came(FLOW)
        looks.hook_came(FLOW)
        await settled()
        early = [*finder.asked]
        found = await look.result()

    assert [(ADDRESS, "the call's")] == early == finder.asked
    assert ACCOUNT == found


async def test_other_hooks(looks: Looks, finder: Finder) -> None:
    """A hook for a flow that nobody submits a code by begins nothing, nor one late."""
    async with looks.prepare(FLOW, ADDRESS) as look:
        look.expect()
        looks.hook_came(OTHER)
        looks.hook_came("")
    looks.hook_came(FLOW)
    await settled()

    assert [] == finder.asked


async def test_not_expected(looks: Looks, finder: Finder) -> None:
    """A hook begins nothing before it is expected: the code is not yet there."""
    async with looks.prepare(FLOW, ADDRESS):
        looks.hook_came(FLOW)
        await settled()

    assert [] == finder.asked


async def test_never_early(finder: Finder) -> None:
    """Where Kratos is to be asked one thing at a time the hook begins nothing."""
    looks = Looks(finder, early=False)
    async with looks.prepare(FLOW, ADDRESS) as look:
        look.expect()
        looks.hook_came(FLOW)
        await settled()
        early = [*finder.asked]
        found = await look.result()

    assert [] == early
    assert ACCOUNT == found


async def test_failed(looks: Looks, finder: Finder) -> None:
    """One that failed early is made again when it is asked for."""
    finder.failing = True
    async with looks.prepare(FLOW, ADDRESS) as look:
        look.expect()
        looks.hook_came(FLOW)
        await settled()
        found = await look.result()

    assert ACCOUNT == found
    assert [(ADDRESS, "")] * 2 == finder.asked


async def test_fails_late(looks: Looks, finder: Finder) -> None:
    """One that fails while it is waited for is not made again: nobody has the time."""
    finder.failing = True
    finder.going.clear()
    async with looks.prepare(FLOW, ADDRESS) as look:
        look.expect()
        looks.hook_came(FLOW)
        waiting = asyncio.create_task(look.result())
        await settled()
        finder.going.set()
        with pytest.raises(KratosUnavailable):
            await waiting

    assert 1 == len(finder.asked)


async def test_left(looks: Looks, finder: Finder) -> None:
    """What was left is not what is told: it is made anew, by the next hook or later."""
    finder.going.clear()
    async with looks.prepare(FLOW, ADDRESS) as look:
        look.expect()
        looks.hook_came(FLOW)
        await settled()
        await look.leave()
        finder.going.set()
        found = await look.result()

    assert ACCOUNT == found
    assert 2 == len(finder.asked)


async def test_same_flow(looks: Looks, finder: Finder) -> None:
    """Of two for one flow the end of the first leaves the second its hook."""
    async with looks.prepare(FLOW, ADDRESS) as look:
        look.expect()
        second = looks.prepare(FLOW, ADDRESS)
        second.expect()
    looks.hook_came(FLOW)
    await settled()
    asked = len(finder.asked)
    await second.__aexit__(None, None, None)

    assert 1 == asked


async def test_fails(looks: Looks, finder: Finder) -> None:
    """One that fails when it is asked for says so."""
    finder.failing = True
    async with looks.prepare(FLOW, ADDRESS) as look:
        with pytest.raises(KratosUnavailable):
            await look.result()


@pytest.mark.parametrize("failing", [False, True])
async def test_not_asked_for(looks: Looks, finder: Finder, *, failing: bool) -> None:
    """One that nobody asks for is left off, and nothing of it remains."""
    finder.going.clear()
    finder.failing = failing
    async with looks.prepare(FLOW, ADDRESS) as look:
        look.expect()
        looks.hook_came(FLOW)
        await settled()
        if failing:
            finder.going.set()
            await settled()

    assert 1 == len(asyncio.all_tasks())


async def test_cancelled(looks: Looks, finder: Finder) -> None:
    """Who waits for one may be cancelled, and it ends with them."""
    finder.going.clear()

    async def step() -> None:
        async with looks.prepare(FLOW, ADDRESS) as look:
            look.expect()
            looks.hook_came(FLOW)
            await look.result()

    task = asyncio.create_task(step())
    await settled()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert 1 == len(asyncio.all_tasks())
