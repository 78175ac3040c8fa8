"""A double of our hook port: it answers as told and remembers who asked."""

import json
import uuid
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import web

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """One question of Kratos."""

    path: str
    content_type: str
    body: Any


def no(message_id: int, text: str) -> tuple[int, Json]:
    """Answer no, with a message on the address."""
    message = {"id": message_id, "text": text, "type": "info"}
    entry = {"instance_ptr": "#/traits/email", "messages": [message]}
    return 403, {"messages": [entry]}


def yes(value: str, mark: uuid.UUID) -> tuple[int, Json]:
    """Answer yes: the address verified, with the mark as its id."""
    verified = {"via": "email", "verified": True, "status": "completed"}
    address = {"id": str(mark), "value": value, **verified}
    return 200, {"identity": {"verifiable_addresses": [address]}}


PROVED = no(9999001, "proved")
UNKNOWN_FLOW = no(9999002, "unknown flow")
NOT_NOW = no(9999003, "not now")


class HookDouble:
    """The double. An asynchronous context manager.

    Args:
        port: Where to listen on loopback; 0 takes a free port.

    Attributes:
        code: Status and body of the answer to the code hook.
        password: Likewise, to the password hook. A body that is text goes out as is.
        asked: The questions, in their order.
    """

    def __init__(self, port: int = 0) -> None:
        self.code: tuple[int, Json | str] = PROVED
        self.password: tuple[int, Json | str] = UNKNOWN_FLOW
        self.asked: list[Asked] = []
        self.port = port
        app = web.Application()
        app.router.add_post("/kratos/{hook}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop listening: connections are refused."""
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """Where the hooks come in, without a path."""
        return f"http://127.0.0.1:{self.port}"

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(Asked(request.path, request.content_type, body))
        by_code = request.path == "/kratos/code"
        status, answer = self.code if by_code else self.password
        if isinstance(answer, str):
            return web.Response(status=status, text=answer, content_type="text/html")
        return web.Response(
            status=status, text=json.dumps(answer), content_type="application/json"
        )
