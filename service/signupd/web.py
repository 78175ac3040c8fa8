"""Serving a small web application on an address of ours."""

from __future__ import annotations

from aiohttp import web

from signupd.notation import endpoint


async def listen(runner: web.AppRunner, address: str) -> int:
    """Serve a web application until its runner is cleaned up.

    Args:
        runner: Of the application.
        address: ``host:port``; port 0 takes a free one.

    Returns:
        The port.

    Raises:
        OSError: The address cannot be had.
    """
    await runner.setup()
    await web.TCPSite(runner, *endpoint(address)).start()
    return int(runner.addresses[0][1])
