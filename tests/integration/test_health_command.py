"""``signupd health``, which a container asks about itself."""

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from signupd.cli import app
from typer.testing import CliRunner


@pytest.mark.parametrize(
    ("status", "text", "code"),
    [(200, "ready\n", 0), (503, "no ledger\n", 1), (503, "not serving\n", 1)],
)
async def test_answer(status: int, text: str, code: int) -> None:
    """It shows what the server says of itself, and fails unless that is well."""

    async def readyz(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text)

    served = web.Application()
    served.router.add_get("/readyz", readyz)
    async with TestServer(served) as server:
        seen = await asyncio.to_thread(ask, f"0.0.0.0:{server.port}")

    assert (code, text, "") == seen


@pytest.mark.parametrize(
    ("listen", "code", "why"),
    [
        ("127.0.0.1:1", 1, "no answer at 127.0.0.1:1"),
        ("", 2, "METRICS_LISTEN is empty"),
    ],
)
def test_nobody_to_ask(listen: str, code: int, why: str) -> None:
    """Without a server, or without a port to ask at, it fails and says so."""
    seen, shown, complaint = ask(listen)

    assert (code, "") == (seen, shown)
    assert why in complaint


def ask(listen: str) -> tuple[int, str, str]:
    """Run the command beside a server that listens there."""
    env = {"SIGNUPD_METRICS_LISTEN": listen}
    done = CliRunner().invoke(app, ["health"], env=env)
    return done.exit_code, done.stdout, done.stderr
