"""The two web hooks that Kratos' registration flows call, and how a port is served.

The code hook always stops Kratos from storing an account at the code. The password hook
lets Kratos store one account: that of the sign-up which is setting a password by this
flow now. A foreign request learns and changes nothing.
"""

import asyncio
import contextlib
import hmac
import json
import logging
import ssl
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, TypeVar

import structlog
from aiohttp import hdrs, http_exceptions, web
from aiohttp.log import server_logger
from aiohttp.typedefs import Handler, Middleware

from signupd.errors import LedgerUnavailable
from signupd.kratos.answers import NOT_NOW_ID, PROVED_ID, UNKNOWN_FLOW_ID
from signupd.notation import endpoint
from signupd.signup.approve import HookRefusal
from signupd.telemetry.observer import Observer

T = TypeVar("T")

CODE_PATH: Final = "/kratos/code"
PASSWORD_PATH: Final = "/kratos/password"  # noqa: S105 - a path
KEY_HEADER: Final = "X-Hook-Key"
# The key of a response's note, for metrics and traces.
_ANSWER: Final = web.ResponseKey("answer", str)
# What our jsonnet sends has two short fields.
MAX_BODY_BYTES: Final = 8 * 1024
# A flood of requests without the key must not fill a disk with lines.
LINE_SECONDS: Final = 60.0
# How long the rest of a refused body is read and dropped. Closing a connection with
# unread data resets it, and the client would lose the refusal.
LINGER_SECONDS: Final = 1.0
# This server's own work has ended by then. A hook request that another replica
# caused takes milliseconds, and Kratos retries it if it gets no answer.
SHUTDOWN_SECONDS: Final = 5.0
# Of a head: our paths are short, Kratos sends ten header fields, a mesh adds as many.
MAX_LINE_BYTES: Final = 1024
MAX_FIELD_BYTES: Final = 8 * 1024
MAX_FIELDS: Final = 64


@dataclass(slots=True)
class Hooks:
    """Answers Kratos' hooks.

    ``note_proof`` is told of right codes, and ``approve`` decides whether Kratos may
    store an account, and what mark it gets. ``sign`` shows whose refusal it is. All
    three get a flow's id and an address. The key, if given, is required in the header
    ``X-Hook-Key``; one line a minute tells of requests without.
    """

    note_proof: Callable[[str, str], Awaitable[None]]
    approve: Callable[[str, str], Awaitable[uuid.UUID | HookRefusal]]
    sign: Callable[[str, str], str]
    log: structlog.typing.FilteringBoundLogger
    keys: tuple[str, ...] = field(repr=False)
    observer: Observer = field(default_factory=Observer)
    _next_line: float = field(default=0.0, init=False)  # by the monotonic clock

    def app(self) -> web.Application:
        """Make the web application."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post(CODE_PATH, self._observed("code", self._code))
        app.router.add_post(PASSWORD_PATH, self._observed("password", self._password))
        return app

    def _observed(self, hook: str, answer: Handler) -> Handler:
        """Count, time and trace what a handler answers."""
        observer = self.observer

        async def observed(request: web.Request) -> web.StreamResponse:
            begun, said, span = time.monotonic(), "failed", None
            if observer.tracing is not None:
                span = observer.tracing.hook(hook, request.headers)
            try:
                response = await answer(request)
                said = response[_ANSWER]
            finally:
                observer.hooks.labels(hook).observe(time.monotonic() - begun)
                observer.hook_requests.labels(hook, said).inc()
                if span is not None:
                    span.end(said)
            return response

        return observed

    def has_key(self, request: web.Request) -> bool:
        """Return whether a request has the required key, if there is one."""
        if not self.keys:
            return True
        given = request.headers.get(KEY_HEADER, "").encode(errors="surrogateescape")
        return any(hmac.compare_digest(given, key.encode()) for key in self.keys)

    async def _code(self, request: web.Request) -> web.Response:
        """Refuse the account: Kratos asks only after the right code.

        The answer is the same for every body, and without a ledger.
        """
        if not self.has_key(request):
            return self._without_key(request)
        with contextlib.suppress(web.HTTPRequestEntityTooLarge):
            if fields := _fields(await request.read()):
                await self._told(self.note_proof(*fields))
        return _refusal(PROVED_ID, "proved")

    async def _password(self, request: web.Request) -> web.Response:
        """Approve the one account that a live SETTING lease asks for."""
        if not self.has_key(request):
            return self._without_key(request)
        fields = _fields(await request.read())
        if fields is None:
            return _refusal(UNKNOWN_FLOW_ID, "unknown flow")
        verdict = await self._told(self.approve(*fields))
        if isinstance(verdict, uuid.UUID):
            return _approval(verdict, fields[1])
        signature = self.sign(*fields)
        if verdict is HookRefusal.UNKNOWN_FLOW:
            return _refusal(UNKNOWN_FLOW_ID, "unknown flow", signature)
        return _refusal(NOT_NOW_ID, "not now", signature)

    async def _told(self, asked: Awaitable[T]) -> T | None:
        """Return what the ledger says; None if it is away."""
        try:
            return await asked
        except LedgerUnavailable as error:
            self.log.warning("hook_without_ledger", why=error.detail)
            return None

    def _without_key(self, request: web.Request) -> web.Response:
        now = time.monotonic()
        if now >= self._next_line:
            self._next_line = now + LINE_SECONDS
            self.log.warning("hook_key_wrong", path=request.path)
        response = web.Response(status=HTTPStatus.FORBIDDEN)
        response[_ANSWER] = "key_wrong"
        return response


def _fields(body: bytes) -> tuple[str, str] | None:
    """Read a flow's id and an address; None unless each is a non-empty ASCII text."""
    try:
        fields = json.loads(body)
        flow_id, email = fields["flow_id"], fields["email"]
        # Ours are ASCII. Other letters may have an ASCII one as their lower case.
        fit = flow_id and flow_id.isascii() and email and email.isascii()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return (flow_id, email) if fit else None


