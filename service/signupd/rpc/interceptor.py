"""Errors become statuses here, and nowhere else. Unreadable bytes end here."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf.message import DecodeError

from signupd.errors import Overloaded, RequestInvalid, SignupdError
from signupd.rpc.callers import HEALTH, OURS
from signupd.rpc.statuses import DETAILS_KEY, INTERNAL, STATUSES, status_of
from signupd.telemetry.observer import CALLER_GONE, OK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    import structlog

    from signupd.rpc.callers import Callers
    from signupd.telemetry.observer import Observer
    from signupd.work import Work

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}
# gRPC's number of the status, by the reason that a call ended with; for observers.
_NUMBERS: Final[dict[str, int]] = {
    OK: grpc.StatusCode.OK.value[0],
    CALLER_GONE: grpc.StatusCode.CANCELLED.value[0],
    **{reason: row.code.value[0] for reason, row in STATUSES.items()},
}
# Errors that an operator must see.
_LOUD: Final = frozenset({INTERNAL, "KRATOS_INCOMPATIBLE"})
_WORTH_A_LINE: Final = frozenset(
    {"CALLER_NOT_PERMITTED", "KRATOS_UNAVAILABLE", "LEDGER_UNAVAILABLE"}
)

Context = grpc.aio.ServicerContext[Any, Any]
Handler = Any  # grpc.RpcMethodHandler, whose stubs lack the behaviour's attributes


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns our errors into statuses, and any other exception into a bare INTERNAL.

    grpc.aio by itself sends an exception's text to the caller, and the parser's text
    for bytes that are not a message. So requests are parsed here.

    It also refuses callers without permission, and calls beyond the limit, before
    anything is parsed. grpc's own limit refuses health checks too, and gives no reason.

    Args:
        log: Gets defects and Kratos' errors; callers get a reason only.
        callers: Decides which caller may call a method.
        work: Goes on when its callers are gone, so it is counted too.
        most: How many calls, and pieces of work, may be under way at once.
        observer: Observes every call of our services.
    """

    def __init__(
        self,
        log: structlog.typing.FilteringBoundLogger,
        callers: Callers,
        work: Work,
        most: int,
        observer: Observer,
    ) -> None:
        self._log = log
        self._callers = callers
        self._work = work
        self._most = most
        self._observer = observer
        self._calls = 0
        self._guarded: dict[str, Handler] = {}

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler:
        """Guard the handlers of our services, and reflection; leave health alone."""
        method: str = handler_call_details.method
        if guarded := self._guarded.get(method):
            return guarded
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        return self._guarded.setdefault(
            method, self._guarded_by(method)(method, handler)
        )

    def _guarded_by(self, method: str) -> Callable[[str, Handler], Handler]:
        if method.startswith(HEALTH):
            return self._guard_health
        return self._guard if method.startswith(OURS) else self._guard_reflection

    def _guard(self, method: str, handler: Handler) -> Handler:
        async def behaviour(data: bytes, context: Context) -> Any:
            watch = self._observer.rpc(method, context.invocation_metadata)
            ended = CALLER_GONE
            try:
                self._callers.admit(method, context)
                with self._admitted():
                    answer = await handler.unary_unary(_parse(handler, data), context)
                ended = OK
            except SignupdError as error:
                ended = error.reason
                self._note(method, error)
                await _abort(context, error)
            except grpc.aio.BaseError:
                raise
            except Exception:  # noqa: BLE001 - the last resort: nothing may leak
                ended = INTERNAL
                self._log.exception("defect", method=method)
                await _abort(context, None)
            else:
                return answer
            finally:
                watch.end(ended, _NUMBERS[ended])

        return grpc.unary_unary_rpc_method_handler(
            behaviour,
            request_deserializer=None,
            response_serializer=handler.response_serializer,
        )

    def _guard_reflection(self, method: str, handler: Handler) -> Handler:
        async def behaviour(
            requests: AsyncIterator[bytes], context: Context
        ) -> AsyncIterator[Any]:
            async with self._silenced(method, context):
                self._callers.admit(method, context)
                parsed = (_parse(handler, data) async for data in requests)
                async for answer in handler.stream_stream(parsed, context):
                    yield answer

        return grpc.stream_stream_rpc_method_handler(
            behaviour,
            request_deserializer=None,
            response_serializer=handler.response_serializer,
        )

    def _guard_health(self, method: str, handler: Handler) -> Handler:
        """Guard health checks, which are open to anybody and never shed."""
        check = handler.unary_unary or handler.unary_stream

        async def behaviour(data: bytes, context: Context) -> Any:
            async with self._silenced(method, context):
                # Who watches is written to inside, and gets no answer from here.
                return await check(_parse(handler, data), context)

        made = (
            grpc.unary_unary_rpc_method_handler
            if handler.unary_unary
            else grpc.unary_stream_rpc_method_handler
        )
        return made(
            behaviour,
            request_deserializer=None,
            response_serializer=handler.response_serializer,
        )

    @contextlib.asynccontextmanager
    async def _silenced(self, method: str, context: Context) -> AsyncIterator[None]:
        """Turn whatever goes wrong inside into a status."""
        try:
            yield
        except SignupdError as error:
            self._note(method, error)
            await _abort(context, error)
        except grpc.aio.BaseError:
            raise
        except Exception:  # noqa: BLE001 - the last resort: nothing may leak
            self._log.exception("defect", method=method)
            await _abort(context, None)

    @contextlib.contextmanager
    def _admitted(self) -> Iterator[None]:
        """Count a call while it lasts.

        Raises:
            Overloaded: There are enough already.
        """
        if max(self._calls, self._work.under_way) >= self._most:
            raise Overloaded
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1

    def _note(self, method: str, error: SignupdError) -> None:
        if error.reason in _LOUD:
            self._log.error(
                error.reason.lower(), method=method, why=error.detail or repr(error)
            )
        elif error.reason in _WORTH_A_LINE:
            self._log.warning(error.reason.lower(), method=method, why=error.detail)


def _parse(handler: Handler, data: bytes) -> Any:
    try:
        return handler.request_deserializer(data)
    except (DecodeError, UnicodeDecodeError) as error:
        raise RequestInvalid("the request is not a message") from error


async def _abort(context: Context, error: SignupdError | None) -> None:
    status = status_of(error)
    metadata = ((DETAILS_KEY, status.SerializeToString()),)
    await context.abort(_CODES[status.code], status.message, metadata)
