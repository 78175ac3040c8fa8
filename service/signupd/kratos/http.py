"""HTTP to Kratos: one bounded request, its JSON response, and errors as ours.

httpx is the interface and aiohttp the transport.
"""

import asyncio
import contextlib
import enum
import json
import re
import ssl
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from signupd.errors import KratosUnavailable, KratosUnreached
from signupd.kratos.failures import (
    MAX_BODY_BYTES,
    TRANSLATED,
    ResponseTooLarge,
    TlsExpected,
    failure,
    translated,
)
from signupd.telemetry.observer import LOST, UNREACHED, Observer

# More would only queue up inside Kratos, whose pool to its database is smaller.
MAX_CONNECTIONS: Final = 128
# TCP tries again after one second and after three.
CONNECT_SECONDS: Final = 4.0
# Kratos closes idle connections after two minutes, a proxy often after one.
KEEPALIVE_SECONDS: Final = 15.0
# Kratos repeats the query in each reference of Link; one with 100 ids has 4 KiB.
MAX_HEADER_BYTES: Final = 64 * 1024
_HEADERS: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",  # a compressed body has no bound
    "User-Agent": "signupd",
}
FAILURES: Final = 10  # in a row: more than chance, and soon reached under load
# An open breaker lets one call through in so many seconds; an answer closes it.
PROBE_SECONDS: Final = 2.0
# The server, or a proxy in front of it, cannot answer for now.
_OUT_OF_ORDER: Final = frozenset({429, 503, 504})


class Call(enum.StrEnum):
    """What a call is for, as metrics and traces name it.

    Kratos' paths are no such names: they have ids and addresses in them.
    """

    OPEN = "open"  # a registration flow
    SEND = "send"  # a code by mail
    CODE = "code"  # check one
    FLOW = "flow"  # how far one has come
    PASSWORD = "password"  # noqa: S105 - register by it; makes the account
    FIND = "find"  # an account by its address
    ACCOUNTS = "accounts"  # by their ids
    SESSIONS = "sessions"  # of an account: end, or list them
    DELETE = "delete"  # an account
    COURIER = "courier"  # what became of mails
    SCHEMAS = "schemas"
    VERSION = "version"
    READY = "ready"  # whether an API works
    OTHER = "other"


_HOOKED: Final = frozenset({Call.CODE, Call.PASSWORD})
# What servers with TLS say to plaintext: Go, nginx, Apache.
_EXPECTS_TLS: Final = re.compile(
    rb"to an? (HTTPS|SSL-enabled) (server|port)|to HTTPS port"
)


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response of Kratos. The body is None if it is not JSON."""

    status: int
    body: Any = field(repr=False)
    headers: httpx.Headers = field(repr=False)

    @property
    def cookies(self) -> str:
        """The cookies it sets, as the header Cookie of a request."""
        given = self.headers.get_list("Set-Cookie")
        return "; ".join(one.partition(";")[0] for one in given)


class Breaker:
    """The circuit breaker of one API. While open it refuses calls at once.

    Otherwise each would wait out its timeout, holding a connection and a lease. A cut
    connection is an answer: one odd request must not stop all others. It counts by
    method: a Kratos that opens flows may be too slow to go on with them, so an answer
    to GET does not close the breaker of POST. The clock has monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: defaultdict[str, int] = defaultdict(int)
        self._next_probe: dict[str, float] = {}

    @property
    def is_open(self) -> bool:
        """Whether it refuses calls, but for one now and then."""
        return bool(self._next_probe)

    def admit(self, method: str) -> None:
        """Let a call through, or raise KratosUnreached at once: nothing is sent."""
        now = self._clock()
        for failing, next_probe in self._next_probe.items():
            if now < next_probe:
                raise KratosUnreached(
                    f"Kratos gets no calls after {self._failures[failing]} failures",
                    retry_after_seconds=next_probe - now,
                )
        if method in self._next_probe:  # this call is the probe
            self._next_probe[method] = now + PROBE_SECONDS

    def answered(self, method: str) -> None:
        """Note that the server answered, with any status, or cut the connection."""
        self._failures[method] = 0
        self._next_probe.pop(method, None)

    def failed(self, method: str) -> None:
        """Note that the server let a call wait, or said that it cannot answer."""
        self._failures[method] += 1
        if self._failures[method] >= FAILURES:
            self._next_probe[method] = self._clock() + PROBE_SECONDS


