"""Flows opened ahead: given once, while they are fresh, and never waited for twice."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest
from signupd.errors import KratosUnavailable
from signupd.kratos.flows import MOST_AGE_SECONDS, Flows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AHEAD = 2


class Opener:
    """Opens flows that are called 1, 2, 3 ...; it stands still, or fails, when told.

    Attributes:
        begun: How many it was asked for.
        going: Cleared while it stands still.
        trouble: Raised where there is one.
        seconds: The time.
    """

    def __init__(self) -> None:
        self.begun = 0
        self.going = asyncio.Event()
        self.going.set()
        self.trouble: Exception | None = None
        self.seconds = 100.0

    async def __call__(self) -> str:
        """Open one."""
        self.begun += 1
        name = str(self.begun)
        await self.going.wait()
        if self.trouble is not None:
            raise self.trouble
        return name

    def time(self) -> float:
        """Tell the time."""
        return self.seconds


@pytest.fixture
def opener() -> Opener:
    """Give what opens flows."""
    return Opener()


@pytest.fixture
async def flows(opener: Opener) -> AsyncIterator[Flows]:
    """Give a stock of two."""
    stock = Flows(opener, AHEAD, opener.time)
    yield stock
    await stock.close()


async def settled() -> None:
    """Let everything go on that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_empty(flows: Flows, opener: Opener) -> None:
    """With nothing in stock one is opened, and no more than that."""
    assert "1" == await flows.take()
    assert 1 == opener.begun


async def test_stock(flows: Flows, opener: Opener) -> None:
    """Those in stock are given in turn, each once, and not replaced by themselves."""
    flows.restock()
    await settled()
    opener.going.clear()
    given = [await flows.take() for _ in range(AHEAD)]

    assert ["1", "2"] == given
    assert AHEAD == opener.begun


async def test_full(flows: Flows, opener: Opener) -> None:
    """There are never more than so many."""
    for _ in range(3):
        flows.restock()
        await settled()

    assert AHEAD == opener.begun


async def test_none_ahead(opener: Opener) -> None:
    """A stock of none opens nothing of itself."""
    flows = Flows(opener, 0, opener.time)
    flows.restock()
    await settled()

    assert 0 == opener.begun
    assert "1" == await flows.take()


async def test_under_way(flows: Flows, opener: Opener) -> None:
    """One that is being opened is waited for; another is not begun."""
    opener.going.clear()
    flows.restock()
    taking = [asyncio.create_task(flows.take()) for _ in range(AHEAD)]
    await settled()
    begun = opener.begun
    opener.going.set()

    assert ["1", "2"] == await asyncio.gather(*taking)
    assert AHEAD == begun


async def test_old(flows: Flows, opener: Opener) -> None:
    """What is too old is given to nobody, and replaced."""
    flows.restock()
    await settled()
    opener.seconds += MOST_AGE_SECONDS
    young_enough = await flows.take()
    opener.seconds += 1
    fresh = await flows.take()
    flows.restock()
    await settled()

    assert ("1", "3") == (young_enough, fresh)
    assert ["4", "5"] == [await flows.take() for _ in range(AHEAD)]


async def test_old_are_replaced(flows: Flows, opener: Opener) -> None:
    """A stock of old ones does not count as full."""
    flows.restock()
    await settled()
    opener.seconds += MOST_AGE_SECONDS + 1
    flows.restock()

    assert "3" == await flows.take()


async def test_failed(flows: Flows, opener: Opener) -> None:
    """One that could not be opened costs the next caller nothing."""
    opener.trouble = KratosUnavailable()
    flows.restock()
    await settled()
    opener.trouble = None

    assert "3" == await flows.take()


async def test_fails(flows: Flows, opener: Opener) -> None:
    """Who waits for one that fails hears of it, and does not wait a second time."""
    opener.going.clear()
    flows.restock()
    taking = asyncio.create_task(flows.take())
    await settled()
    opener.trouble = KratosUnavailable()
    opener.going.set()

    with pytest.raises(KratosUnavailable):
        await taking
    assert AHEAD == opener.begun


async def test_discard(flows: Flows, opener: Opener) -> None:
    """What Kratos has forgotten is given to nobody."""
    flows.restock()
    await settled()
    flows.discard()

    assert "3" == await flows.take()


async def test_close(flows: Flows, opener: Opener) -> None:
    """What is being opened is left off."""
    opener.going.clear()
    flows.restock()
    await settled()
    await flows.close()

    assert 1 == len(asyncio.all_tasks())


async def test_nobody_asks(opener: Opener) -> None:
    """A failure that nobody hears of is no defect of the event loop's."""
    complaints: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    flows = Flows(opener, AHEAD, opener.time)
    opener.trouble = KratosUnavailable()
    flows.restock()
    await settled()
    flows.discard()
    gc.collect()

    assert [] == complaints
