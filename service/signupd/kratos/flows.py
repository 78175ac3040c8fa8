"""Registration flows that are opened before anybody asks for them.

A flow belongs to nobody until something is submitted to it, so the next mail need not
wait for one. Kratos forgets those that are never used.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

# A flow's life begins when it is opened. Those in stock may lose this much of it.
MOST_AGE_SECONDS: Final = 10.0
# As many are kept as were used in so long: with an even demand each is used in time.
DEMAND_SECONDS: Final = MOST_AGE_SECONDS / 2
# One that is being opened is waited for so long. It takes milliseconds, or something is
# wrong with that call alone, and another is made.
PATIENCE_SECONDS: Final = 0.1
# Before one is opened for the stock: so that the answer goes out first to the caller
# who has taken the last one from there.
ANSWER_FIRST_SECONDS: Final = 0.001


@dataclass(frozen=True, slots=True)
class Taken:
    """A flow that was given to one caller.

    Args:
        id: Its id.
        opening: How it came into the stock, where it was opened before the caller came.
    """

    id: str
    opening: _Opening | None = None

    @property
    def ahead(self) -> bool:
        """Whether it was in stock. Kratos may have forgotten it since."""
        return self.opening is not None


@dataclass(frozen=True, slots=True)
class _Opening:
    flow_id: asyncio.Task[str]
    begun: float


class Flows:
    """Gives flows, out of a small stock where there are some.

    Args:
        open_flow: Has Kratos open one, and gives its id.
        ahead: How many to have in stock at most; 0 for none.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        open_flow: Callable[[], Coroutine[Any, Any, str]],
        ahead: int,
        clock: Callable[[], float],
    ) -> None:
        self._open = open_flow
        self._clock = clock
        self._stock: deque[_Opening] = deque()
        # When the last ones were used; no more than are to be in stock.
        self._used: deque[float] = deque(maxlen=ahead)
        self._under_way: set[asyncio.Task[str]] = set()
        self._waiting = 0
        self._closed = False

    @property
    def in_stock(self) -> bool:
        """Whether one can be had at once."""
        self._sort_out()
        return bool(self._stock) and _is_good(self._stock[0].flow_id)

    async def take(self) -> Taken:
        """Give a flow that nobody else was given.

        Raises:
            KratosUnavailable, KratosIncompatible: None can be opened.
        """
        self._sort_out()
        if self._stock:
            oldest = self._stock.popleft()
            flow_id = oldest.flow_id
            if not flow_id.done():
                await asyncio.wait([flow_id], timeout=PATIENCE_SECONDS)
            if _is_good(flow_id):
                return Taken(flow_id.result(), oldest)
            flow_id.cancel()
        self._waiting += 1
        try:
            return Taken(await self._open())
        finally:
            self._waiting -= 1

    def give_back(self, taken: Taken) -> None:
        """Keep a flow that nothing was done with for the next one."""
        if taken.opening is not None:
            self._stock.appendleft(taken.opening)

    def restock(self) -> None:
        """Note that a flow was used, and have others opened; nobody waits for them.

        As many as were used lately are kept in stock, so that a sign-up now and then
        costs Kratos one flow more, and a crowd finds enough.

        None are opened while somebody waits for one: with so many callers the stock
        would be empty for most, and Kratos has enough to do.
        """
        now = self._clock()
        self._used.append(now)
        while self._used and now - self._used[0] > DEMAND_SECONDS:
            self._used.popleft()
        self._sort_out()
        if self._waiting:
            return
        while len(self._stock) < len(self._used) and not self._closed:
            # In no caller's trace: whose call will use it is not known.
            opening = asyncio.create_task(self._open_soon(), context=Context())
            self._under_way.add(opening)
            opening.add_done_callback(self._opened)
            self._stock.append(_Opening(opening, self._clock()))

    def discard(self) -> None:
        """Have the next ones opened anew: Kratos does not know those in stock."""
        while self._stock:
            self._stock.popleft().flow_id.cancel()

    async def close(self) -> None:
        """Leave off what is being opened, for good."""
        self._closed = True
        self.discard()
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _open_soon(self) -> str:
        await asyncio.sleep(ANSWER_FIRST_SECONDS)
        return await self._open()

    def _sort_out(self) -> None:
        """Drop from the stock's old end what is too old, or could not be opened."""
        while self._stock:
            oldest = self._stock[0]
            age = self._clock() - oldest.begun
            failed = oldest.flow_id.done() and not _is_good(oldest.flow_id)
            if not failed and age <= MOST_AGE_SECONDS:
                break
            self._stock.popleft().flow_id.cancel()

    def _opened(self, opening: asyncio.Task[str]) -> None:
        self._under_way.discard(opening)
        _is_good(opening)  # so that the loop does not complain: maybe nobody asks


def _is_good(flow_id: asyncio.Task[str]) -> bool:
    """Tell whether a flow was opened."""
    return flow_id.done() and not flow_id.cancelled() and flow_id.exception() is None
