"""HTTP to Kratos: one bounded request, its JSON answer, its troubles translated."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections import defaultdict
from dataclasses import dataclass, field
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from signupd.errors import (
    KratosIncompatible,
    KratosUnavailable,
    KratosUnreached,
    SignupdError,
)
from signupd.kratos.breaker import Breaker
from signupd.kratos.calls import call_of
from signupd.observer import LOST, UNREACHED, Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from signupd.kratos.calls import Call
    from signupd.observer import Observer

# More at once would only queue up inside Kratos, whose pool to its database is smaller.
MAX_CONNECTIONS: Final = 128
# A header of an answer. Kratos repeats the whole query in each reference of Link, and
# a query with a hundred ids has 4 KiB; aiohttp takes 8 KiB, which two would exceed.
MAX_HEADER_BYTES: Final = 16 * 1024
_SERVER_ERROR: Final = 500
# What a server, or the proxy in front of it, says when it cannot answer for now. Other
# errors are answers: an odd request must not shut everybody else out.
_OUT_OF_ORDER: Final = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)

# The transport's error -> ours; the first that fits. httpx-aiohttp gives every broken
# connection one name, made or not, so aiohttp's own error decides what was reached.
_TROUBLES: Final[tuple[tuple[type[Exception], type[SignupdError]], ...]] = (
    (aiohttp.ClientConnectorError, KratosUnreached),
    (httpx.UnsupportedProtocol, KratosIncompatible),
    (httpx.HTTPError, KratosUnavailable),
    (aiohttp.ClientError, KratosUnavailable),
    (TimeoutError, KratosUnavailable),
    (OSError, KratosUnavailable),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer of Kratos.

    Args:
        status: Its status.
        body: The body's JSON; None where it is none.
        headers: By name, in any letter case.
    """

    status: int
    body: Any = field(repr=False)
    headers: httpx.Headers = field(repr=False)

    @property
    def cookies(self) -> str:
        """What it sets, as a request's Cookie header; empty where it sets none."""
        given = self.headers.get_list("set-cookie")
        return "; ".join(one.partition(";")[0] for one in given)


class Wire:
    """Sends requests to Kratos.

    Args:
        admin_token: Goes with every request as a bearer token, where given.
        ca: A file of certificates to trust instead of the system's.
        clock: Monotonic seconds, for the breakers.
        observer: Is told of every request, a refused one too.

    Raises:
        OSError, ssl.SSLError: The CA file cannot be read.
    """

    def __init__(
        self,
        *,
        admin_token: str | None,
        ca: Path | None,
        clock: Callable[[], float] = time.monotonic,
        observer: Observer | None = None,
    ) -> None:
        self._observer = observer or Silent()
        # One for the public API and one for the admin API: a server each.
        self._breakers: defaultdict[str, Breaker] = defaultdict(lambda: Breaker(clock))
        trusted = ssl.create_default_context(cafile=None if ca is None else str(ca))
        headers = {"Accept": "application/json"}
        if admin_token is not None:
            headers["Authorization"] = f"Bearer {admin_token}"
        self._client = httpx.AsyncClient(
            transport=AiohttpTransport(
                client=lambda: aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, ssl=trusted),
                    max_field_size=MAX_HEADER_BYTES,
                    cookie_jar=aiohttp.DummyCookieJar(),
                ),
                verify=trusted,
                trust_env=False,
            ),
            headers=headers,
            # Sign-ups must share no cookies, and Kratos refuses those that come with an
            # API flow. httpx has a jar of its own, besides that of its transport.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            timeout=None,  # noqa: S113 - bounded as a whole, below
            trust_env=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def request(  # noqa: PLR0913 - each is a thing of its own
        self,
        method: str,
        url: str,
        timeout_seconds: float,
        payload: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        call: Call | None = None,
    ) -> Answer:
        """Send one request and read its answer.

        Args:
            method: The HTTP method.
            url: Absolute, with its query.
            timeout_seconds: For connecting, sending and reading together.
            payload: Sent as JSON, where given.
            headers: Further ones.
            call: What it is for; what the URL tells unless given.

        Raises:
            KratosUnreached: No connection could be made, or was tried at all, since
                the last ones all failed; Kratos did nothing.
            KratosUnavailable: No answer, or one that says "overloaded" (429, 5xx):
                what Kratos did is not known.
            KratosIncompatible: The URL is not an HTTP one.
        """
        content = None if payload is None else json.dumps(payload).encode()
        typed = {} if content is None else {"Content-Type": "application/json"}
        watch = self._observer.call(call or call_of(method, url), method)
        outcome = LOST
        try:
            response = await self._exchange(
                self._client.build_request(
                    method,
                    url,
                    content=content,
                    headers={**typed, **watch.headers, **(headers or {})},
                ),
                timeout_seconds,
            )
            outcome = str(response.status_code)
        except KratosUnreached:
            outcome = UNREACHED
            raise
        finally:
            watch.end(outcome)
        return _answer(method, response)

    async def _exchange(
        self, request: httpx.Request, timeout_seconds: float
    ) -> httpx.Response:
        """Have a request answered, where the breaker lets it on, and tell the breaker.

        Raises:
            KratosUnreached, KratosUnavailable, KratosIncompatible: As ``request``.
        """
        breaker = self._breakers[_server_of(str(request.url))]
        breaker.admit()
        try:
            async with asyncio.timeout(timeout_seconds):
                response = await self._client.send(request)
        except tuple(foreign for foreign, _ in _TROUBLES) as error:
            breaker.failed()
            raise _ours(error)(
                f"{request.method} to Kratos failed: {type(error).__name__}"
            ) from error
        if response.status_code in _OUT_OF_ORDER:
            breaker.failed()
        else:
            breaker.answered()
        return response


def _answer(method: str, response: httpx.Response) -> Answer:
    """Read an answer.

    Raises:
        KratosUnavailable: It says that Kratos cannot answer.
    """
    status, body = response.status_code, _json(response.content)
    if status == HTTPStatus.BAD_GATEWAY and isinstance(body, dict):
        # Kratos' own words on a hook that it does not parse, not a proxy's.
        return Answer(status, body, response.headers)
    if status >= _SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
        raise KratosUnavailable(
            f"{method} to Kratos was answered with HTTP status {status}"
        )
    return Answer(status, body, response.headers)


def _server_of(url: str) -> str:
    """Name the server of an absolute URL: scheme, host and port."""
    return url[: url.find("/", len("https://"))]


def _ours(error: BaseException) -> type[SignupdError]:
    """Choose our error for the transport's, or for what caused it."""
    for foreign, ours in _TROUBLES:
        if isinstance(error, foreign) or isinstance(error.__cause__, foreign):
            return ours
    raise AssertionError("only what the table names is caught") from error


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None
