"""Asking a person, or whatever writes to standard input, for a code."""

from __future__ import annotations

import asyncio
import os
import sys
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
        Empty at the end of the input.
    """
    descriptor, got = sys.stdin.fileno(), b""
    while not got.endswith(b"\n") and len(got) < MAX_LINE_BYTES:
        await _readable(descriptor)
        part = os.read(descriptor, MAX_LINE_BYTES)
        if not part:
            break
        got += part
    return got.decode(errors="replace").strip()


async def _readable(descriptor: int) -> None:
    """Wait until there is something to read, or the input has ended."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except PermissionError:
        return  # a file, which is always readable and cannot be watched
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
