"""Flows opened ahead: given once, while they are fresh, and never waited for twice."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest
from signupd.errors import KratosUnavailable
from signupd.kratos import flows as module
from signupd.kratos.flows import DEMAND_SECONDS, MOST_AGE_SECONDS, Flows, Taken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AHEAD = 2


class Opener:
    """Opens flows that are called 1, 2, 3 ...; it stands still, or fails, when told.

    Attributes:
        begun: How many it was asked for.
        going: Cleared while it stands still.
        failing: Those that cannot be opened.
        seconds: The time.
    """

    def __init__(self) -> None:
        self.begun = 0
        self.going = asyncio.Event()
        self.going.set()
        self.failing: set[str] = set()
        self.seconds = 100.0

    async def __call__(self) -> str:
        """Open one."""
        self.begun += 1
        name = str(self.begun)
        await self.going.wait()
        if name in self.failing:
            raise KratosUnavailable
        return name

    def time(self) -> float:
        """Tell the time."""
        return self.seconds


@pytest.fixture
def opener() -> Opener:
    """Give what opens flows."""
    return Opener()


@pytest.fixture
async def flows(
    opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Flows]:
    """Give a stock of two at most, which is filled without delay."""
    monkeypatch.setattr(module, "ANSWER_FIRST_SECONDS", 0.0)
    stock = Flows(opener, AHEAD, opener.time)
    yield stock
    await stock.close()


async def settled() -> None:
    """Let everything go on that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def filled(flows: Flows) -> None:
    """Have as many used as it takes to fill the stock, and let them be opened."""
    for _ in range(AHEAD):
        flows.restock()
    await settled()


async def test_empty(flows: Flows, opener: Opener) -> None:
    """With nothing in stock one is opened, and no more than that."""
    assert Taken("1") == await flows.take()
    assert 1 == opener.begun


async def test_stock(flows: Flows, opener: Opener) -> None:
    """Those in stock are given in turn, each once, and not replaced by themselves."""
    await filled(flows)
    opener.going.clear()
    given = [await flows.take() for _ in range(AHEAD)]

    assert [("1", True), ("2", True)] == [(one.id, one.ahead) for one in given]
    assert AHEAD == opener.begun


async def test_in_stock(flows: Flows, opener: Opener) -> None:
    """In stock is what is open already, and fresh."""
    before = flows.in_stock
    opener.going.clear()
    await filled(flows)
    under_way = flows.in_stock
    opener.going.set()
    await settled()
    opener.seconds += MOST_AGE_SECONDS
    then = flows.in_stock
    opener.seconds += 1

    assert [False, False, True, False] == [before, under_way, then, flows.in_stock]


async def test_give_back(flows: Flows, opener: Opener) -> None:
    """One that nothing was done with goes to the next, for as long as it is fresh."""
    await filled(flows)
    unused = await flows.take()
    flows.give_back(unused)
    again = await flows.take()
    flows.give_back(again)
    opener.seconds += MOST_AGE_SECONDS + 1

    assert ("1", "1") == (unused.id, again.id)
    assert "3" == (await flows.take()).id


async def test_give_back_of_own(flows: Flows) -> None:
    """One that was opened for a caller, who knows how long ago, is not kept."""
    flows.give_back(await flows.take())

    assert not flows.in_stock


async def test_demand(flows: Flows, opener: Opener) -> None:
    """As many are in stock as were used lately, and never more than so many."""
    begun = []
    for _ in range(AHEAD + 1):
        flows.restock()
        await settled()
        begun.append(opener.begun)

    assert [1, AHEAD, AHEAD] == begun


@pytest.mark.parametrize(("later", "wanted"), [(0, AHEAD), (1, 1)])
async def test_demand_falls(
    flows: Flows, opener: Opener, later: float, wanted: int
) -> None:
    """What was used longer ago does not count."""
    await filled(flows)
    for _ in range(AHEAD):
        await flows.take()
    opener.seconds += DEMAND_SECONDS + later
    flows.restock()
    await settled()

    assert wanted == opener.begun - AHEAD