def _refusal(message_id: int, why: str, signature: str = "") -> web.Response:
    """Refuse, with a message that Kratos shows at the address in its own answer."""
    text = f"{why} {signature}".strip()
    message = {"id": message_id, "text": text, "type": "info"}
    entry = {"instance_ptr": "#/traits/email", "messages": [message]}
    body = {"messages": [entry]}
    response = web.json_response(body, status=HTTPStatus.FORBIDDEN)
    response[_ANSWER] = why.replace(" ", "_")
    return response


def _approval(mark: uuid.UUID, address: str) -> web.Response:
    """Approve: Kratos stores the address as verified, with our mark as its id.

    What other hooks want of the identity's metadata and traits stays as it is.
    """
    verified: dict[str, Any] = {
        "id": str(mark),
        "value": address.lower(),  # in any other case Kratos drops the mark
        "via": "email",
        "verified": True,
        "status": "completed",
    }
    identity = {"verifiable_addresses": [verified]}
    response = web.json_response({"identity": identity})
    response[_ANSWER] = "approved"
    return response


@dataclass(frozen=True, slots=True)
class PortLimits:
    """The limits of a port; docs/rationale.md has the reasons.

    More than ``max_requests`` at once get a 503. ``request_seconds`` includes a body's
    arrival. A connection without a complete head is kept for ``idle_seconds``.
    """

    max_requests: int = 256
    request_seconds: float = 20.0
    idle_seconds: float = 120.0


def runner_of(
    app: web.Application,
    log: structlog.typing.FilteringBoundLogger,
    port: str,
    limits: PortLimits = PortLimits(),
) -> web.AppRunner:
    """Prepare to serve a web application, from ``listen`` until the runner's cleanup.

    Work on a request goes on even if its client goes away. The log has defects and
    timeouts, with the name of the port.
    """
    app.middlewares.insert(0, _limited(log, port, limits))
    app.on_response_prepare.append(_hide_software)
    server_logger.addFilter(_drop_malformed)  # has no effect the second time
    return web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=False,
        keepalive_timeout=limits.idle_seconds,
        lingering_time=LINGER_SECONDS,
        shutdown_timeout=SHUTDOWN_SECONDS,
        max_line_size=MAX_LINE_BYTES,
        max_field_size=MAX_FIELD_BYTES,
        max_headers=MAX_FIELDS,
        auto_decompress=False,
    )


async def listen(
    runner: web.AppRunner, address: str, tls: ssl.SSLContext | None = None
) -> int:
    """Serve at ``host:port``, and return the port: port 0 takes a free one.

    An address that cannot be used is an OSError.
    """
    await runner.setup()
    await web.TCPSite(runner, *endpoint(address), ssl_context=tls).start()
    return int(runner.addresses[0][1])


def _limited(
    log: structlog.typing.FilteringBoundLogger, port: str, limits: PortLimits
) -> Middleware:
    """Bound the number of requests at work and the time of each; hide defects."""
    at_work = 0

    @web.middleware
    async def limited(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal at_work
        if at_work >= limits.max_requests:
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
        at_work += 1
        try:
            async with asyncio.timeout(limits.request_seconds):
                return await handler(request)
        except web.HTTPException:
            raise
        except TimeoutError:
            log.warning("request_timed_out", where=port)
            return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)
        except (web.RequestPayloadError, ConnectionError):
            # The body is broken, or its client has gone away.
            return web.Response(status=HTTPStatus.BAD_REQUEST)
        except Exception:
            # The last resort: nothing may leak.
            log.exception("defect", where=port)
            return web.Response(status=HTTPStatus.INTERNAL_SERVER_ERROR)
        finally:
            at_work -= 1

    return limited


async def _hide_software(_request: web.Request, response: web.StreamResponse) -> None:
    """Remove the header that names the software and its version."""
    response.headers.popall(hdrs.SERVER, None)


def _drop_malformed(record: logging.LogRecord) -> bool:
    """Drop the records of malformed requests: any client could fill the log."""
    error = record.exc_info[1] if record.exc_info else None
    malformed = http_exceptions.HttpProcessingError, web.RequestPayloadError
    return not isinstance(error, malformed)
