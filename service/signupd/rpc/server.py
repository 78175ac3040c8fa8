"""The gRPC server: our services, health and reflection."""

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from kratos_signup.v1 import account_service_pb2_grpc, signup_service_pb2_grpc

from signupd.notation import endpoint
from signupd.rpc.accounts import AccountServicer
from signupd.rpc.credentials import credentials
from signupd.rpc.interceptor import Callers, ErrorInterceptor, wall_clock
from signupd.rpc.signups import SignupServicer
from signupd.settings import Settings
from signupd.signup.deps import Dependencies
from signupd.work import Work

# The largest request is a StartSignup with 8 KiB of traits.
MAX_REQUEST_BYTES: Final = 64 * 1024
# Half of the file descriptors that a process usually has. Further ones are closed.
MAX_CONNECTIONS: Final = 512
# Also those whose request has not arrived, and health checks. Beyond it gRPC answers
# RESOURCE_EXHAUSTED without a reason.
MAX_OPEN_CALLS: Final = 10_000
SIGNUP_SERVICE: Final = "kratos_signup.v1.SignupService"
ACCOUNT_SERVICE: Final = "kratos_signup.v1.AccountService"
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


class Server:
    """Serves the contract over gRPC, with health and, if wanted, reflection.

    Every call passes the interceptor first. Nothing listens yet. The clock has
    microseconds since the Unix epoch, for the time of validity of certificates.
    """

    def __init__(
        self,
        settings: Settings,
        deps: Dependencies,
        work: Work,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self._files, self._log = settings.certificate_files, deps.log
        self._callers = callers = Callers(settings, clock)
        most = settings.max_concurrent_rpcs
        self._guard = ErrorInterceptor(deps.log, callers, work, most, deps.observer)
        options: list[tuple[str, int]] = [
            # Off, a second server on the same port is an error, not a silent rival.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
            ("grpc.max_allowed_incoming_connections", MAX_CONNECTIONS),
        ]
        if settings.max_connection_age:
            # gRPC varies it by a tenth, so that clients do not come back all at once.
            age = round(settings.max_connection_age * 1000)
            # A call may last as long as the lease that it holds.
            grace = deps.rules.lease // 1000
            options.append(("grpc.max_connection_age_ms", age))
            options.append(("grpc.max_connection_age_grace_ms", grace))
        self._server = grpc.aio.server(
            None, None, [self._guard], options, maximum_concurrent_rpcs=MAX_OPEN_CALLS
        )
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        signup_service_pb2_grpc.add_SignupServiceServicer_to_server(
            SignupServicer(deps, work, callers), self._server
        )
        account_service_pb2_grpc.add_AccountServiceServicer_to_server(
            AccountServicer(deps.kratos.admin, work), self._server
        )
        if settings.reflects:
            ours = (SIGNUP_SERVICE, ACCOUNT_SERVICE)
            names = (*ours, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)

    def listen(self, address: str) -> int:
        """Bind ``host:port`` (0 is any free port) or ``unix:path``; serve nothing yet.

        Returns the port, or 1 for a unix socket.

        Raises:
            OSError: The address is in use, or cannot be used.
            CertificatesUnusable: The certificate cannot be used.
        """
        _demand_free(address)
        try:
            if self._files is None:
                return self._server.add_insecure_port(address)
            tls = credentials(self._files, self._log)
            return self._server.add_secure_port(address, tls)
        except RuntimeError as error:
            raise OSError("gRPC cannot bind it") from error

    async def start(self) -> None:
        """Serve."""
        await self._server.start()
        services = {"SignupService": False, "AccountService": False}
        await self.tell_health({"": True, **services})

    async def tell_health(self, works: dict[str, bool]) -> None:
        """Tell watchers which services work; one open to nobody is not SERVING."""
        for name, well in works.items():
            service = name and f"kratos_signup.v1.{name}"
            serves = well and (not name or self._callers.serves(service))
            await self._health.set(service, _SERVING if serves else _NOT_SERVING)

    async def announce_stop(self) -> None:
        """Say NOT_SERVING from now on, and go on serving."""
        await self._health.enter_graceful_shutdown()

    async def stop(self, grace_seconds: float) -> None:
        """Refuse new calls, let others end, cut off what is left after the grace."""
        self._guard.end_watches()
        await self._server.stop(grace_seconds)


def _demand_free(address: str) -> None:
    """Raise OSError if an address cannot be bound; why, gRPC would only print."""
    if address.startswith("unix:"):
        return _demand_free_path(Path(address.removeprefix("unix:")))
    host, port = endpoint(address)
    fault = OSError()
    for family, kind, *_, place in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        try:
            with socket.socket(family, kind) as probe:
                # Connections of an earlier server may linger, as for gRPC.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                return probe.bind(place)
        except OSError as error:
            fault = error
    if fault.errno != errno.EAFNOSUPPORT:  # without IPv6 gRPC takes [::] for 0.0.0.0
        raise fault
    return None


def _demand_free_path(path: Path) -> None:
    """Do so for a unix socket. One that nobody serves makes way, as for gRPC."""
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(str(path)) == 0:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        if path.is_socket():
            path.unlink()
        probe.bind(str(path))
    path.unlink()
