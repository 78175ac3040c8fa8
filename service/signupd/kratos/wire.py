"""HTTP to Kratos: one bounded request, its JSON answer, its troubles translated."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from yarl import URL

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
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from multidict import MultiMapping

    from signupd.kratos.calls import Call
    from signupd.observer import Observer

    Asked = AbstractAsyncContextManager[aiohttp.ClientResponse]

# More at once would only queue up inside Kratos, whose pool to its database is smaller.
MAX_CONNECTIONS: Final = 128
# A connection is made at once, or after a second or three, when TCP has tried again.
CONNECT_SECONDS: Final = 4.0
# Kratos' answers have some KiB, or a few hundred for a page of identities.
MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
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

# The client's error -> ours; the first that fits.
_TROUBLES: Final[tuple[tuple[type[Exception], type[SignupdError]], ...]] = (
    (aiohttp.ConnectionTimeoutError, KratosUnreached),
    (aiohttp.ClientConnectorError, KratosUnreached),
    (aiohttp.NonHttpUrlClientError, KratosIncompatible),
    (aiohttp.InvalidURL, KratosIncompatible),
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
    headers: MultiMapping[str] = field(repr=False)

    @property
    def cookies(self) -> str:
        """What it sets, as a request's Cookie header; empty where it sets none."""
        given = self.headers.getall("Set-Cookie", ())
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
        # One for each server, the public API and the admin API, and method: a Kratos
        # that opens flows may yet be too slow to go on with them.
        self._breakers: defaultdict[str, defaultdict[str, Breaker]] = defaultdict(
            lambda: defaultdict(lambda: Breaker(clock))
        )
        # The system's authorities unless told otherwise.
        self._trusted = ssl.create_default_context(cafile=str(ca)) if ca else True
        self._bearer = {}
        if admin_token is not None:
            self._bearer["Authorization"] = f"Bearer {admin_token}"
        self._made: aiohttp.ClientSession | None = None

    @property
    def _session(self) -> aiohttp.ClientSession:
        """The session, made when it is first needed: it belongs to the loop then."""
        if self._made is None:
            self._made = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=MAX_CONNECTIONS, ssl=self._trusted
                ),
                headers={"Accept": "application/json"},
                # Sign-ups must share no cookies, and Kratos refuses those that come
                # with an API flow.
                cookie_jar=aiohttp.DummyCookieJar(),
                # As a whole it is bounded below. Who makes no connection in this time
                # has not reached Kratos, which is worth knowing.
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
                max_field_size=MAX_HEADER_BYTES,
                trust_env=False,
            )
        return self._made

    async def close(self) -> None:
        """Close all connections."""
        if self._made is not None:
            await self._made.close()

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
        watch = self._observer.call(call or call_of(method, url), method)
        server = _server_of(url)
        # A URL's own credentials win.
        bearer = {} if "@" in server else self._bearer
        sent = {**bearer, **watch.headers, **(headers or {})}
        content = None
        if payload is not None:
            content = json.dumps(payload).encode()
            sent["Content-Type"] = "application/json"
        outcome = LOST
        try:
            ask = partial(self._ask, method, url, content, sent)
            breakers = self._breakers[server]
            for one in breakers.values():
                one.refuse_resting()
            answer = await self._exchange(ask, breakers[method], timeout_seconds)
            outcome = str(answer.status)
        except KratosUnreached:
            outcome = UNREACHED
            raise
        finally:
            watch.end(outcome)
        return _usable(method, answer)

    def _ask(
        self, method: str, url: str, content: bytes | None, headers: dict[str, str]
    ) -> Asked:
        try:
            target = URL(url, encoded=True)  # as it is: its parts are quoted already
            named = target.port is not None  # read when it is asked for, not before
        except ValueError:
            named = False
        if not named:
            raise KratosIncompatible("Kratos' URL names no server")
        return self._session.request(
            method,
            target,
            data=content,
            headers=headers,
            allow_redirects=False,
        )

    async def _exchange(
        self, ask: Callable[[], Asked], breaker: Breaker, timeout_seconds: float
    ) -> Answer:
        """Have a request answered, where the breaker lets it on, and tell the breaker.

        Raises:
            KratosUnreached, KratosUnavailable, KratosIncompatible: As ``request``.
        """
        breaker.admit()
        try:
            async with asyncio.timeout(timeout_seconds), ask() as response:
                content = await _read(response)
        except tuple(foreign for foreign, _ in _TROUBLES) as error:
            breaker.failed()
            raise _ours(error)(
                f"a request to Kratos failed: {type(error).__name__}"
            ) from error
        if response.status in _OUT_OF_ORDER:
            breaker.failed()
        else:
            breaker.answered()
        return Answer(response.status, _json(content), response.headers)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """Read a body.

    Raises:
        KratosIncompatible: It is no answer of Kratos', but far too large.
    """
    content = b""
    async for part in response.content.iter_any():
        content += part
        if len(content) > MAX_ANSWER_BYTES:
            response.close()
            raise KratosIncompatible("an answer of Kratos is far too large")
    return content


def _usable(method: str, answer: Answer) -> Answer:
    """Let an answer pass that says something.

    Raises:
        KratosUnavailable: It says that Kratos cannot answer.
    """
    status = answer.status
    if status == HTTPStatus.BAD_GATEWAY and isinstance(answer.body, dict):
        # Kratos' own words on a hook that it does not parse, not a proxy's.
        return answer
    if status >= _SERVER_ERROR or status == HTTPStatus.TOO_MANY_REQUESTS:
        raise KratosUnavailable(
            f"{method} to Kratos was answered with HTTP status {status}"
        )
    return answer


def _server_of(url: str) -> str:
    """Name the server of an absolute URL: scheme, host and port."""
    return url[: url.find("/", len("https://"))]


def _ours(error: BaseException) -> type[SignupdError]:
    """Choose our error for the client's."""
    for foreign, ours in _TROUBLES:
        if isinstance(error, foreign):
            return ours
    raise AssertionError("only what the table names is caught") from error


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None
