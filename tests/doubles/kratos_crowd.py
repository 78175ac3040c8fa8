"""A double of Kratos' admin API that lists many identities page by page.

tests/e2e/test_orphans.py compares its identities and sessions with real ones.
"""

import bisect
import json
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

from aiohttp import web
from aiohttp.typedefs import Handler

Json = dict[str, Any]

NOW: Final = datetime.now(UTC)
# A registration by code: its parts are stored some milliseconds apart.
APART: Final = timedelta(milliseconds=9)


def person(  # noqa: PLR0913 - all that one may differ by
    address: str = "ann@example.com",
    *,
    born: datetime = NOW - timedelta(days=90),
    verified: bool = True,
    proved: timedelta | None = APART,
    changed: timedelta = APART,
    enabled: bool = True,
    password: str | None = "",
    config: Json | None = None,
    others: Mapping[str, Mapping[str, Any] | None] | None = None,
) -> Json:
    """Make an identity: by default an orphan.

    Args:
        address: Its only address.
        born: When it was stored.
        verified: Whether the address is verified.
        proved: How long after its creation it was; None if Kratos has no time for it.
        changed: How long after its creation it was changed last.
        enabled: Whether it is active.
        password: The hash; empty for an empty credential, None for no credential.
        config: The password credential's configuration instead.
        others: The configurations of other credentials; None if Kratos hides it.
    """
    at = _text(born + APART)
    credentials: Json = {"code": _credential(None, at)}
    if password is not None:
        shown = {"hashed_password": password} if password else {}
        credentials["password"] = _credential(shown if config is None else config, at)
    for kind, shown_config in (others or {}).items():
        credentials[kind] = _credential(shown_config, at)
    proof = {} if proved is None else {"verified_at": _text(born + proved)}
    return {
        "id": str(uuid.uuid4()),
        "credentials": credentials,
        "state": "active" if enabled else "inactive",
        "state_changed_at": _text(born),
        "traits": {"email": address},
        "verifiable_addresses": [
            {
                "id": str(uuid.uuid4()),
                "value": address,
                "via": "email",
                "verified": verified,
                "updated_at": at,
                **(proof if verified else {}),
            }
        ],
        "recovery_addresses": [{"value": address, "via": "email", "updated_at": at}],
        "created_at": _text(born),
        "updated_at": _text(born + changed),
    }


def session(
    begun: datetime = NOW - timedelta(days=90) + APART,
    *,
    lasting: timedelta = timedelta(days=1),
    active: bool = True,
    method: str = "code",
) -> Json:
    """Make a session: by default that of an orphan's registration.

    Args:
        begun: When its owner signed in.
        lasting: How long it works after that.
        active: False if it was ended early.
        method: The method of the sign-in.
    """
    return {
        "active": active,
        "authenticated_at": _text(begun),
        "issued_at": _text(begun),
        "expires_at": _text(begun + lasting),
        "authentication_methods": [{"method": method, "aal": "aal1"}],
    }


def _credential(config: Mapping[str, Any] | None, at: str) -> Json:
    shown = {} if config is None else {"config": config}
    return {"identifiers": ["x"], "updated_at": at} | shown


def _text(moment: datetime) -> str:
    """Write a time as Kratos does, to the nanosecond."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "123Z"


FIRST: Final = uuid.UUID(int=0)
# The identity that stands for all that ``fill`` adds: one with a password.
COMMON: Final = json.dumps(person("common@example.com", password="hash"))
COMMON_ID: Final = json.loads(COMMON)["id"]


class Crowd:
    """The double. An asynchronous context manager.

    Attributes:
        calls: The calls received: the method, and list, identity or sessions.
        relink: Changes the links to other pages, as a proxy does.
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
        """Add an identity, or replace the one with that id; return the id."""
        identity_id = uuid.UUID(body["id"])
        if identity_id not in self._ids:
            bisect.insort(self._ids, identity_id)
        self._people[identity_id] = body
        self._sessions[identity_id] = list(sessions)
        return identity_id

    def fill(self, ids: Iterable[uuid.UUID]) -> None:
        """Add an identity with a password for each id."""
        self._ids = sorted({*self._ids, *ids})

    def clear(self) -> None:
        """Remove all identities."""
        self._ids.clear()

    def ids(self) -> set[uuid.UUID]:
        """Return the ids of all identities."""
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
            return COMMON.replace(COMMON_ID, str(identity_id))
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
