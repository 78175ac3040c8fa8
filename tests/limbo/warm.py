"""A signupd that starts in no time, for tests that kill it again and again.

Most of a start is Python's imports. So they are made once, in a process that is forked
for each server (the standard library's fork server).
"""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from signupd import cli

from devstack.server import Signupd
from devstack.tether import PR_SET_PDEATHSIG

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__, "pytest"])


class WarmSignupd(Signupd):
    """One server, as `Signupd`, but forked: `kill` is a SIGKILL all the same."""

    def _spawn(
        self, command: Sequence[str], environment: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        process = FORKS.Process(
            target=_serve,
            args=(self.directory, self.log_path, environment),
            daemon=True,
        )
        process.start()
        return cast("subprocess.Popen[bytes]", _Forked(process))


class _Forked:
    """As much of a Popen as `Signupd` uses."""

    def __init__(self, process: Any) -> None:
        self._process = process
        self.pid = process.pid

    def poll(self) -> int | None:
        code: int | None = self._process.exitcode
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def wait(self, seconds: float | None = None) -> int:
        self._process.join(seconds)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired("signupd", seconds or 0.0)
        return code


def _serve(directory: Path, log_path: Path, environment: Mapping[str, str]) -> None:
    """Become the server; run in the forked process."""
    if sys.platform == "linux":
        # The fork server ends when the tests do, however they end.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.setpgid(0, 0)
    os.chdir(directory)
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["signupd", "serve"]
    cli.main()