class HttpClient:
    """Sends requests to Kratos over a pool of connections.

    It keeps no cookies, follows no redirect and reads no proxy from the environment. No
    POST is sent twice. aiohttp sends a GET or DELETE once more if its connection ends
    before the response begins.

    ``ca`` is a file of certificates to trust instead of the system's; if ``pinned``, it
    is the server's own, whatever host it names. The breakers go by a clock of monotonic
    seconds. Every request is observed, also one that a breaker refuses. A CA file that
    cannot be read is an OSError.
    """

    def __init__(
        self,
        *,
        ca: Path | None = None,
        pinned: bool = False,
        clock: Callable[[], float] = time.monotonic,
        observer: Observer | None = None,
    ) -> None:
        self._observer = observer or Observer()
        self._breakers: defaultdict[str, Breaker] = defaultdict(  # by API
            lambda: Breaker(clock)
        )
        self._observer.breakers.set_function(
            lambda: sum(one.is_open for one in self._breakers.values())
        )
        trusted = ssl.create_default_context(cafile=ca)
        if pinned:
            trusted.check_hostname = False
            trusted.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        # Without httpx.AsyncClient around it: what that adds (cookies, redirects, the
        # environment) is not wanted here, and costs as much CPU as the rest of a call.
        self._transport = AiohttpTransport(
            verify=trusted, client=lambda: _session(trusted)
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def request(  # noqa: PLR0913 - the parts of an HTTP request
        self,
        method: str,
        url: str,
        timeout_seconds: float,
        payload: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        call: Call = Call.OTHER,
    ) -> Response:
        """Send one request, its payload as JSON, and read its response.

        The URL is absolute; credentials in it are sent as Basic. The timeout is for
        connecting, sending and reading together.

        Raises:
            KratosUnreached: No connection could be made, or the breaker let none be
                tried; Kratos did nothing. For a GET or DELETE this may be the second
                try, after the first was lost.
            KratosUnavailable: The answer was lost, or says that Kratos failed (429 and
                5xx, also inside); what Kratos did is not known.
            KratosIncompatible: The URL is not an HTTP one, or the response too large.
        """
        outcome, begun = LOST, time.monotonic()
        tracing = self._observer.tracing
        span = None if tracing is None else tracing.call(call, method, url)
        sent = {**_HEADERS, **(span.headers if span else {}), **(headers or {})}
        try:
            response = await self._send(method, url, timeout_seconds, payload, sent)
            outcome = str(response.status)
        except KratosUnreached:
            outcome = UNREACHED
            raise
        finally:
            series = self._observer.calls.labels(call, outcome)
            series.observe(time.monotonic() - begun)
            if span is not None:
                span.end(outcome)
        if why := failure(response.status, response.body, hooked=call in _HOOKED):
            raise KratosUnavailable(f"{method} to Kratos was answered with {why}")
        return response

    async def _send(
        self,
        method: str,
        url: str,
        seconds: float,
        payload: Any,
        headers: dict[str, str],
    ) -> Response:
        """Send a request if the breaker of its API lets it through."""
        breaker = self._breakers["/".join(url.split("/", 3)[:3])]
        breaker.admit(method)
        wait = seconds / 2  # after a longer one too little is left for the response
        limits = {"timeout": {"connect": min(CONNECT_SECONDS, wait), "pool": wait}}
        try:
            request = httpx.Request(
                method, url, headers=headers, json=payload, extensions=limits
            )
            async with asyncio.timeout(seconds):
                response = await self._receive(request)
        except TRANSLATED as error:
            ours = translated(error, url)
            if isinstance(ours, KratosUnreached) or isinstance(error, TimeoutError):
                breaker.failed(method)
            elif isinstance(ours, KratosUnavailable):
                breaker.answered(method)
            raise ours from None  # theirs has the URL in its text, addresses in that
        if response.status in _OUT_OF_ORDER:
            breaker.failed(method)
        else:
            breaker.answered(method)
        return response

    async def _receive(self, request: httpx.Request) -> Response:
        """Send a request, and read its response up to the bound as it comes."""
        response = await self._transport.handle_async_request(request)
        body = bytearray()
        async with contextlib.aclosing(response):
            async for part in response.aiter_raw():
                body += part
                if len(body) > MAX_BODY_BYTES:
                    raise ResponseTooLarge
        bad = response.status_code == HTTPStatus.BAD_REQUEST
        if bad and request.url.scheme == "http" and _EXPECTS_TLS.search(body):
            raise TlsExpected
        return Response(response.status_code, _json(bytes(body)), response.headers)


def _session(trusted: ssl.SSLContext) -> aiohttp.ClientSession:
    """Make what httpx-aiohttp sends with; its own would keep cookies."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=MAX_CONNECTIONS, keepalive_timeout=KEEPALIVE_SECONDS, ssl=trusted
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
    )


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
