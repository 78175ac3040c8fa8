"""One connection to somebody who asks: requests come, one at a time, and are answered.

llhttp, the parser of Node.js, reads what comes (httptools); here it is only gathered,
and bounded.
"""

from __future__ import annotations

import asyncio
import enum
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

from httptools import (
    HttpParserCallbackError,
    HttpParserError,
    HttpParserUpgrade,
    HttpRequestParser,
    parse_url,
)

from signupd.httpd.messages import Answer, Question, written

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from signupd.httpd.server import HttpServer

# Of a head, and of what else is around a body: chunks' sizes, trailers, empty lines.
MAX_HEAD_BYTES: Final = 16 * 1024
# What our jsonnet sends has two short fields.
MAX_BODY_BYTES: Final = 8 * 1024
# Of a larger body so much is read, and forgotten, so that it can be answered.
MAX_FORGOTTEN_BYTES: Final = 1024 * 1024

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_NOT_IN_TARGET: Final = re.compile(rb"[^!-~]")


class Stage(enum.Enum):
    """How far a connection is with its request."""

    IDLE = enum.auto()
    COMING = enum.auto()
    ANSWERING = enum.auto()
    OVER = enum.auto()  # with the connection: nothing more is read or said


class Connection(asyncio.Protocol):
    """One connection, with at most one request under way.

    Attributes:
        stage: How far it is.
    """

    def __init__(self, server: HttpServer) -> None:
        self.stage = Stage.IDLE
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._parser: Any = HttpRequestParser(self)
        self._limit: asyncio.TimerHandle | None = None
        self._last = False
        self._around = 0  # bytes that are no body's, by what came
        self._begin()

    def close(self) -> None:
        """Close it when what was written is sent, if that is soon."""
        self._wait(self._server.request_seconds)
        self.stage = Stage.OVER
        self._transport.close()

    def abort(self) -> None:
        """Close it at once."""
        self.stage = Stage.OVER
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for a request; the loop calls this, as those that follow."""
        self._transport = cast("asyncio.Transport", transport)
        self._wait(self._server.idle_seconds)
        self._server.came(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """Note that it is over. What is being answered is seen to its end."""
        self.stage = Stage.OVER
        if self._limit is not None:
            self._limit.cancel()
        self._server.went(self)

    def pause_writing(self) -> None:
        """Leave whoever asks on and on and reads no answer."""
        self.abort()

    def data_received(self, data: bytes) -> None:
        """Read a part of a request."""
        self._around += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            pass  # answered as if that had not been asked for, and then it ends
        except HttpParserCallbackError:
            self._refuse(self._server.defect())
        except HttpParserError:
            self._refuse(Answer(HTTPStatus.BAD_REQUEST))
        if self._around > MAX_HEAD_BYTES:
            self._refuse(Answer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE))

    def on_message_begin(self) -> None:
        """Expect a request; the parser calls this, and the rest.

        Kratos waits for an answer before it asks again. Who does not need not be served
        (RFC 9112, section 9.3.2).
        """
        if self.stage is Stage.ANSWERING:
            self.abort()
        if self.stage is Stage.IDLE:
            self.stage = Stage.COMING
            self._begin()
            self._wait(self._server.request_seconds)

    def on_url(self, part: bytes) -> None:
        """Note a part of the target."""
        self._target += part
        self._count_head(len(part))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a header; what comes behind a body is none of ours."""
        self._count_head(len(name) + len(value))
        if self._head_complete:
            return
        name = name.lower()
        self._hosts += name == b"host"
        self._headers.setdefault(name, value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        """Have the body sent by who waits for that (RFC 9110, section 10.1.1)."""
        self._head_complete = True
        self._version = self._parser.get_http_version()
        expected = self._headers.get(b"expect", b"").lower()
        if expected == b"100-continue" and self._version == "1.1":
            self._write(_CONTINUE)

    def on_body(self, part: bytes) -> None:
        """Note a part of the body, or that it is too large."""
        # Of what came with a request before this one nothing is known any more.
        self._around = max(0, self._around - len(part))
        self._body_bytes += len(part)
        if self._body_bytes <= MAX_BODY_BYTES:
            self._body += part
        elif self._body_bytes > MAX_FORGOTTEN_BYTES:
            self._refuse(Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE))

    def on_message_complete(self) -> None:
        """Answer."""
        self._around = 0
        if self.stage is not Stage.COMING:
            return
        self._wait(None)
        self.stage = Stage.ANSWERING
        keeps = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        self._last = not keeps or self._version != "1.1"
        answer = self._answer()
        if isinstance(answer, Answer):
            self._tell(answer)
        else:
            self._transport.pause_reading()
            self._server.later(answer, self._tell_later)

    def _begin(self) -> None:
        self._target, self._body = bytearray(), bytearray()
        self._headers: dict[bytes, bytes] = {}
        self._hosts = self._head_bytes = self._body_bytes = 0
        self._head_complete = False
        self._version = ""

    def _answer(self) -> Answer | Awaitable[Answer]:
        if self._version not in ("1.0", "1.1"):
            return self._unread(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        if self._version == "1.1" and self._hosts != 1:  # RFC 9112, section 3.2
            return self._unread(HTTPStatus.BAD_REQUEST)
        try:
            question = self._question()
        except HttpParserError:
            return self._unread(HTTPStatus.BAD_REQUEST)
        try:
            return self._server.answer(question)
        except Exception:  # noqa: BLE001 - the last resort: nothing may leak
            return self._server.defect()

    def _unread(self, status: HTTPStatus) -> Answer:
        self._last = True
        return Answer(status)

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

    def _tell_later(self, answer: Answer) -> None:
        """Tell what was waited for, unless who asked is gone."""
        if self.stage is Stage.ANSWERING:
            self._tell(answer)
            self._read_on()

    def _read_on(self) -> None:
        if self.stage is Stage.IDLE:
            self._transport.resume_reading()

    def _tell(self, answer: Answer) -> None:
        last = self._last or self._server.closing
        self._write(written(answer, last=last))
        if last:
            self.close()
        elif self.stage is Stage.ANSWERING:
            self.stage = Stage.IDLE
            self._wait(self._server.idle_seconds)
            self._server.served(self)

    def _refuse(self, answer: Answer) -> None:
        """Answer what cannot be read on, where nothing else is to be answered first."""
        if self.stage is Stage.ANSWERING:
            if not self._last:  # then what follows is nobody's (RFC 9112, section 9.6)
                self.abort()
        elif self.stage is not Stage.OVER:
            self._write(written(answer, last=True))
            self.close()

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(Answer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE))

    def _write(self, data: bytes) -> None:
        if self.stage is not Stage.OVER:
            self._transport.write(data)

    def _wait(self, seconds: float | None) -> None:
        """Close it unless something happens in time; once it is over, it stays so."""
        if self.stage is Stage.OVER:
            return
        if self._limit is not None:
            self._limit.cancel()
        self._limit = None
        if seconds is not None:
            self._limit = self._loop.call_later(seconds, self.abort)
