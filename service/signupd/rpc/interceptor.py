"""What every call passes: who calls, and may they; limits; errors become statuses.

With mutual TLS the certificates decide. CALLERS lists their names; without CALLERS
SignupService is open to every certificate and AccountService to none, on loopback too.
Without mutual TLS AccountService answers only on loopback and unix sockets.
"""

import asyncio
import contextlib
import functools
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import structlog
from google.protobuf.message import DecodeError
from structlog.contextvars import bind_contextvars

from signupd.certificates import names_and_validity
from signupd.errors import CallerNotPermitted, Overloaded, RequestInvalid, SignupdError
from signupd.policy.rules import SECOND
from signupd.rpc.statuses import DETAILS_KEY, INTERNAL, STATUSES, status_of
from signupd.settings import Settings
from signupd.telemetry.observer import CALLER_GONE, OK, Observer, rpc_labels
from signupd.work import Work

Context = grpc.aio.ServicerContext[Any, Any]
OURS: Final = "/kratos_signup.v1."
# Clients and probes ask it before they know whether they may ask anything else.
HEALTH: Final = "/grpc.health.v1.Health/"
# What the ledger's column holds.
MAX_CALLER_CHARS: Final = 255
MAX_PEERS_KEPT: Final = 256  # some KiB each
_ACCOUNTS: Final = f"{OURS}AccountService/"
# Health streams at once, which last as long as their callers want.
MAX_WATCHES: Final = 256
# Errors that an operator must see.
LOUD: Final = frozenset({INTERNAL, "KRATOS_INCOMPATIBLE"})
_WORTH_A_LINE: Final = frozenset(
    {"CALLER_NOT_PERMITTED", "KRATOS_UNAVAILABLE", "LEDGER_UNAVAILABLE"}
)
Handler = Any  # grpc.RpcMethodHandler, whose stubs lack the behaviour's attributes


def wall_clock() -> int:
    """Return the machine's time, which the TLS library goes by too."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection, by its certificate."""

    names: frozenset[str] = frozenset()
    caller: str = ""  # identifies it, in at most 255 characters
    valid: range = range(0)  # seconds since the Unix epoch


class Callers:
    """Tells callers apart, and what each may call.

    ``clock`` returns microseconds since the Unix epoch.
    """

    def __init__(self, settings: Settings, clock: Callable[[], int]) -> None:
        self._mutual = settings.tls_client_ca is not None
        self._accounts_open = settings.listens_locally and not self._mutual
        self._grants = settings.callers
        self._clock = clock
        # Each call brings its certificate along, and a caller makes many.
        self.peer_of = functools.lru_cache(MAX_PEERS_KEPT)(self._peer_of)

    def serves(self, service: str) -> bool:
        """Return whether some caller may call some method of ``package.Service``."""
        prefix = f"/{service}/"
        if self._grants is None:
            return self._accounts_open or prefix != _ACCOUNTS
        methods = frozenset().union(*self._grants.values())
        return any(f"{OURS}{method}".startswith(prefix) for method in methods)

    def peer(self, context: Context) -> Peer:
        """Return who makes a call."""
        if not self._mutual:
            return Peer()
        (certificate,) = context.auth_context()["x509_pem_cert"]
        return self.peer_of(certificate)

    def admit(self, method: str, context: Context) -> None:
        """Let a call in, or raise CallerNotPermitted."""
        peer = self.peer(context)
        nameless = "a certificate without a name" if self._mutual else "anybody"
        who = peer.caller if peer.names else nameless
        # TLS looks only when a session begins. Connections and resumed sessions go on.
        if self._mutual and self._clock() // SECOND not in peer.valid:
            raise CallerNotPermitted(f"the certificate of {who} is not valid now")
        if not self._permits(method, peer.names):
            raise CallerNotPermitted(f"not open to {who}")

    def _permits(self, method: str, names: frozenset[str]) -> bool:
        if self._grants is None:
            return self._accounts_open or not method.startswith(_ACCOUNTS)
        granted = [self._grants[name] for name in names & self._grants.keys()]
        if not method.startswith(OURS):
            # Reflection is open to every caller that may call anything.
            return bool(granted)
        return any(method.removeprefix(OURS) in methods for methods in granted)

    def _peer_of(self, certificate: bytes) -> Peer:
        """Return whom a certificate, in PEM, stands for.

        A caller is known by those of its names that CALLERS lists, so the others may
        change; by all its names if CALLERS lists none of them; by the certificate
        itself if it has no name.
        """
        names, valid = names_and_validity(certificate)
        known = names & self._grants.keys() if self._grants else names
        caller = " ".join(sorted(known or names)) or certificate.decode()
        if len(caller) > MAX_CALLER_CHARS:
            # No name begins like that, so no other caller has it.
            caller = f"#{hashlib.sha256(caller.encode()).hexdigest()}"
        return Peer(names, caller, valid)


