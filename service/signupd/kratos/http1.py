"""HTTP/1.1 (RFC 9112) as Kratos needs it: small requests, kept connections, no more.

llhttp, the parser of Node.js, reads the answers (httptools). There are no redirects,
cookies, proxies or compression, which a general client looks for at each request; that
took a third of all the processor time of a sign-up.
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
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote, urlsplit

from aiohappyeyeballs import start_connection
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from multidict import CIMultiDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
# Kratos' answers have some KiB, or a few hundred for a page of identities.
MAX_BODY_BYTES: Final = 8 * 1024 * 1024
# Kratos repeats the whole query in each reference of Link, and a query with a hundred
# ids has 4 KiB.
MAX_HEAD_BYTES: Final = 64 * 1024
# What is done again, once, where a kept connection turns out to be closed (RFC 9110,
# section 9.2.2).
_IDEMPOTENT: Final = frozenset({"GET", "DELETE"})
_PORTS: Final = {"http": 80, "https": 443}
_FRAMES: Final = frozenset({b"content-length", b"transfer-encoding"})
_NOT_IN_TARGET: Final = re.compile(r"[^!-~]")
_NOT_IN_HEADER: Final = re.compile(r"[^\t -~]")
_INFORMATIONAL: Final = range(100, 200)


class UrlInvalid(ValueError):
    """A URL that no request can be sent to. The text says nothing of it."""


class NotConnected(Exception):
    """No connection could be made: nothing was sent."""


class ConnectionBroken(Exception):
    """The connection ended before the answer did, or what came is not HTTP."""


class AnswerTooLarge(Exception):
    """More came than MAX_HEAD_BYTES or MAX_BODY_BYTES."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered.

    Args:
        status: The status code.
        headers: By name, in any letter case.
        body: As it came.
    """

    status: int
    headers: CIMultiDict[str] = field(repr=False)
    body: bytes = field(repr=False)


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
        if not host or _NOT_IN_TARGET.search(host):
            raise UrlInvalid("no URL of a server")
        return cls(
            host,
            port,
            parts.scheme == "https",
            named if named.isascii() else f"{host}:{port}",
            _basic(credentials) if credentials else "",
        )


class Client:
    """Sends requests, each on a connection that was idle, or on a new one.

    Args:
        trusted: For servers with TLS; the system's authorities where not given.
    """

    def __init__(self, trusted: ssl.SSLContext | None) -> None:
        self._given = trusted
        self._turns = asyncio.Semaphore(MAX_CONNECTIONS)
        # Those used last are at the end; they go first, and the others grow old.
        self._idle: defaultdict[Server, list[_Connection]] = defaultdict(list)

    async def close(self) -> None:
        """Close the connections that nobody uses."""
        for connections in self._idle.values():
            while connections:
                connections.pop().abort()

    async def request(
        self,
        server: Server,
        method: str,
        target: str,
        headers: Mapping[str, str],
        body: bytes | None,
    ) -> Reply:
        """Send a request and read its answer. Who asks bounds the time.

        Args:
            server: Where to.
            method: Of HTTP.
            target: Path and query, quoted.
            headers: All but Host and Content-Length.
            body: Where there is one.

        Raises:
            UrlInvalid: The target, or a header, is not fit to be sent.
            NotConnected, ConnectionBroken, AnswerTooLarge: As their names say.
        """
        message = _message(server, method, target, headers, body)
        async with self._turns:
            connection = self._kept(server)
            if connection is not None:
                try:
                    return await self._ask(server, connection, message)
                except ConnectionBroken:
                    if connection.heard or method not in _IDEMPOTENT:
                        raise
            return await self._ask(server, await self._connect(server), message)

    async def _ask(
        self, server: Server, connection: _Connection, message: bytes
    ) -> Reply:
        try:
            reply = await connection.ask(message)
        except BaseException:
            connection.abort()  # an answer may still come, to whoever asks next
            raise
        if connection.reusable:
            self._keep(server, connection)
        else:
            connection.abort()
        return reply

    def _keep(self, server: Server, connection: _Connection) -> None:
        """Keep a connection, and close those that have grown old meanwhile."""
        connections = self._idle[server]
        connections.append(connection)
        while connections[0].idle_since < connection.idle_since - IDLE_SECONDS:
            connections.pop(0).abort()

    @functools.cached_property
    def _trusted(self) -> ssl.SSLContext:
        return self._given or ssl.create_default_context()

    def _kept(self, server: Server) -> _Connection | None:
        """Take the connection that was used last, if it is good for more."""
        connections = self._idle[server]
        old = asyncio.get_running_loop().time() - IDLE_SECONDS
        while connections:
            connection = connections.pop()
            if connection.reusable and connection.idle_since >= old:
                return connection
            connection.abort()
        return None

    async def _connect(self, server: Server) -> _Connection:
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
                    _Connection,
                    sock=reached,
                    ssl=self._trusted if server.secure else None,
                    server_hostname=server.host if server.secure else None,
                )
        except OSError as error:  # time-outs and TLS' errors are OSErrors, too
            raise NotConnected(type(error).__name__) from error
        return connection


class _Connection(asyncio.Protocol):
    """One connection, with at most one request under way.

    Attributes:
        reusable: Whether another request may follow.
        heard: Whether anything of the last answer came.
        idle_since: When the last answer was complete, by the loop's clock.
    """

    def __init__(self) -> None:
        self.reusable = False
        self.heard = False
        self.idle_since = 0.0
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._waiter: asyncio.Future[Reply] | None = None
        self._headers: list[tuple[str, str]] = []
        self._body: list[bytes] = []
        self._body_bytes = self._head_bytes = 0
        self._head_complete = self._framed = False

    def ask(self, message: bytes) -> asyncio.Future[Reply]:
        """Send a request.

        Returns:
            Done when its answer is complete; with ConnectionBroken or AnswerTooLarge.
        """
        waiter = self._waiter = self._loop.create_future()
        self._begin()
        self.heard = self.reusable = False
        if self._transport is None or self._transport.is_closing():
            self._fail(ConnectionBroken("closed"))
        else:
            self._transport.write(message)
        return waiter

    def abort(self) -> None:
        """Close it at once."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the way to the server; the loop calls this, as all that follow."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Read a part of an answer."""
        if self._waiter is None:  # nobody asked
            self.abort()
            return
        self.heard = True
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail(ConnectionBroken(type(error).__name__))
        if not self._head_complete:
            self._count_head(len(data))

    def eof_received(self) -> None:
        """Note that the server sends no more; the loop then closes the connection."""
        self.reusable = False
        if self._head_complete and not self._framed:
            self._finish()  # a body of which nothing else tells the end

    def connection_lost(self, error: Exception | None) -> None:
        """Note that it is over."""
        self.reusable = False
        self._fail(ConnectionBroken(type(error).__name__))

    def on_message_begin(self) -> None:
        """Refuse an answer that nobody asked for; the parser calls this, and the rest.

        It may follow in the same piece of data, and whoever asks next must not get it.
        """
        if self._waiter is None:
            self.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header, or leave out what comes behind a body (RFC 9112, 7.1.2)."""
        if self._head_complete:
            self._count_head(len(name) + len(value))
            return
        self._framed = self._framed or name.lower() in _FRAMES
        self._headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """Note that the body comes next."""
        self._head_complete = True

    def on_body(self, part: bytes) -> None:
        """Note a part of the body."""
        self._body_bytes += len(part)
        if self._body_bytes > MAX_BODY_BYTES:
            self._fail(AnswerTooLarge())
        else:
            self._body.append(part)

    def on_message_complete(self) -> None:
        """Hand the answer over, unless it only announces another (RFC 9110, 15.2)."""
        if self._parser.get_status_code() in _INFORMATIONAL:
            self._begin(self._parser)
            return
        self.reusable = self._parser.should_keep_alive()
        self._finish()

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            self._fail(AnswerTooLarge())

    def _begin(self, parser: Any = None) -> None:
        """Expect an answer."""
        self._parser = parser or HttpResponseParser(self)
        self._headers, self._body = [], []
        self._body_bytes = self._head_bytes = 0
        self._head_complete = self._framed = False

    def _finish(self) -> None:
        waiter, self._waiter = self._waiter, None
        self.idle_since = self._loop.time()
        if waiter is not None and not waiter.done():
            status = self._parser.get_status_code()
            body = b"".join(self._body)
            waiter.set_result(Reply(status, CIMultiDict(self._headers), body))
        self._body = []

    def _fail(self, error: Exception) -> None:
        waiter, self._waiter = self._waiter, None
        self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)


def _message(
    server: Server,
    method: str,
    target: str,
    headers: Mapping[str, str],
    body: bytes | None,
) -> bytes:
    """Write a request as it goes over the wire.

    Raises:
        UrlInvalid: Something is in it that would end a line, or is no ASCII.
    """
    if _NOT_IN_TARGET.search(target) or _not_in_headers(headers.values()):
        raise UrlInvalid("a request cannot have this in it")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {server.authority}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode("ascii") + (body or b"")


def _not_in_headers(values: Iterable[str]) -> bool:
    return any(map(_NOT_IN_HEADER.search, values))


def _basic(credentials: str) -> str:
    user, _, password = credentials.partition(":")
    plain = f"{unquote(user)}:{unquote(password)}".encode()
    return f"Basic {base64.b64encode(plain).decode()}"
