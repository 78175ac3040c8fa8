"""Asks a person, or a program at standard input, for the code in the canary's mail."""

import asyncio
import os
import sys
from contextlib import suppress
from typing import Final

import typer

from signupd.address import Address

MAX_LINE_BYTES: Final = 256


async def ask_for_code(address: Address, timeout_seconds: float, *, piped: bool) -> str:
    """Ask for the code in a mailbox; it is empty if nobody can be asked or answers.

    A standard input that is not a terminal is read only if ``piped``.
    """
    if not (piped or sys.stdin.isatty()):
        return ""
    if not piped:
        typer.echo(f"Code mailed to {address.masked}: ", nl=False, err=True)
    line, descriptor = b"", sys.stdin.fileno()
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_seconds):
            while not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES:
                await _readable(descriptor)
                part = os.read(descriptor, MAX_LINE_BYTES)
                if not part:
                    break
                line += part
            return line.decode(errors="replace").strip()
    return ""


async def _readable(descriptor: int) -> None:
    """Wait for input or its end. A thread that waits would keep Ctrl-C from ending."""
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except PermissionError:
        return  # a file is always readable, and cannot be watched
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
