"""HTTP/1.1 (RFC 9112) as Kratos needs it: small requests, kept connections, no more.

There are no redirects, cookies, proxies or compression, which a general client looks
for at each request; that took a third of a step's processor time.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import re
import socket
import ssl
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from aiohappyeyeballs import start_connection

from signupd.kratos.connection import Connection, ConnectionBroken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from signupd.kratos.connection import Reply

    Between = Callable[[], Awaitable[Any]]

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
_PORTS: Final = {"http": 80, "https": 443}
_NOT_IN_TARGET: Final = re.compile(r"[^!-~]")
_NOT_IN_HEADER: Final = re.compile(r"[^\t -~]")


class UrlInvalid(ValueError):
    """A URL that no request can be sent to. The text says nothing of it."""


class NotConnected(Exception):
    """No connection could be made: nothing was sent."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where requests go.

    Args:
        host: A name, or an IP address without brackets.
        port: A TCP port.
        secure: Whether over TLS.
        authority: As the header Host has it.
        basic: The URL's own credentials as the header Authorization has them (RFC
            7617); empty where it has none.
    """

    host: str
    port: int
    secure: bool
    authority: str
    basic: str = field(repr=False)

    @classmethod
    def of(cls, url: str) -> Server:
        """Read scheme, host, port and credentials of a URL.

        Raises:
            UrlInvalid: It is not an http or https URL with a host.
        """
        try:
            parts = urlsplit(url)
            host = (parts.hostname or "").encode("idna").decode()
            usual = _PORTS[parts.scheme]
            port = usual if parts.port is None else parts.port
        except (KeyError, ValueError):
            raise UrlInvalid("no URL of a server") from None
        credentials, _, _ = parts.netloc.rpartition("@")
        named = parts.netloc[len(credentials) :].lstrip("@").lower()
        if not host or _NOT_IN_TARGET.search(host + (named if named.isascii() else "")):
            raise UrlInvalid("no URL of a server")
        return cls(
            host,
            port,
            parts.scheme == "https",
            named if named.isascii() else f"{host}:{port}",
            _basic(credentials) if credentials else "",
        )


@dataclass(frozen=True, slots=True)
class Request:
    """What to send.

    Args:
        method: Of HTTP.
        target: Path and query, quoted.
        headers: All but Host and Content-Length.
        body: Where there is one.
        between: Called and awaited when the head has been sent, before the body is. So
            what must be done first is done while the server makes ready. What it raises
            ends the request.
    """

    method: str
    target: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)
    between: Between | None = None


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
            NotConnected, ConnectionBroken, AnswerTooLarge: As their names say.
            TimeoutError: The time is up.
        """
        head, body = _head(server, request), request.body or b""
        end = asyncio.get_running_loop().time() + seconds
        await self._take_turn(end)
        try:
            if request.between is not None:
                between = request.between
                return await self._answer_in_two(server, head, body, end, between)
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

    async def _answer_in_two(
        self, server: Server, head: bytes, body: bytes, end: float, between: Between
    ) -> Reply:
        """Send the head, and the body when that may be.

        Until then nothing can have been done: where the connection does not last so
        long, all of it goes on another.
        """
        connection = self._kept(server) or await self._connect(server, end)
        answer = connection.ask(head, end)
        try:
            await between()
        except BaseException:
            answer.cancel()
            connection.abort()
            raise
        if not answer.done():
            connection.send_rest(body)
            return await self._heard(server, connection, answer)
        connection.abort()  # it is broken, or wants the body still
        if answer.exception() is None:
            return answer.result()
        connection = await self._connect(server, end)
        return await self._ask(server, connection, head + body, end)

    async def _take_turn(self, end: float) -> None:
        if self._turns.locked():
            async with asyncio.timeout_at(end):
                await self._turns.acquire()
        else:
            await self._turns.acquire()  # at once

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
        async with asyncio.timeout_at(end):
            return await self._connect_soon(server)

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


def _head(server: Server, request: Request) -> bytes:
    """Write all of a request but its body, as it goes over the wire.

    Raises:
        UrlInvalid: Something is in it that would end a line, or is no ASCII.
    """
    headers, body = request.headers, request.body
    if _NOT_IN_TARGET.search(request.target) or _not_in_headers(headers.values()):
        raise UrlInvalid("a request cannot have this in it")
    lines = [f"{request.method} {request.target} HTTP/1.1", f"Host: {server.authority}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode("ascii")


def _not_in_headers(values: Iterable[str]) -> bool:
    return any(map(_NOT_IN_HEADER.search, values))


def _basic(credentials: str) -> str:
    user, _, password = credentials.partition(":")
    plain = f"{unquote(user)}:{unquote(password)}".encode()
    return f"Basic {base64.b64encode(plain).decode()}"
