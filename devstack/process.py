"""A server process: its directory, its log, its start and its end."""

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar, Self

from devstack.waiting import wait_until

# Generous: a loaded machine must not fail a test. A server that ends is noticed
# at once.
READY_SECONDS = 90.0
# How much of the log an error shows.
ERROR_LINES = 20
TETHER = Path(__file__).with_name("tether.py")


class ServerFailedError(Exception):
    """A server did not come up; the text ends with its log."""


class Process:
    """A server that runs beside this process. A context manager.

    It may be stopped, killed and started again; its directory stays. Started from the
    main thread it dies with this process, whatever happens to that (on Linux; elsewhere
    when Python ends in order).

    Args:
        name: For messages and the log's file name.
        directory: A directory of its own; a private temporary one, removed by `close`,
            when not given.
    """

    STOP_SIGNAL: ClassVar = signal.SIGTERM
    STOP_SECONDS: ClassVar = 10.0

    def __init__(self, name: str, directory: Path | None = None) -> None:
        self._name = name
        self._resources = ExitStack()
        self.directory = directory or Path(
            self._resources.enter_context(
                tempfile.TemporaryDirectory(prefix=f"{name.lower()}-")
            )
        )
        self.log_path = self.directory / f"{name.lower()}.log"
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
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process else None

    @property
    def ended(self) -> bool:
        """Whether it does not run."""
        return self._process is None or self._process.poll() is not None

    def start(self) -> None:
        """Start the server and wait until it is ready.

        Raises:
            ServerFailedError: It did not come up.
        """
        raise NotImplementedError

    def stop(self) -> int:
        """End the server by STOP_SIGNAL, and after STOP_SECONDS by SIGKILL.

        Returns:
            Its exit code; 0 when it did not run.
        """
        if self._process is not None:
            self._process.send_signal(self.STOP_SIGNAL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self.STOP_SECONDS)
        return self.kill()

    def kill(self) -> int:
        """End the server as a power cut would, if it still runs."""
        atexit.unregister(self.stop)
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

    def _serve(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        ready: Callable[[], bool],
    ) -> None:
        """Start the server, and return when `ready` says so."""

        def is_up() -> bool:
            if self._process is None or self._process.poll() is not None:
                raise self._failed("ended")
            return ready()

        self._process = self._spawn(command, environment)
        atexit.register(self.stop)
        try:
            wait_until(is_up, self._name, READY_SECONDS)
        except BaseException as error:
            self.kill()
            if isinstance(error, TimeoutError):
                raise self._failed(f"was not ready in {READY_SECONDS:.0f} s") from error
            raise

    def _run(
        self, command: Sequence[str], environment: Mapping[str, str], doing: str
    ) -> None:
        """Run a command to its end; its output goes to the server's log."""
        process = self._spawn(command, environment)
        try:
            if process.wait(READY_SECONDS):
                raise self._failed(f"could not {doing}")
        except subprocess.TimeoutExpired as error:
            raise self._failed(f"did not {doing} in {READY_SECONDS:.0f} s") from error
        finally:
            process.kill()
            process.wait()

    def _spawn(
        self, command: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        with self.log_path.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - the caller's own program
                [*self._tether(), *command],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C must reach the parent alone, which then stops the servers.
                process_group=0,
            )

    def _tether(self) -> list[str]:
        """Give the command that starts another one and ties it to this process."""
        # The kernel ties a child to the thread that made it, not to its process.
        if threading.current_thread() is not threading.main_thread():
            return []
        return [sys.executable, "-I", str(TETHER), str(os.getpid())]

    def _failed(self, what: str) -> ServerFailedError:
        text = f"{self._name} {what}. The end of its log:\n{self.log_tail()}"
        return ServerFailedError(text)
