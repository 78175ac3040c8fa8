"""What is sent to a server, and where it is."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PORTS: Final = {"http": 80, "https": 443}
_NOT_IN_TARGET: Final = re.compile(r"[^!-~]")
_NOT_IN_HEADER: Final = re.compile(r"[^\t -~]")


class UrlInvalid(ValueError):
    """A URL that no request can be sent to. The text says nothing of it."""


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
    """

    method: str
    target: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(repr=False)


def head_of(server: Server, request: Request) -> bytes:
    """Write all of a request but its body, as it goes over the wire.

    Args:
        server: Where it goes.
        request: What is sent.

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
