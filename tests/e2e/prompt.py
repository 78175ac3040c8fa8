"""A program on a terminal of its own."""

import contextlib
import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

WAIT_SECONDS = 90.0  # a newer Kratos makes its tables in up to a minute
READ_BYTES = 4096


class Prompt:
    """One program on a pseudo-terminal. A context manager."""

    def __init__(
        self, *command: str, directory: Path, environment: Mapping[str, str]
    ) -> None:
        self._ours, theirs = pty.openpty()
        self._seen = ""
        self._read = 0
        try:
            # In a session of its own, so that it finds no other terminal than this.
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                command,
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                cwd=directory,
                env=environment,
                start_new_session=True,
            )
        finally:
            os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._ours)

    @property
    def seen(self) -> str:
        """All that was on the terminal, with what was typed if it is echoed."""
        return self._seen

    def expect(self, text: str) -> None:
        """Wait for a text after the one that was waited for last."""
        deadline = time.monotonic() + WAIT_SECONDS
        while (found := self._seen.find(text, self._read)) < 0:
            if not self._more(deadline):
                raise AssertionError(f"no {text!r} in {self._seen!r}")
        self._read = found + len(text)

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._ours, f"{line}\n".encode())

    def end(self) -> int:
        """Read to the program's end; return its exit code."""
        deadline = time.monotonic() + WAIT_SECONDS
        while self._more(deadline):
            pass
        return self._process.wait(WAIT_SECONDS)

    def _more(self, deadline: float) -> bool:
        """Read what has come; return whether anything came in time."""
        left = max(0.0, deadline - time.monotonic())
        if not select.select([self._ours], [], [], left)[0]:
            return False
        chunk = b""
        # Linux raises this when the other end is closed.
        with contextlib.suppress(OSError):
            chunk = os.read(self._ours, READ_BYTES)
        self._seen += chunk.decode()
        return bool(chunk)
