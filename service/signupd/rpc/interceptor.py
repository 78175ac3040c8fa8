"""The only place where errors become statuses and unreadable requests are refused."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Final

import grpc
import structlog
from google.protobuf.message import DecodeError

from signupd.errors import Overloaded, RequestInvalid, SignupdError
from signupd.rpc.callers import HEALTH, OURS, Callers, Context
from signupd.rpc.statuses import DETAILS_KEY, INTERNAL, STATUSES, status_of
from signupd.telemetry.observer import CALLER_GONE, OK, Observer, Watch
from signupd.work import Work

# gRPC's number of the status, by the reason that a call ended with; for observers.
_NUMBERS: Final[dict[str, int]] = {
    OK: grpc.StatusCode.OK.value[0],
    CALLER_GONE: grpc.StatusCode.CANCELLED.value[0],
    **{reason: row.code.value[0] for reason, row in STATUSES.items()},
}
# Health streams at once, which last as long as their callers want.
MAX_WATCHES: Final = 256
# Errors that an operator must see.
_LOUD: Final = frozenset({INTERNAL, "KRATOS_INCOMPATIBLE"})
_WORTH_A_LINE: Final = frozenset(
    {"CALLER_NOT_PERMITTED", "KRATOS_UNAVAILABLE", "LEDGER_UNAVAILABLE"}
)

Handler = Any  # grpc.RpcMethodHandler, whose stubs lack the behaviour's attributes


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns our errors into statuses, and any other exception into a bare INTERNAL.

    grpc.aio by itself sends an exception's text to the caller, and the parser's text
    for bytes that are not a message. So requests are parsed here.

    It also refuses callers without permission, and calls beyond the limit, before
    anything is parsed. grpc's own limit refuses health checks too, and gives no reason.
    Work goes on when its callers are gone, so the limit counts it too.
    """

    def __init__(
        self,
        log: structlog.typing.FilteringBoundLogger,
        callers: Callers,
        work: Work,
        limit: int,
        observer: Observer,
    ) -> None:
        self._log = log
        self._callers = callers
        self._work = work
        self._limit = limit
        self._observer = observer
        self._calls = self._watches = 0
        self._guarded: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Guard the handlers of our services, of reflection and of health."""
        method: str = handler_call_details.method
        if guarded := self._guarded.get(method):
            return guarded
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        return self._guarded.setdefault(method, self._guarded_by(method, handler))

    def _guarded_by(self, method: str, handler: Handler) -> Handler:
        make: Any = grpc.unary_unary_rpc_method_handler
        guard: Any = self._call
        if method.startswith(HEALTH):
            guard = self._check_health
            if handler.unary_stream:
                make, guard = grpc.unary_stream_rpc_method_handler, self._watch_health
        elif not method.startswith(OURS):
            make, guard = grpc.stream_stream_rpc_method_handler, self._reflect
        return make(
            partial(guard, method, handler),
            request_deserializer=None,
            response_serializer=handler.response_serializer,
        )

    async def _call(
        self, method: str, handler: Handler, data: bytes, context: Context
    ) -> Any:
        """Guard a call of our services."""
        watch = self._observer.rpc(method, context.invocation_metadata)
        async with self._errors_as_statuses(method, context, watch):
            self._callers.admit(method, context)
            with self._counted():
                return await handler.unary_unary(_parse(handler, data), context)

    async def _check_health(
        self, method: str, handler: Handler, data: bytes, context: Context
    ) -> Any:
        """Guard a health check, which is open to all callers and never refused."""
        async with self._errors_as_statuses(method, context):
            return await handler.unary_unary(_parse(handler, data), context)

    async def _watch_health(
        self, method: str, handler: Handler, data: bytes, context: Context
    ) -> None:
        """Guard a watcher of health, which gets its answers inside."""
        async with self._errors_as_statuses(method, context):
            if self._watches >= MAX_WATCHES:
                raise Overloaded
            self._watches += 1
            try:
                await handler.unary_stream(_parse(handler, data), context)
            finally:
                self._watches -= 1

    async def _reflect(
        self,
        method: str,
        handler: Handler,
        requests: AsyncIterator[bytes],
        context: Context,
    ) -> AsyncIterator[Any]:
        """Guard reflection."""
        async with self._errors_as_statuses(method, context):
            self._callers.admit(method, context)
            parsed = (_parse(handler, data) async for data in requests)
            async for answer in handler.stream_stream(parsed, context):
                yield answer

    @contextlib.asynccontextmanager
    async def _errors_as_statuses(
        self, method: str, context: Context, watch: Watch | None = None
    ) -> AsyncIterator[None]:
        """Turn whatever goes wrong inside into a status, and record how it ended."""
        ended = CALLER_GONE
        try:
            yield
            ended = OK
        except SignupdError as error:
            ended = error.reason
            self._log_error(method, error)
            await _abort(context, error)
        except grpc.aio.BaseError:
            raise
        except Exception:  # noqa: BLE001 - the last resort: nothing may leak
            ended = INTERNAL
            self._log.exception("defect", method=method)
            await _abort(context, None)
        finally:
            if watch is not None:
                watch.end(ended, _NUMBERS[ended])

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        """Count a call while it lasts; refuse it if there are enough already."""
        if max(self._calls, self._work.under_way) >= self._limit:
            raise Overloaded
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1

    def _log_error(self, method: str, error: SignupdError) -> None:
        event = error.reason.lower()
        if error.reason in _LOUD:
            self._log.error(event, method=method, why=error.detail or repr(error))
        elif error.reason in _WORTH_A_LINE:
            self._log.warning(event, method=method, why=error.detail)


def _parse(handler: Handler, data: bytes) -> Any:
    try:
        return handler.request_deserializer(data)
    except (DecodeError, UnicodeDecodeError) as error:
        raise RequestInvalid("the request is not a message") from error


async def _abort(context: Context, error: SignupdError | None) -> None:
    code, message = STATUSES[INTERNAL if error is None else error.reason]
    details = status_of(error).SerializeToString()
    await context.abort(code, message, ((DETAILS_KEY, details),))
