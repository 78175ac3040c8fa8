"""The HTTP ports: each serves a small web application within limits."""

import asyncio
import logging
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import hdrs, http_exceptions, web
from aiohttp.log import server_logger
from aiohttp.typedefs import Handler, Middleware

from signupd.notation import endpoint

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


async def listen(runner: web.AppRunner, address: str) -> int:
    """Serve at ``host:port``, and return the port: port 0 takes a free one.

    An address that cannot be used is an OSError.
    """
    await runner.setup()
    await web.TCPSite(runner, *endpoint(address)).start()
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
