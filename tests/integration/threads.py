"""The threads that aiosqlite works in."""

from __future__ import annotations

import asyncio
import threading


async def at_rest() -> None:
    """Wait for the threads of connections that came to nothing."""
    for thread in threading.enumerate():
        if "connection_worker" in thread.name:
            await asyncio.to_thread(thread.join)
