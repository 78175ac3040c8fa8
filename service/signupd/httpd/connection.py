"""One connection to somebody who asks: requests come, one at a time, and are answered.

llhttp, the parser of Node.js, reads what comes (httptools); here it is only gathered,
and bounded.
"""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser, parse_url

from signupd.httpd.messages import Answer, Question, written

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from signupd.httpd.server import HttpServer

MAX_HEAD_BYTES: Final = 16 * 1024
# What our jsonnet sends has two short fields.
MAX_BODY_BYTES: Final = 8 * 1024
# Of a larger body so much is read, and forgotten, so that it can be answered.
MAX_FORGOTTEN_BYTES: Final = 1024 * 1024

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_NOT_IN_TARGET: Final = re.compile(rb"[^!-~]")


class Connection(asyncio.Protocol):
    """One connection, with at most one request under way.

    Attributes:
        idle: Whether there is none.
    """

    def __init__(self, server: HttpServer) -> None:
        self.idle = True
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._parser: Any = HttpRequestParser(self)
        self._limit: asyncio.TimerHandle | None = None
        self._answering = self._choked = self._last = self._over = False
        self._begin()

    def close(self) -> None:
        """Close it when what was written is sent."""
        self._over = True
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request; the loop calls this, as those that follow."""
        self._transport = cast("asyncio.Transport", transport)
        self._wait(self._server.idle_seconds)
        self._server.came(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """Note that it is over. What is being answered is seen to its end."""
        self._over = True
        self._wait(None)
        self._server.went(self)

    def pause_writing(self) -> None:
        """Read nothing from whoever does not read answers."""
        self._choked = True
        self._read_if_ready()

    def resume_writing(self) -> None:
        """Go on."""
        self._choked = False
        self._read_if_ready()

    def data_received(self, data: bytes) -> None:
        """Read a part of a request."""
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:  # answered as if that had not been asked for
            self._last = True
            if not (self._answering or self._over):
                self.close()
        except HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST)
        if not (self.idle or self._head_complete):
            self._count_head(len(data))

    def on_message_begin(self) -> None:
        """Expect a request; the parser calls this, and the rest.

        It need not be answered before the one under way is, which Kratos waits for
        (RFC 9112, section 9.3.2).
        """
        if self._answering:
            self._over = True
            self._transport.abort()
        self.idle = False
        self._begin()
        self._wait(self._server.request_seconds)

    def on_url(self, part: bytes) -> None:
        """Note a part of the target."""
        self._target += part
        self._count_head(len(part))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header; what comes behind a body is none of ours."""
        self._count_head(len(name) + len(value))
        if not self._head_complete:
            self._headers.setdefault(name.lower(), value)

    def on_headers_complete(self) -> None:
        """Have the body sent by who waits for that (RFC 9110, section 10.1.1)."""
        self._head_complete = True
        if self._headers.get(b"expect", b"").lower() == b"100-continue":
            self._write(_CONTINUE)

    def on_body(self, part: bytes) -> None:
        """Note a part of the body, or that it is too large."""
        self._body_bytes += len(part)
        if self._body_bytes <= MAX_BODY_BYTES:
            self._body += part
        elif self._body_bytes > MAX_FORGOTTEN_BYTES:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    def on_message_complete(self) -> None:
        """Answer."""
        if self._over:
            return
        self._wait(None)
        http_1_0 = self._parser.get_http_version() == "1.0"
        self._last = http_1_0 or not self._parser.should_keep_alive()
        try:
            answer = self._server.answer(self._question())
        except HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST)
        except Exception:  # noqa: BLE001 - the last resort: nothing may leak
            self._tell(self._server.defect())
        else:
            self._tell_soon(answer)

    def _begin(self) -> None:
        self._target, self._body = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._head_bytes = self._body_bytes = 0
        self._head_complete = False

    def _question(self) -> Question:
        """Put a question together.

        Raises:
            HttpParserError: The target is no URL.
        """
        target = bytes(self._target)
        if _NOT_IN_TARGET.search(target):
            raise HttpParserError
        path = parse_url(target).path or b""
        return Question(
            self._parser.get_method().decode("ascii"),
            path.decode("ascii"),
            self._headers,
            None if self._body_bytes > MAX_BODY_BYTES else bytes(self._body),
        )

    def _tell_soon(self, answer: Answer | Awaitable[Answer]) -> None:
        if isinstance(answer, Answer):
            self._tell(answer)
            return
        self._answering = True
        self._read_if_ready()
        self._server.later(answer, self._tell)

    def _tell(self, answer: Answer) -> None:
        if self._over:
            return
        last = self._last or self._server.closing
        self._write(written(answer, last=last))
        if last:
            self.close()
            return
        self.idle = True
        self._wait(self._server.idle_seconds)
        self._server.served(self)
        if self._answering:
            self._answering = False
            self._read_if_ready()

    def _read_if_ready(self) -> None:
        if self._over:
            return
        if self._answering or self._choked:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer what cannot be read on."""
        if not self._over:
            self._write(written(Answer(status), last=True))
            self.close()

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _write(self, data: bytes) -> None:
        if not self._over:
            self._transport.write(data)

    def _wait(self, seconds: float | None) -> None:
        """Close it unless something happens in time."""
        if self._limit is not None:
            self._limit.cancel()
        self._limit = None
        if seconds is not None:
            self._limit = self._loop.call_later(seconds, self._transport.abort)
