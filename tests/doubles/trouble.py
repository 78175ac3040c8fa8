"""What may happen to a call on its way to a double and back."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import web

Work = Callable[[], Awaitable[web.StreamResponse]]


class Cut(Exception):
    """The connection breaks here, without an answer."""


@dataclass(slots=True)
class Trouble:
    """Trouble for so many calls of one name.

    Args:
        times: How many calls it befalls.
    """

    times: int = 1

    async def befall(self, work: Work) -> web.StreamResponse:
        """Do the work, or not, and answer, or not."""
        raise NotImplementedError


class Lost(Trouble):
    """The work is done; its answer never arrives."""

    async def befall(self, work: Work) -> web.StreamResponse:
        """Cut the connection after the work."""
        await work()
        raise Cut


@dataclass(slots=True)
class Failing(Trouble):
    """Nothing is done; an error is answered."""

    status: int = 503

    async def befall(self, work: Work) -> web.StreamResponse:
        """Answer as an overloaded server would."""
        return web.json_response({"error": {"code": self.status}}, status=self.status)


@dataclass(slots=True, kw_only=True)
class Last(Trouble):
    """The last call that is answered."""

    stop: Callable[[], Awaitable[None]]

    async def befall(self, work: Work) -> web.StreamResponse:
        """Answer, close the connection and take no others."""
        answer = await work()
        answer.force_close()
        await self.stop()
        return answer


@dataclass(slots=True)
class Held(Trouble):
    """The call stands still, before its work or after it, until it is released."""

    after: bool = False
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def befall(self, work: Work) -> web.StreamResponse:
        """Wait for the test."""
        if not self.after:
            await self._wait()
        answer = await work()
        if self.after:
            await self._wait()
        return answer

    async def _wait(self) -> None:
        self.arrived.set()
        await self.released.wait()
