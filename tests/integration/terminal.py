"""A terminal with somebody in front of it, who reads and types."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

WAIT_SECONDS = 60.0
CHUNK_BYTES = 65536


class Terminal:
    """A process on a terminal of its own. An asynchronous context manager.

    Args:
        command: What to run.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._text = ""
        self._news = asyncio.Event()
        self._master = -1
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        self._master, slave = pty.openpty()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
            )
        finally:
            os.close(slave)
        asyncio.get_running_loop().add_reader(self._master, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        if self._running.returncode is None:
            self._running.kill()
            await self._running.wait()
        os.close(self._master)

    async def reads(self, text: str) -> None:
        """Wait until a text is on the screen, or was."""
        async with asyncio.timeout(WAIT_SECONDS):
            while text not in self._text:
                self._news.clear()
                await self._news.wait()

    def types(self, line: str) -> None:
        """Type a line."""
        os.write(self._master, f"{line}\n".encode())

    def interrupts(self) -> None:
        """Press Ctrl-C."""
        self._running.send_signal(signal.SIGINT)

    async def ends(self) -> int:
        """Wait for the end; give the exit code."""
        async with asyncio.timeout(WAIT_SECONDS):
            return await self._running.wait()

    @property
    def text(self) -> str:
        """All that was ever on the screen."""
        return self._text

    @property
    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("enter it first")
        return self._process

    def _read(self) -> None:
        try:
            self._text += os.read(self._master, CHUNK_BYTES).decode(errors="replace")
        except OSError:  # nobody is at the other end any more
            asyncio.get_running_loop().remove_reader(self._master)
        self._news.set()
