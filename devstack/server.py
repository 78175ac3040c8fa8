"""A signupd process, as an operator would run it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from devstack.config import INHERITED
from devstack.ports import LOOPBACK, free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping

READY_SECONDS = 20.0
STOP_SECONDS = 40.0
POLL_SECONDS = 0.05
CHECK_SECONDS = 1.0

# How much of the log an error shows.
ERROR_LINES = 20

TETHER = Path(__file__).with_name("tether.py")
# A proxy of the environment is not for this machine's own ports.
NO_PROXY = (("grpc.enable_http_proxy", 0),)


class SignupdFailedError(Exception):
    """The server did not come up; the text ends with its log."""


class Signupd:
    """One server: its ledger, its log and its process.

    A context manager. It may be stopped, killed and started again: ports, ledger and
    keys stay. Started from the main thread it dies with this process, whatever happens
    to that (on Linux).

    Args:
        public_url: Kratos' public API.
        admin_url: Kratos' admin API.
        hook_port: Where Kratos' hooks come in; a free port where none is given.
        directory: A directory of its own; a private temporary one when not given.
        settings: Further settings, by the names of the contract without the prefix.
        port: Where to serve; a free port where none is given.
        environment: Further variables of the process, by their whole names.
        python: The interpreter of the environment that signupd is installed in.
    """

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
        self._resources = ExitStack()
        self.directory = directory or Path(
            self._resources.enter_context(tempfile.TemporaryDirectory())
        )
        self.log_path = self.directory / "signupd.log"
        free = free_ports(3)
        self.hook_port = hook_port or free[0]
        self.target = f"{LOOPBACK}:{port or free[1]}"
        self.metrics_url = f"http://{LOOPBACK}:{free[2]}/metrics"
        self._environment = environment or {}
        self._python = python
        self._settings = {
            "LISTEN": self.target,
            "HOOK_LISTEN": f"{LOOPBACK}:{self.hook_port}",
            "KRATOS_PUBLIC_URL": public_url,
            "KRATOS_ADMIN_URL": admin_url,
            "LEDGER_URL": f"sqlite:///{self.directory}/signupd.db",
            "METRICS_LISTEN": f"{LOOPBACK}:{free[2]}",
            "LOG_FORMAT": "json",
            **(settings or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def settings(self) -> Mapping[str, str]:
        """All that it is started with, by the names of the contract."""
        return self._settings

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the server and wait until its health service says SERVING.

        Raises:
            SignupdFailedError: It did not come up.
        """
        inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
        named = {f"SIGNUPD_{name}": value for name, value in self._settings.items()}
        command = [self._python, "-m", "signupd", "serve"]
        # The kernel ties a child to the thread that made it, not to its process.
        if threading.current_thread() is threading.main_thread():
            command = [sys.executable, "-I", str(TETHER), str(os.getpid()), *command]
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command,
                cwd=self.directory,
                # Ctrl-C is for us; we stop the server when its turn has come.
                process_group=0,
                env={**inherited, **named, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_serving()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> int:
        """End the server with SIGTERM and give its exit code."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        return self.kill()

    def kill(self) -> int:
        """End the server as a power cut would, if it still runs."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.kill()
        return process.wait()

    def close(self) -> None:
        """End the server and remove its temporary directory."""
        self.stop()
        self._resources.close()

    def log(self) -> str:
        """Read the whole log."""
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def log_tail(self) -> str:
        """Read the last lines of the log."""
        return "\n".join(self.log().splitlines()[-ERROR_LINES:])

    def _wait_until_serving(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        with grpc.insecure_channel(self.target, NO_PROXY) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            while not _serving(health):
                if self._process is None or self._process.poll() is not None:
                    raise self._failed("signupd ended")
                if time.monotonic() > deadline:
                    raise self._failed("signupd did not begin to serve")
                time.sleep(POLL_SECONDS)

    def _failed(self, what: str) -> SignupdFailedError:
        return SignupdFailedError(f"{what}. The end of its log:\n{self.log_tail()}")


def _serving(health: health_pb2_grpc.HealthStub) -> bool:
    try:
        answer = health.Check(  # type: ignore[attr-defined]
            health_pb2.HealthCheckRequest(), timeout=CHECK_SECONDS
        )
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
