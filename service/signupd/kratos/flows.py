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


@dataclass(frozen=True, slots=True)
class _Opening:
    flow_id: asyncio.Task[str]
    begun: float


class Flows:
    """Gives flows, out of a small stock where there are some.

    Args:
        open_flow: Has Kratos open one, and gives its id.
        ahead: How many to have in stock; 0 for none.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        open_flow: Callable[[], Coroutine[Any, Any, str]],
        ahead: int,
        clock: Callable[[], float],
    ) -> None:
        self._open = open_flow
        self._ahead = ahead
        self._clock = clock
        self._stock: deque[_Opening] = deque()

    async def take(self) -> str:
        """Give the id of a flow that nobody else was given.

        Raises:
            KratosUnavailable, KratosIncompatible: None can be opened.
        """
        while self._stock:
            opening = self._stock.popleft()
            if not self._spoilt(opening):
                return await opening.flow_id
        return await self._open()

    def restock(self) -> None:
        """Have flows opened until the stock is full; nobody waits for them."""
        while self._stock and self._spoilt(self._stock[0]):
            self._stock.popleft()
        while len(self._stock) < self._ahead:
            # In no caller's trace: whose call will use it is not known.
            opening = asyncio.create_task(self._open(), context=Context())
            opening.add_done_callback(_note)
            self._stock.append(_Opening(opening, self._clock()))

    def discard(self) -> None:
        """Have the next ones opened anew: Kratos does not know those in stock."""
        self._stock.clear()

    async def close(self) -> None:
        """Leave off what is being opened."""
        openings = [opening.flow_id for opening in self._stock]
        self._stock.clear()
        for one in openings:
            one.cancel()
        if openings:
            await asyncio.wait(openings)

    def _spoilt(self, opening: _Opening) -> bool:
        """Tell whether it is too old, or could not be opened."""
        flow_id = opening.flow_id
        failed = flow_id.done() and flow_id.exception() is not None
        return failed or self._clock() - opening.begun > MOST_AGE_SECONDS


def _note(opening: asyncio.Task[str]) -> None:
    """Take note of how it went: whoever takes it hears of it, maybe nobody does."""
    if not opening.cancelled():
        opening.exception()
