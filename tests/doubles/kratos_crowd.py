"""A double of Kratos' admin API that is full of people, and lists them page by page.

Its identities and sessions are held against a real one's by tests/e2e/test_orphans.py.
"""

from __future__ import annotations

import bisect
import json
import uuid
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final, Self

from aiohttp import web

from tests.doubles.people import person

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from aiohttp.typedefs import Handler

Json = dict[str, Any]

FIRST: Final = uuid.UUID(int=0)
# What stands for everybody who is not worth an object: somebody with a password.
EVERYMAN: Final = json.dumps(person("everyman@example.com", password="hash"))
EVERYMANS_ID: Final = json.loads(EVERYMAN)["id"]


class Crowd:
    """The double. An asynchronous context manager.

    Attributes:
        calls: The calls that came: their method, and list, identity or sessions.
        relink: What a proxy makes of the links to other pages.
        meddle: Awaited before each call is answered.
        broken: Calls that are answered with 503.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.relink: Callable[[str], str] = str
        self.broken: frozenset[str] = frozenset()
        self.meddle: Callable[[str], Awaitable[None]] | None = None
        self._ids: list[uuid.UUID] = []
        self._people: dict[uuid.UUID, Json] = {}
        self._sessions: dict[uuid.UUID, list[Json]] = {}
        self._resources = AsyncExitStack()
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application(middlewares=[self._meet])
        app.router.add_get("/admin/identities", self._list)
        app.router.add_delete("/admin/identities/{id}", self._delete)
        app.router.add_get("/admin/identities/{id}/sessions", self._list_sessions)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        self._resources.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._resources.aclose()

    def add(self, body: Json, *sessions: Json) -> uuid.UUID:
        """Add somebody, or replace who has that id.

        Returns:
            The id.
        """
        identity_id = uuid.UUID(body["id"])
        if identity_id not in self._ids:
            bisect.insort(self._ids, identity_id)
        self._people[identity_id] = body
        self._sessions[identity_id] = list(sessions)
        return identity_id

    def fill(self, ids: Iterable[uuid.UUID]) -> None:
        """Add somebody with a password for each id."""
        self._ids = sorted({*self._ids, *ids})

    def clear(self) -> None:
        """Remove everybody."""
        self._ids.clear()

    def ids(self) -> set[uuid.UUID]:
        """Name those who are there."""
        return {*self._ids}

    async def _list(self, request: web.Request) -> web.Response:
        if "ids" in request.query:
            wanted = [*map(uuid.UUID, request.query.getall("ids"))]
            return self._shown([one for one in wanted if one in self._ids])
        size = int(request.query["page_size"])
        token = uuid.UUID(request.query.get("page_token", str(FIRST)))
        begin = bisect.bisect_right(self._ids, token)
        page = self._ids[begin : begin + size]
        tokens = {"first": FIRST}
        if begin + size < len(self._ids):
            tokens["next"] = page[-1]
        links = [
            f'<{request.rel_url.update_query(page_token=str(at))}>; rel="{name}"'
            for name, at in tokens.items()
        ]
        return self._shown(page, {"Link": self.relink(",".join(links))})

    def _shown(
        self, ids: Iterable[uuid.UUID], headers: dict[str, str] | None = None
    ) -> web.Response:
        text = ",".join(self._body(one) for one in ids)
        return web.json_response(text=f"[{text}]", headers=headers)

    def _body(self, identity_id: uuid.UUID) -> str:
        body = self._people.get(identity_id)
        if body is None:
            return EVERYMAN.replace(EVERYMANS_ID, str(identity_id))
        return json.dumps(body)

    async def _delete(self, request: web.Request) -> web.Response:
        identity_id = uuid.UUID(request.match_info["id"])
        if identity_id not in self._ids:
            return web.Response(status=404)
        self._ids.remove(identity_id)
        return web.Response(status=204)

    async def _list_sessions(self, request: web.Request) -> web.Response:
        size = int(request.query["page_size"])
        sessions = self._sessions.get(uuid.UUID(request.match_info["id"]), [])
        return web.json_response(sessions[:size])

    @web.middleware
    async def _meet(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        end = request.path.rpartition("/")[2]
        thing = {"identities": "list", "sessions": "sessions"}.get(end, "identity")
        thing = "identity" if "ids" in request.query else thing
        call = f"{request.method} {thing}"
        self.calls.append(call)
        if self.meddle is not None:
            await self.meddle(call)
        if call in self.broken:
            return web.Response(status=503)
        return await handler(request)
