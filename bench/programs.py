"""The programs of the benchmarks: those in Go are built from go/, and all are run."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from devstack.config import inherited
from devstack.ports import LOOPBACK
from devstack.process import Process

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCES = Path(__file__).with_name("go")
CONNECT_SECONDS = 1.0


class BuildFailedError(Exception):
    """The Go programs of the benchmarks could not be built."""


class Program(Process):
    """A program of the benchmarks that listens on a loopback port.

    Args:
        name: Of its log.
        command: With the port in it.
        port: It is ready when it takes connections there.
    """

    def __init__(self, name: str, command: Sequence[str], port: int) -> None:
        super().__init__(name)
        self._command = command
        self._port = port

    def start(self) -> None:
        """Start the program and wait until it takes connections."""
        self._serve(self._command, inherited(), self._listens)

    def _listens(self) -> bool:
        try:
            socket.create_connection((LOOPBACK, self._port), CONNECT_SECONDS).close()
        except OSError:
            return False
        return True


def build(directory: Path) -> None:
    """Build the Go programs into a directory.

    Raises:
        BuildFailedError: There is no Go, or it says why.
    """
    go = shutil.which("go")
    if go is None:
        raise BuildFailedError("the stand-in for Kratos is a program in Go: install Go")
    done = subprocess.run(  # noqa: S603 - the machine's own Go
        [go, "build", "-mod=readonly", "-buildvcs=false", f"-o={directory}/", "./..."],
        cwd=SOURCES,
        # GOFLAGS could ask for other modules, a go.work above for other versions.
        env=os.environ | {"GOFLAGS": "", "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildFailedError(f"go build failed:\n{done.stderr}")
