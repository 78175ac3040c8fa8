"""HTTP/1.1 (RFC 9112) as Kratos needs it: small requests, kept connections, no more.

There are no redirects, cookies, proxies or compression, which a general client looks
for at each request; that took a third of a step's processor time.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections import defaultdict
from typing import TYPE_CHECKING, Final

from aiohappyeyeballs import start_connection

from signupd.kratos.connection import Connection, ConnectionBroken
from signupd.kratos.request import head_of

if TYPE_CHECKING:
    from signupd.kratos.connection import Reply
    from signupd.kratos.request import Request, Server

# In use at the same time; more would only queue up inside Kratos, whose pool to its
# database is smaller.
MAX_CONNECTIONS: Final = 128
# A connection is made at once, or after a second or three, when TCP has tried again.
CONNECT_SECONDS: Final = 4.0
# Of several addresses the next is tried after so long without a connection (RFC 8305).
NEXT_ADDRESS_SECONDS: Final = 0.25
# A connection that was idle for longer is not used again: its server, or somebody on
# the way, may be about to close it.
IDLE_SECONDS: Final = 15.0
# What is asked again, once, where a connection ends before any answer (RFC 9110,
# section 9.2.2).
_IDEMPOTENT: Final = frozenset({"GET", "DELETE"})


class NotConnected(Exception):
    """No connection could be made: nothing was sent."""


class NotSent(Exception):
    """The time was up, by no fault of the server's, before all of it was sent."""


class Client:
    """Sends requests, each on a connection that was idle, or on a new one.

    Args:
        trusted: For servers with TLS; the system's authorities where not given.
    """

    def __init__(self, trusted: ssl.SSLContext | None) -> None:
        self._given = trusted
        self._closed = False
        self._turns = asyncio.Semaphore(MAX_CONNECTIONS)
        # Those used last are at the end; they go first, and the others grow old.
        self._idle: defaultdict[Server, list[Connection]] = defaultdict(list)

    async def close(self) -> None:
        """Close the connections that nobody uses, and keep no others."""
        self._closed = True
        for connections in self._idle.values():
            while connections:
                connections.pop().abort()

    async def request(self, server: Server, request: Request, seconds: float) -> Reply:
        """Send a request and read its answer.

        Args:
            server: Where to.
            request: What to send.
            seconds: For all of it.

        Raises:
            UrlInvalid: The target, or a header, is not fit to be sent.
            NotConnected, NotSent, ConnectionBroken, AnswerTooLarge: As their names say.
            TimeoutError: The time is up.
        """
        head, body = head_of(server, request), request.body or b""
        end = asyncio.get_running_loop().time() + seconds
        await self._take_turn(end)
        try:
            return await self._answer(server, request.method, head + body, end)
        finally:
            self._turns.release()

    async def _answer(
        self, server: Server, method: str, message: bytes, end: float
    ) -> Reply:
        """Ask on a kept connection or a new one, and again where that is harmless."""
        connection = self._kept(server) or await self._connect(server, end)
        try:
            return await self._ask(server, connection, message, end)
        except ConnectionBroken as error:
            if connection.heard or method not in _IDEMPOTENT:
                raise
            return await self._ask_again(server, message, end, error)

    async def _take_turn(self, end: float) -> None:
        if not self._turns.locked():
            await self._turns.acquire()  # at once
            return
        try:
            async with asyncio.timeout_at(end):
                await self._turns.acquire()
        except TimeoutError as error:
            raise NotSent("the time was up before its turn came") from error

    async def _ask_again(
        self, server: Server, message: bytes, end: float, error: ConnectionBroken
    ) -> Reply:
        """Ask on a new connection; without one, what was sent before may be done."""
        try:
            connection = await self._connect(server, end)
        except NotConnected:
            raise error from None
        return await self._ask(server, connection, message, end)

    async def _ask(
        self, server: Server, connection: Connection, message: bytes, end: float
    ) -> Reply:
        return await self._heard(server, connection, connection.ask(message, end))

    async def _heard(
        self, server: Server, connection: Connection, answer: asyncio.Future[Reply]
    ) -> Reply:
        try:
            reply = await answer
        except BaseException:
            connection.abort()  # an answer may still come, to whoever asks next
            raise
        if connection.reusable and not self._closed:
            self._keep(server, connection)
        else:
            connection.abort()
        return reply

    def _keep(self, server: Server, connection: Connection) -> None:
        """Keep a connection, and close those that have grown old meanwhile."""
        connections = self._idle[server]
        connections.append(connection)
        while connections[0].idle_since < connection.idle_since - IDLE_SECONDS:
            connections.pop(0).abort()

    @functools.cached_property
    def _trusted(self) -> ssl.SSLContext:
        return self._given or ssl.create_default_context()

    def _kept(self, server: Server) -> Connection | None:
        """Take the connection that was used last, if it is good for more."""
        connections = self._idle[server]
        old = asyncio.get_running_loop().time() - IDLE_SECONDS
        while connections:
            connection = connections.pop()
            if connection.reusable and connection.idle_since >= old:
                return connection
            connection.abort()
        return None

    async def _connect(self, server: Server, end: float) -> Connection:
        try:
            async with asyncio.timeout_at(end):
                return await self._connect_soon(server)
        except TimeoutError as error:
            raise NotConnected("the time was up") from error

    async def _connect_soon(self, server: Server) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                addresses = await loop.getaddrinfo(
                    server.host, server.port, type=socket.SOCK_STREAM
                )
                reached = await start_connection(
                    addresses, happy_eyeballs_delay=NEXT_ADDRESS_SECONDS
                )
                _, connection = await loop.create_connection(
                    Connection,
                    sock=reached,
                    ssl=self._trusted if server.secure else None,
                    server_hostname=server.host if server.secure else None,
                )
        except OSError as error:  # time-outs and TLS' errors are OSErrors, too
            raise NotConnected(type(error).__name__) from error
        return connection
