"""How Kratos fails to answer: errors of the connection, and error bodies."""

import os
import re
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import httpx

from signupd.errors import (
    KratosIncompatible,
    KratosUnavailable,
    KratosUnreached,
    SignupdError,
)

MAX_BODY_BYTES: Final = 8 * 1024 * 1024  # a page of identities has 400 KB
# An HTTP status, also one that Kratos writes into the body of an HTTP 400.
_FAILED: Final = re.compile("429|[5-9][0-9]{2}")
# What Kratos says of a hook that is away or answers nonsense.
_OF_A_HOOK: Final = re.compile(
    "webhook|giving up after|jsonnet|RUNTIME ERROR|request with body"
)
_URL_AWAY: Final = re.compile(r"\w+://(?:[^/\s]*@)?([^/\s?#]+)\S* giving up after")
# What is said in plain words, a file's path perhaps, has no URL, address, value, code
# or digest in it.
_PLAIN: Final = re.compile(r"(?!.*(//|\d\d\d))[A-Za-z0-9_ ,.:;'()/-]{1,200}")


class ResponseTooLarge(Exception):
    """The body of a response has more than MAX_BODY_BYTES."""


class TlsExpected(Exception):
    """A server for https answered a request in plaintext."""


# The first entry that fits: our error, and what the log says after the URL, with the
# foreign error as {0}, its errno or else its name as {1}, and {2} for plaintext.
# httpx-aiohttp gives errors of very different moments one class (a lost answer is a
# ConnectTimeout there), so aiohttp's own class decides: see docs/rationale.md.
_ERRORS: Final[dict[type[Exception], tuple[type[SignupdError], str]]] = {
    # No connection was made: none was free in time, or DNS, TCP or TLS failed.
    aiohttp.ConnectionTimeoutError: (KratosUnreached, "no connection in time"),
    aiohttp.ClientConnectorDNSError: (KratosUnreached, "the host name is unknown"),
    aiohttp.ClientConnectorCertificateError: (
        KratosUnreached,
        "bad certificate ({0.certificate_error.verify_message}); see KRATOS_CA",
    ),
    aiohttp.ClientConnectorSSLError: (
        KratosUnreached,
        "TLS handshake failed ({0.os_error.reason}); without TLS it needs http://",
    ),
    aiohttp.ClientConnectorError: (KratosUnreached, "{1}"),
    # It cannot be sent: its URL is not an HTTP one, or a header is unfit.
    httpx.InvalidURL: (KratosIncompatible, "is not an HTTP URL"),
    httpx.UnsupportedProtocol: (KratosIncompatible, "is not an HTTP URL"),
    TlsExpected: (KratosIncompatible, "the server expects https://"),
    ValueError: (KratosIncompatible, "{1}"),
    ResponseTooLarge: (KratosIncompatible, f"more than {MAX_BODY_BYTES} bytes came"),
    # Anything else happened after the request may have been sent.
    TimeoutError: (KratosUnavailable, "no answer in time"),
    aiohttp.ClientResponseError: (KratosUnavailable, "the answer is not HTTP ({1}){2}"),
    aiohttp.ClientConnectionError: (
        KratosUnavailable,
        "the connection ended before the answer ({1}){2}",
    ),
    httpx.HTTPError: (KratosUnavailable, "{1}"),
    aiohttp.ClientError: (KratosUnavailable, "{1}"),
    OSError: (KratosUnavailable, "{1}"),
}
_PLAINTEXT: Final = "; with TLS it needs https://"
TRANSLATED: Final = tuple(_ERRORS)


def translated(error: Exception, url: str) -> SignupdError:
    """Choose our error for one of httpx or aiohttp."""
    cause = error.__cause__
    origin = cause if isinstance(cause, aiohttp.ClientError) else error
    ours, why = next(to for kind, to in _ERRORS.items() if isinstance(origin, kind))
    number = getattr(origin, "errno", None)
    name = os.strerror(number) if number else type(origin).__name__
    said = why.format(origin, name, _PLAINTEXT if url.startswith("http:") else "")
    # Without the path, which may have addresses in it, and without credentials.
    place = re.sub("//[^/]*@", "//", "/".join(url.split("/", 3)[:3]))
    return ours(f"{place}: {said}")


def error_field(body: Any, name: str) -> str:
    """Read a field of an error from the JSON of an answer; empty if it has none."""
    return str(_error(body).get(name, ""))


def if_redirected(status: int) -> str:
    """Say, for the log, what a redirect hints at: each API redirects to the other."""
    redirected = HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST
    hint = " (a redirect: the other API of Kratos, or a proxy, may be there)"
    return hint if redirected else ""


def hook_was_late(status: int, body: Any) -> bool:
    """Tell whether a hook refused an account that was stored already.

    Kratos calls hooks without ``response.parse`` so late, and says it in these words.
    """
    said = error_field(body, "message")
    return status == HTTPStatus.BAD_GATEWAY and said.startswith("webhook failed with")


def hook_failed(body: Any) -> bool:
    """Tell whether an error of a call for which Kratos asks hooks is one of theirs."""
    said = error_field(body, "message")
    return not error_field(body, "id") and bool(_OF_A_HOOK.search(said))


def failure(status: int, body: Any, *, hooked: bool) -> str:
    """Say, for the log, how Kratos failed to answer; empty if it did answer.

    ``hooked`` says that Kratos asks hooks for this call.
    """
    # Most answers to a registration are a flow, with HTTP 400.
    if status < HTTPStatus.BAD_REQUEST or (isinstance(body, dict) and "ui" in body):
        return ""
    statuses = str(status), error_field(body, "code")
    if not any(map(_FAILED.fullmatch, statuses)) or (hooked and hook_failed(body)):
        return ""
    told = [error_field(body, name) for name in ("id", "reason", "message")]
    told = [one.rstrip(".") for one in told if _PLAIN.fullmatch(one)]
    if away := _URL_AWAY.search(error_field(body, "message")):
        told.append(f"it gets no answer from {away[1]}")
    return ": ".join((f"HTTP status {status}", *told))


def _error(body: Any) -> dict[str, Any]:
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) else {}
