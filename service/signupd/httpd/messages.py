"""What is asked and answered over HTTP."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Answerer = Callable[["Question"], "Answer | Awaitable[Answer]"]

_STATUS_LINES: Final = {
    status: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus
}


@dataclass(frozen=True, slots=True)
class Question:
    """One request.

    Args:
        method: Of HTTP.
        path: As it came, without the query.
        headers: Their values by their names in lower case; of several the first.
        body: None where it was too large.
    """

    method: str
    path: str
    headers: Mapping[bytes, bytes] = field(repr=False)
    body: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered.

    Args:
        status: The status code.
        body: JSON, or nothing.
        allowed: The one method that the path takes, where it is told.
    """

    status: HTTPStatus
    body: bytes = field(default=b"", repr=False)
    allowed: str = ""


def written(answer: Answer, *, last: bool) -> bytes:
    """Write an answer as it goes over the wire, with a Date (RFC 9110, 6.6.1).

    Args:
        answer: What is answered.
        last: Whether the connection ends with it.
    """
    head = _STATUS_LINES[answer.status]
    head += f"Date: {formatdate(time.time(), usegmt=True)}\r\n"
    if answer.body:
        head += "Content-Type: application/json\r\n"
    if answer.allowed:
        head += f"Allow: {answer.allowed}\r\n"
    if last:
        head += "Connection: close\r\n"
    head += f"Content-Length: {len(answer.body)}\r\n\r\n"
    return head.encode("ascii") + answer.body
