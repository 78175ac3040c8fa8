"""A signupd process, as an operator would run it."""

import sys
from collections.abc import Mapping
from pathlib import Path

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from devstack.config import inherited
from devstack.ports import LOOPBACK, free_ports
from devstack.process import Process
from devstack.waiting import wait_until

# Of a single health check; it looks at the ledger.
CHECK_SECONDS = 10.0
# A proxy of the environment is not for this machine's own ports.
NO_PROXY = (("grpc.enable_http_proxy", 0),)
# gRPC waits a second before it connects again, about as long as a server starts.
IMPATIENT = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
)


class Signupd(Process):
    """One signupd. After a restart it has the same ports, ledger and keys.

    Args:
        public_url: Kratos' public API.
        admin_url: Kratos' admin API.
        hook_port: Where Kratos' hooks come in; a free port where none is given.
        port: Where to serve; a free port where none is given.
        directory: As of `Process`.
        settings: Further settings, by the names of the contract without the prefix.
        environment: Further variables of the process, by their whole names.
        python: The interpreter of the environment that signupd is installed in.
    """

    # Longer than DRAIN_TIMEOUT.
    STOP_SECONDS = 40.0

    def __init__(  # noqa: PLR0913 - each is a thing of its own
        self,
        public_url: str,
        admin_url: str,
        *,
        hook_port: int | None = None,
        port: int | None = None,
        directory: Path | None = None,
        settings: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        python: str = sys.executable,
    ) -> None:
        super().__init__("signupd", directory)
        free = free_ports(3)
        self.hook_port = hook_port or free[0]
        self.target = f"{LOOPBACK}:{port or free[1]}"
        self.metrics_url = f"http://{LOOPBACK}:{free[2]}/metrics"
        self._python = python
        self.settings: Mapping[str, str] = {
            "LISTEN": self.target,
            "HOOK_LISTEN": f"{LOOPBACK}:{self.hook_port}",
            "KRATOS_PUBLIC_URL": public_url,
            "KRATOS_ADMIN_URL": admin_url,
            "LEDGER_URL": f"sqlite:///{self.directory}/signupd.db",
            "METRICS_LISTEN": f"{LOOPBACK}:{free[2]}",
            "LOG_FORMAT": "json",
            "DRAIN_WAIT": "0s",  # no balancer is there to notice
            **(settings or {}),
        }
        named = {f"SIGNUPD_{name}": value for name, value in self.settings.items()}
        self._environment = {**inherited(), **named, **(environment or {})}

    def start(self) -> None:
        """Start the server and wait until its health service says SERVING."""
        options = (*NO_PROXY, *IMPATIENT)
        with grpc.insecure_channel(self.target, options) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            command = self._command("serve")
            self._serve(command, self._environment, lambda: _serving(health))

    def wait_for_proof(self) -> None:
        """Wait until the server knows by itself that Kratos asks its hook."""

        def proved() -> bool:
            page = httpx.get(self.metrics_url, trust_env=False).text
            return "\nsignupd_password_hook_proved 1.0\n" in page

        wait_until(proved, "the proof")

    def migrate(self) -> None:
        """Make the tables of the ledger, as an operator does for PostgreSQL."""
        self._run(self._command("migrate"), self._environment, "migrate its ledger")

    def _command(self, name: str) -> list[str]:
        return [self._python, "-m", "signupd", name]


def _serving(health: health_pb2_grpc.HealthStub) -> bool:
    try:
        answer = health.Check(  # type: ignore[attr-defined]
            health_pb2.HealthCheckRequest(), timeout=CHECK_SECONDS
        )
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
