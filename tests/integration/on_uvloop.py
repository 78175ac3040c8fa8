"""Tests that are run once more on the loop that signupd runs on."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


def play(
    opened: Callable[[], AbstractAsyncContextManager[T]],
    scenario: Callable[[T], Coroutine[Any, Any, None]],
) -> None:
    """Run a test on uvloop.

    Args:
        opened: Gives what the test is given.
        scenario: The test.
    """

    async def played() -> None:
        async with opened() as given:
            await scenario(given)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(played())
