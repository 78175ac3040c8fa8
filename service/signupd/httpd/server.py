"""A server for HTTP/1.1 (RFC 9112), as Kratos' hooks need it: of small requests.

A framework's routes, request objects and tasks took longer than what is answered here.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING, Final

from signupd.httpd.connection import Connection, Stage
from signupd.httpd.messages import Answer
from signupd.notation import endpoint

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import structlog

    from signupd.httpd.messages import Answerer

# More than Kratos has use for: it asks while it works for one of our calls, of which
# there are 128 at the most. Beyond it somebody has to go: a stranger before Kratos.
MAX_CONNECTIONS: Final = 256
# From a request's first byte to its last; and for what is left to send at the end.
REQUEST_SECONDS: Final = 10.0
# Go's client lets go of a connection after 90 s, before us: else a question might just
# be on its way when we do.
IDLE_SECONDS: Final = 600.0
# An answer waits for the ledger at the most, which gives up after 15 s.
CLOSE_SECONDS: Final = 20.0


class HttpServer:
    """Answers requests, one at a time on each connection.

    Args:
        answer: Gives the answer, or something to wait for it with.
        log: A defect of its is noted there; who asked is told nothing of it.
        request_seconds: How long a request may take to come.
        idle_seconds: How long a connection is kept on which none comes.

    Attributes:
        answer: As given.
        closing: Whether no further requests are taken.
    """

    def __init__(
        self,
        answer: Answerer,
        log: structlog.typing.FilteringBoundLogger,
        *,
        request_seconds: float = REQUEST_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.answer = answer
        self.request_seconds = request_seconds
        self.idle_seconds = idle_seconds
        self.closing = False
        self._log = log
        self._listening: asyncio.Server | None = None
        # Those on which nothing was asked yet, the oldest first, and the others, those
        # that were used last at the end.
        self._fresh: dict[Connection, None] = {}
        self._used: dict[Connection, None] = {}
        self._answering: set[asyncio.Task[None]] = set()

    async def listen(self, address: str) -> int:
        """Serve until it is closed.

        Args:
            address: ``host:port``; port 0 takes a free one.

        Returns:
            The port.

        Raises:
            OSError: The address cannot be had.
        """
        host, port = endpoint(address)
        self._listening = await asyncio.get_running_loop().create_server(
            lambda: Connection(self), host, port
        )
        return int(self._listening.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Take nothing new, answer what was asked, and let go of all connections."""
        self.closing = True
        if self._listening is not None:
            self._listening.close()
        for connection in [*self._fresh, *self._used]:
            if connection.stage is not Stage.ANSWERING:
                connection.close()
        if self._answering:
            await asyncio.wait(self._answering, timeout=CLOSE_SECONDS)
        for connection in [*self._fresh, *self._used]:
            connection.close()

    def came(self, connection: Connection) -> None:
        """Note a connection that was made, and let go of one where there are enough."""
        if self.closing:
            connection.abort()
            return
        self._fresh[connection] = None
        if len(self._fresh) + len(self._used) > MAX_CONNECTIONS:
            oldest = next(
                one
                for one in chain(self._fresh, self._used)
                if one.stage is not Stage.ANSWERING
            )
            self.went(oldest)
            oldest.abort()

    def served(self, connection: Connection) -> None:
        """Note that a connection was used just now."""
        self.went(connection)
        self._used[connection] = None

    def went(self, connection: Connection) -> None:
        """Note that a connection is over."""
        self._fresh.pop(connection, None)
        self._used.pop(connection, None)

    def later(self, answer: Awaitable[Answer], tell: Callable[[Answer], None]) -> None:
        """Wait for an answer, whether or not its asker does.

        Args:
            answer: What is waited for.
            tell: Is told it.
        """
        task = asyncio.create_task(self._tell(answer, tell))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    def defect(self) -> Answer:
        """Note the error at hand, and give the answer that says nothing of it."""
        self._log.exception("defect", where="hook port")
        return Answer(HTTPStatus.INTERNAL_SERVER_ERROR)

    async def _tell(
        self, answer: Awaitable[Answer], tell: Callable[[Answer], None]
    ) -> None:
        try:
            known = await answer
        except Exception:  # noqa: BLE001 - the last resort: nothing may leak
            known = self.defect()
        tell(known)