async def test_none_ahead(opener: Opener) -> None:
    """A stock of none opens nothing of itself."""
    flows = Flows(opener, 0, opener.time)
    flows.restock()
    await settled()

    assert 0 == opener.begun
    assert "1" == (await flows.take()).id


async def test_crowd(flows: Flows, opener: Opener) -> None:
    """While callers wait for flows of their own, none are opened for the stock."""
    opener.going.clear()
    taking = asyncio.create_task(flows.take())
    await settled()
    flows.restock()
    opener.going.set()
    await taking
    begun = opener.begun
    flows.restock()
    await settled()

    assert 1 == begun
    assert 1 + AHEAD == opener.begun


async def test_under_way(flows: Flows, opener: Opener) -> None:
    """One that is being opened is waited for; another is not begun."""
    opener.going.clear()
    await filled(flows)
    taking = [asyncio.create_task(flows.take()) for _ in range(AHEAD)]
    await settled()
    begun = opener.begun
    opener.going.set()

    assert ["1", "2"] == [one.id for one in await asyncio.gather(*taking)]
    assert AHEAD == begun


async def test_old(flows: Flows, opener: Opener) -> None:
    """What is too old is given to nobody, and replaced."""
    await filled(flows)
    opener.seconds += MOST_AGE_SECONDS
    young_enough = (await flows.take()).id
    opener.seconds += 1
    fresh = (await flows.take()).id
    flows.restock()
    await settled()

    assert ("1", "3") == (young_enough, fresh)
    assert ["4", "5"] == [(await flows.take()).id for _ in range(AHEAD)]


async def test_old_are_replaced(flows: Flows, opener: Opener) -> None:
    """A stock of old ones does not count as full."""
    await filled(flows)
    opener.seconds += MOST_AGE_SECONDS + 1
    flows.restock()

    assert "3" == (await flows.take()).id


async def test_failed(flows: Flows, opener: Opener) -> None:
    """One that could not be opened costs the next caller nothing."""
    opener.failing = {"1", "2"}
    await filled(flows)

    assert "3" == (await flows.take()).id


async def test_fails(flows: Flows, opener: Opener) -> None:
    """Where the one that is waited for fails another is opened."""
    opener.failing = {"1", "2"}
    opener.going.clear()
    await filled(flows)
    taking = asyncio.create_task(flows.take())
    await settled()
    opener.going.set()

    assert Taken("3") == await taking


async def test_nothing_can_be_opened(flows: Flows, opener: Opener) -> None:
    """A Kratos that opens none at all is told as it is, after one try more."""
    opener.failing = {"1", "2", "3"}
    await filled(flows)

    with pytest.raises(KratosUnavailable):
        await flows.take()
    assert AHEAD + 1 == opener.begun


async def test_hangs(
    flows: Flows, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that hangs is not waited for long, and left off."""
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.0)
    opener.going.clear()
    await filled(flows)
    taking = asyncio.create_task(flows.take())
    await settled()
    opener.going.set()

    assert Taken("3") == await taking


async def test_discard(flows: Flows, opener: Opener) -> None:
    """What Kratos has forgotten is given to nobody."""
    await filled(flows)
    flows.discard()

    assert "3" == (await flows.take()).id


@pytest.mark.parametrize("dropped", [False, True])
async def test_close(flows: Flows, opener: Opener, *, dropped: bool) -> None:
    """What is being opened is left off, and nothing is opened any more."""
    opener.going.clear()
    flows.restock()
    await settled()
    if dropped:
        flows.discard()
    await flows.close()
    flows.restock()

    assert 1 == len(asyncio.all_tasks())


async def test_discarded_under_way(flows: Flows, opener: Opener) -> None:
    """What was being opened when it was discarded is left off too."""
    opener.going.clear()
    await filled(flows)
    flows.discard()
    await settled()

    assert 1 == len(asyncio.all_tasks())


async def test_nobody_asks(opener: Opener) -> None:
    """A failure that nobody hears of is no defect of the event loop's."""
    complaints: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    flows = Flows(opener, AHEAD, opener.time)
    opener.failing = {"1", "2"}
    await filled(flows)
    flows.discard()
    gc.collect()

    assert [] == complaints
