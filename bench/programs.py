"""The programs of the benchmarks: those in Go are built from go/, and all are run."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from devstack.config import INHERITED
from devstack.ports import LOOPBACK
from devstack.server import TETHER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SOURCES = Path(__file__).with_name("go")

READY_SECONDS = 20.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.01
CONNECT_SECONDS = 1.0


class ProgramFailedError(Exception):
    """A program of the benchmarks could not be built, or did not do its work."""


def build(directory: Path) -> None:
    """Build the Go programs into a directory.

    Raises:
        ProgramFailedError: There is no Go, or it says why.
    """
    go = shutil.which("go")
    if go is None:
        raise ProgramFailedError("the benchmarks' load comes from a program in Go")
    flags = ["-mod=readonly", "-buildvcs=false", f"-o={directory}/"]
    done = subprocess.run(  # noqa: S603 - the machine's own Go
        [go, "build", *flags, "./..."],
        cwd=SOURCES,
        # GOFLAGS could ask for other modules, a go.work above for other versions.
        env=os.environ | {"GOFLAGS": "", "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ProgramFailedError(f"go build failed:\n{done.stderr}")


def migrate(python: str, directory: Path, settings: Mapping[str, str]) -> None:
    """Make the ledger of a version of signupd, as an operator would.

    Args:
        python: The interpreter of the environment that it is installed in.
        directory: Where it runs.
        settings: By the names of the contract without the prefix.

    Raises:
        ProgramFailedError: It failed, and says why.
    """
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    named = {f"SIGNUPD_{name}": value for name, value in settings.items()}
    done = subprocess.run(  # noqa: S603 - our own program
        [python, "-m", "signupd", "migrate"],
        cwd=directory,
        env={**inherited, **named},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ProgramFailedError(f"signupd migrate failed:\n{done.stderr}")


@contextmanager
def running(command: list[str], port: int) -> Iterator[int]:
    """Run a program that listens on a loopback port.

    Args:
        command: With the port in it.
        port: It is ready when it takes connections there.

    Yields:
        The process.

    Raises:
        ProgramFailedError: It did not come up.
    """
    tether = [sys.executable, "-I", str(TETHER), str(os.getpid())]
    with subprocess.Popen(  # noqa: S603 - our own programs
        [*tether, *command], stdin=subprocess.DEVNULL, process_group=0
    ) as process:
        try:
            _wait(process, port, command[0])
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(process: subprocess.Popen[bytes], port: int, name: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not _open(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise ProgramFailedError(f"{Path(name).name} did not come up")
        time.sleep(POLL_SECONDS)


def _open(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), CONNECT_SECONDS).close()
    except OSError:
        return False
    return True
