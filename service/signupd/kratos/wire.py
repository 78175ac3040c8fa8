"""HTTP to Kratos: one bounded request, its JSON answer, its troubles translated."""

from __future__ import annotations

import json
import ssl
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson

from signupd.errors import (
    KratosIncompatible,
    KratosUnavailable,
    KratosUnreached,
    SignupdError,
)
from signupd.kratos.breaker import Breaker
from signupd.kratos.calls import call_of
from signupd.kratos.connection import AnswerTooLarge, ConnectionBroken
from signupd.kratos.http1 import Client, NotConnected, NotSent
from signupd.kratos.request import Request, Server, UrlInvalid
from signupd.observer import LOST, UNREACHED, Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from pathlib import Path

    from multidict import MultiMapping

    from signupd.kratos.calls import Call
    from signupd.kratos.connection import Reply
    from signupd.observer import Observer

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
    (NotConnected, KratosUnreached),
    (NotSent, KratosUnreached),
    (UrlInvalid, KratosIncompatible),
    (AnswerTooLarge, KratosIncompatible),
    (ConnectionBroken, KratosUnavailable),
    (TimeoutError, KratosUnavailable),
    (OSError, KratosUnavailable),
)
# The trouble is ours, the request's or the answer's: it says nothing of the server.
_NOT_ITS_FAULT: Final = NotSent, UrlInvalid, AnswerTooLarge


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
        trusted = ssl.create_default_context(cafile=str(ca)) if ca else None
        self._client = Client(trusted)
        self._servers: dict[str, Server] = {}
        self._usual = {"Accept": "application/json", "User-Agent": "signupd"}
        if admin_token is not None:
            self._usual["Authorization"] = f"Bearer {admin_token}"

    async def close(self) -> None:
        """Close all connections."""
        await self._client.close()

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
                the last ones all failed, or the time was up before; Kratos did nothing.
            KratosUnavailable: No answer, or one that says "overloaded" (429, 5xx):
                what Kratos did is not known.
            KratosIncompatible: The URL is not an HTTP one.
        """
        watch = self._observer.call(call or call_of(method, url), method)
        sent = {**self._usual, **watch.headers, **(headers or {})}
        content = None if payload is None else _dumped(payload)
        if content is not None:
            sent["Content-Type"] = "application/json"
        outcome = LOST
        try:
            origin, target = _parts_of(url)
            breakers = self._breakers[origin]
            for one in breakers.values():
                one.refuse_resting()
            request = Request(method, target, sent, content)
            ask = partial(self._ask, origin, request, timeout_seconds)
            answer = await self._exchange(ask, breakers[method])
            outcome = str(answer.status)
        except KratosUnreached:
            outcome = UNREACHED
            raise
        finally:
            watch.end(outcome)
        return _usable(method, answer)

    async def _ask(self, origin: str, request: Request, seconds: float) -> Reply:
        server = self._servers.get(origin)
        if server is None:
            server = self._servers[origin] = Server.of(origin)
        if server.basic:  # a URL's own credentials win
            basic = {**request.headers, "Authorization": server.basic}
            request = replace(request, headers=basic)
        return await self._client.request(server, request, seconds)

    async def _exchange(
        self,
        ask: Callable[[], Coroutine[Any, Any, Reply]],
        breaker: Breaker,
    ) -> Answer:
        """Have a request answered, where the breaker lets it on, and tell the breaker.

        Raises:
            KratosUnreached, KratosUnavailable, KratosIncompatible: As ``request``.
        """
        breaker.admit()
        try:
            reply = await ask()
        except tuple(foreign for foreign, _ in _TROUBLES) as error:
            if not isinstance(error, _NOT_ITS_FAULT):
                breaker.failed()
            raise _ours(error)(
                f"a request to Kratos failed: {type(error).__name__}"
            ) from error
        if reply.status in _OUT_OF_ORDER:
            breaker.failed()
        else:
            breaker.answered()
        return Answer(reply.status, _json(reply.body), reply.headers)


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


def _parts_of(url: str) -> tuple[str, str]:
    """Divide an absolute URL into its server's, and path and query."""
    end = url.find("/", len("https://"))
    return (url, "/") if end < 0 else (url[:end], url[end:])


def _ours(error: BaseException) -> type[SignupdError]:
    """Choose our error for the client's."""
    for foreign, ours in _TROUBLES:
        if isinstance(error, foreign):
            return ours
    raise AssertionError("only what the table names is caught") from error


def _dumped(payload: Any) -> bytes:
    """Write JSON; orjson takes no numbers beyond 64 bits, which traits may have."""
    try:
        return orjson.dumps(payload)
    except TypeError:
        return json.dumps(payload).encode()


def _json(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except ValueError:
        return None
