"""One connection to a server: a request goes out, its answer is read.

llhttp, the parser of Node.js, reads what comes (httptools); here it is only gathered,
and bounded.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from multidict import CIMultiDict

# Kratos' answers have some KiB, or a few hundred for a page of identities.
MAX_BODY_BYTES: Final = 8 * 1024 * 1024
# Kratos repeats the whole query in each reference of Link, and a query with a hundred
# ids has 4 KiB.
MAX_HEAD_BYTES: Final = 64 * 1024
# All that comes for one request, with what divides a body into chunks.
MAX_BYTES: Final = 4 * MAX_BODY_BYTES
_FRAMES: Final = frozenset({b"content-length", b"transfer-encoding"})
_INFORMATIONAL: Final = range(100, 200)


class ConnectionBroken(Exception):
    """The connection ended before the answer did, or what came is not HTTP."""


class AnswerTooLarge(Exception):
    """More came than MAX_HEAD_BYTES, MAX_BODY_BYTES or MAX_BYTES."""


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


class Connection(asyncio.Protocol):
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
        self._limit: asyncio.TimerHandle | None = None
        self._waiter: asyncio.Future[Reply] | None = None
        self._headers: list[tuple[str, str]] = []
        self._body = bytearray()
        self._bytes = self._head_bytes = 0
        self._head_complete = self._framed = False

    def ask(self, message: bytes, end: float) -> asyncio.Future[Reply]:
        """Send a request.

        Args:
            message: As it goes out, or its beginning.
            end: When the answer is waited for no longer, by the loop's clock.

        Returns:
            Done when its answer is complete; with ConnectionBroken, AnswerTooLarge or
            TimeoutError.
        """
        waiter = self._waiter = self._loop.create_future()
        self._begin()
        self._bytes = 0
        self.heard = self.reusable = False
        self._limit = self._loop.call_at(end, self._fail, TimeoutError())
        if self._transport is None or self._transport.is_closing():
            self._fail(ConnectionBroken("closed"))
        else:
            self._transport.write(message)
        return waiter

    def send_rest(self, rest: bytes) -> None:
        """Send what the request under way lacks, unless that is over."""
        if self._waiter is not None and self._transport is not None:
            self._transport.write(rest)

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
        self._bytes += len(data)
        if self._bytes > MAX_BYTES:
            self._fail(AnswerTooLarge())
            return
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
        self._body += part
        if len(self._body) > MAX_BODY_BYTES:
            self._fail(AnswerTooLarge())

    def on_message_complete(self) -> None:
        """Hand the answer over, unless it only announces another (RFC 9110, 15.2)."""
        if self._waiter is None:
            return
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
        self._headers, self._body = [], bytearray()
        self._head_bytes = 0
        self._head_complete = self._framed = False

    def _finish(self) -> None:
        waiter = self._leave()
        self.idle_since = self._loop.time()
        if waiter is not None and not waiter.done():
            status = self._parser.get_status_code()
            headers = CIMultiDict(self._headers)
            waiter.set_result(Reply(status, headers, bytes(self._body)))
        self._body = bytearray()

    def _fail(self, error: Exception) -> None:
        waiter = self._leave()
        self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def _leave(self) -> asyncio.Future[Reply] | None:
        """Wait for nothing more."""
        waiter, self._waiter = self._waiter, None
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
        return waiter
