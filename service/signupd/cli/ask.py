"""Asking a person, or whatever writes to standard input, for a code."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from signupd.address import Address

MAX_LINE_BYTES: Final = 256


def for_code(
    address: Address, timeout_seconds: float, *, piped: bool
) -> Callable[[], Awaitable[str]]:
    """Make the way to ask for a code: at the terminal, in a pipe, or not at all.

    Args:
        address: Where it was mailed to.
        timeout_seconds: How long to wait for it.
        piped: Whether it is written to standard input, without being asked for.

    Returns:
        What asks. Its answer is empty where there was none.
    """

    async def asked() -> str:
        if not (piped or sys.stdin.isatty()):
            return ""
        if not piped:
            typer.echo(f"Code mailed to {address.masked}: ", nl=False, err=True)
        try:
            async with asyncio.timeout(timeout_seconds):
                return await line()
        except TimeoutError:
            return ""

    return asked


async def line() -> str:
    """Read a line from standard input, without its surrounding spaces.

    Returns:
        Empty where there is none any more.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    def read() -> None:
        got = _read(sys.stdin.fileno())
        with contextlib.suppress(RuntimeError):  # nobody waits for it any more
            loop.call_soon_threadsafe(_settle, answer, got)

    # Not the loop's own threads: it would wait for them when it is told to stop.
    threading.Thread(target=read, daemon=True).start()
    return (await answer).decode(errors="replace").strip()


def _read(descriptor: int) -> bytes:
    """Read up to a line's end.

    Straight from the descriptor: a daemon thread that stands in a reader's lock when
    Python ends would crash it.
    """
    got = b""
    while not got.endswith(b"\n") and len(got) < MAX_LINE_BYTES:
        part = os.read(descriptor, MAX_LINE_BYTES)
        if not part:
            break
        got += part
    return got


def _settle(answer: asyncio.Future[bytes], got: bytes) -> None:
    if not answer.done():
        answer.set_result(got)