@dataclass(eq=False)
class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns our errors into statuses, and any other exception into a bare INTERNAL.

    grpc.aio by itself sends an exception's text to the caller, and the parser's text
    for bytes that are not a message. So requests are parsed here.

    It also refuses callers without permission, and calls beyond the limit, before
    anything is parsed. grpc's own limit refuses health checks too, and gives no reason.
    Work goes on when its callers are gone, so the limit counts it too.
    """

    log: structlog.typing.FilteringBoundLogger
    callers: Callers
    work: Work
    limit: int
    observer: Observer
    _calls: int = field(default=0, init=False)
    _watches: set[asyncio.Timeout] = field(default_factory=set, init=False)
    _watch_seconds: float | None = field(default=None, init=False)
    _guarded: dict[str, Handler] = field(default_factory=dict, init=False)

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
        if method.startswith(HEALTH) and handler.unary_stream:
            make, guard = grpc.unary_stream_rpc_method_handler, self._watch_health
        elif method.startswith(HEALTH):
            guard = self._check_health
        elif not method.startswith(OURS):
            make, guard = grpc.stream_stream_rpc_method_handler, self._reflect
        return make(
            functools.partial(guard, method, handler),
            request_deserializer=None,
            response_serializer=handler.response_serializer,
        )

    async def _call(
        self, method: str, handler: Handler, data: bytes, context: Context
    ) -> Any:
        """Guard a call of our services."""
        async with self._errors_as_statuses(method, context, self.observer):
            self.callers.admit(method, context)
            if caller := self.callers.peer(context).caller:
                bind_contextvars(caller=caller)
            if max(self._calls, len(self.work.tasks)) >= self.limit:
                raise Overloaded
            self._calls += 1
            try:
                return await handler.unary_unary(_parse(handler, data), context)
            finally:
                self._calls -= 1

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
            if len(self._watches) >= MAX_WATCHES:
                raise Overloaded
            limit = asyncio.timeout(self._watch_seconds)
            self._watches.add(limit)
            try:
                async with limit:
                    await handler.unary_stream(_parse(handler, data), context)
            except TimeoutError:
                pass  # the server stops
            finally:
                self._watches.remove(limit)

    def end_watches(self) -> None:
        """End the watches of health, also those to come, which would delay the end."""
        self._watch_seconds = 0
        for limit in self._watches:
            limit.reschedule(0)

    async def _reflect(
        self,
        method: str,
        handler: Handler,
        requests: AsyncIterator[bytes],
        context: Context,
    ) -> AsyncIterator[Any]:
        """Guard reflection."""
        async with self._errors_as_statuses(method, context):
            self.callers.admit(method, context)
            parsed = (_parse(handler, data) async for data in requests)
            async for answer in handler.stream_stream(parsed, context):
                yield answer

    @contextlib.asynccontextmanager
    async def _errors_as_statuses(
        self, method: str, context: Context, observer: Observer | None = None
    ) -> AsyncIterator[None]:
        """Turn whatever goes wrong inside into a status; tell an observer about it."""
        ended, code = CALLER_GONE, grpc.StatusCode.CANCELLED
        begun, span = time.monotonic(), None
        if observer is not None:
            labels = rpc_labels(method)
            observer.started.labels(*labels).inc()
        if observer is not None and observer.tracing is not None:
            metadata = context.invocation_metadata() or ()
            span = observer.tracing.rpc(method, metadata)
            bind_contextvars(**span.ids)  # each call has a task, and so a context
        try:
            yield
            ended, code = OK, grpc.StatusCode.OK
        except SignupdError as error:
            ended, code = error.reason, STATUSES[error.reason].code
            self._log_error(method, error)
            await _abort(context, error)
        except grpc.aio.BaseError:
            raise
        except Exception:
            ended, code = INTERNAL, grpc.StatusCode.INTERNAL
            self.log.exception("defect", method=method)
            await _abort(context, None)
        finally:
            if observer is not None:
                observer.handling.labels(*labels).observe(time.monotonic() - begun)
                observer.handled.labels(*labels, code.name).inc()
                observer.reasons.labels(labels[-1], ended).inc()
            if span is not None:
                span.end(ended, code.name)

    def _log_error(self, method: str, error: SignupdError) -> None:
        event = error.reason.lower()
        if error.reason in LOUD:
            self.log.error(event, method=method, why=error.detail or repr(error))
        elif error.reason in _WORTH_A_LINE:
            self.log.warning(event, method=method, why=error.detail)


def _parse(handler: Handler, data: bytes) -> Any:
    try:
        return handler.request_deserializer(data)
    except (DecodeError, UnicodeDecodeError) as error:
        raise RequestInvalid("the request is not a message") from error


async def _abort(context: Context, error: SignupdError | None) -> None:
    code, message = STATUSES[INTERNAL if error is None else error.reason]
    details = status_of(error).SerializeToString()
    await context.abort(code, message, ((DETAILS_KEY, details),))
