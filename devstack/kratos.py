"""A Kratos process."""

import atexit
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
from typing import Self

import httpx

from devstack.config import KratosConfig

MIGRATE_SECONDS = 120.0
READY_SECONDS = 60.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.05

# How much of the log an error shows.
ERROR_LINES = 20

TETHER = Path(__file__).with_name("tether.py")


class KratosFailedError(Exception):
    """Kratos did not come up, or could not migrate its database."""


class Kratos:
    """One Kratos: its database, its log and its process.

    A context manager. It may be stopped and started again: ports, database and
    secrets stay. Started from the main thread it dies with this process, whatever
    happens to that (on Linux; elsewhere when Python ends in order).

    Args:
        binary: The Kratos to run; see `devstack.binary.kratos_binary`.
        config: How to run it.
        directory: A directory of its own; a private temporary one, removed by
            `close`, when not given.
    """

    def __init__(
        self, binary: Path, config: KratosConfig, directory: Path | None = None
    ) -> None:
        self._resources = ExitStack()
        self.directory = directory or Path(
            self._resources.enter_context(tempfile.TemporaryDirectory())
        )
        self.log_path = self.directory / "kratos.log"
        self.public_url = config.public_url
        self.admin_url = config.admin_url
        self._binary = binary
        self._config = config
        self._environment: dict[str, str] = {}
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
    def version(self) -> str:
        """What the running Kratos calls itself, such as `v1.3.1`."""
        answer = httpx.get(f"{self.admin_url}/admin/version", trust_env=False)
        return str(answer.raise_for_status().json()["version"])

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Migrate the database, start the server and wait until it is ready.

        Raises:
            KratosFailedError: It did not come up; the text ends with its log.
        """
        if self._process is not None:
            return
        if not self._environment:
            self._environment = self._config.environment(self.directory)
        file = str(self._config.write(self.directory))
        try:
            self._run("migrate", "sql", "-e", "--yes", "-c", file)
            dev = ("--dev",) if self._config.dev else ()
            self._process = self._spawn("serve", "--watch-courier", *dev, "-c", file)
            atexit.register(self.stop)
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server: politely, then, after ten seconds, for good."""
        atexit.unregister(self.stop)
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        # A stopped (SIGSTOP) or stuck one does not hear SIGTERM.
        process.kill()
        process.wait()

    def kill(self) -> None:
        """End the server as a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
        self.stop()

    def close(self) -> None:
        """End the server and remove its temporary directory."""
        self.stop()
        self._resources.close()

    def log_tail(self) -> str:
        """Read the last lines of the log."""
        lines = self.log_path.read_text(encoding="utf-8", errors="replace")
        return "\n".join(lines.splitlines()[-ERROR_LINES:])

    def _run(self, *arguments: str) -> None:
        process = self._spawn(*arguments)
        try:
            if process.wait(MIGRATE_SECONDS):
                raise self._failed("Kratos could not migrate its database")
        except subprocess.TimeoutExpired as error:
            raise self._failed("Kratos did not finish its migrations") from error
        finally:
            process.kill()
            process.wait()

    def _spawn(self, *arguments: str) -> subprocess.Popen[bytes]:
        command = [str(self._binary), *arguments]
        # The kernel ties a child to the thread that made it, not to its process.
        if threading.current_thread() is threading.main_thread():
            tether = [sys.executable, "-I", str(TETHER), str(os.getpid())]
            command = tether + command
        with self.log_path.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the caller's own binary
                command,
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C must reach the parent alone, which then stops Kratos.
                process_group=0,
            )

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._ready():
            if self._process is None or self._process.poll() is not None:
                raise self._failed("Kratos ended")
            if time.monotonic() > deadline:
                raise self._failed(f"Kratos was not ready in {READY_SECONDS:.0f} s")
            time.sleep(POLL_SECONDS)

    def _ready(self) -> bool:
        with contextlib.suppress(httpx.TransportError):
            url = f"{self.admin_url}/admin/health/ready"
            return httpx.get(url, trust_env=False).is_success
        return False

    def _failed(self, what: str) -> KratosFailedError:
        return KratosFailedError(f"{what}. The end of its log:\n{self.log_tail()}")
