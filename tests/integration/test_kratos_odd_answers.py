"""The adapter against answers that no Kratos should give, and against none at all."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from signupd.errors import (
    KratosIncompatible,
    KratosUnavailable,
)
from signupd.kratos.admin import AdminApi
from signupd.kratos.client import Kratos, Timeouts
from signupd.kratos.http import HttpClient
from signupd.kratos.outcomes import CodeAnswer, FlowState, PasswordAnswer
from signupd.kratos.public import PublicApi

from tests.doubles.certificate import certificate_file
from tests.doubles.kratos_books import TIMES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ID = uuid.UUID("22222222-2222-4222-8222-222222222222")
TRAITS = {"email": "ann@example.com"}
SINCE = datetime(2020, 1, 1, tzinfo=UTC)
HTML = "<h1>It works</h1>"
FLOW = {"id": "flow-1", "state": "nowhere", "ui": {"nodes": []}}
# Bounds a hang; test_silence alone waits, for less.
CALL_SECONDS = 60.0


class Oddity:
    """A server with one answer to everything.

    Attributes:
        status: Of the answer.
        body: Of the answer: JSON, or text as it is.
        headers: Of the answer, besides the usual.
        requests: What came: path, query and the authorization.
        silent: Set where nothing is to be answered until the test ends.
    """

    def __init__(self) -> None:
        self.status, self.body = 200, None  # type: tuple[int, Any]
        self.headers: dict[str, str] = {}
        self.requests: list[tuple[str, dict[str, str], str]] = []
        self.silent: asyncio.Event | None = None
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        bearer = request.headers.get("Authorization", "")
        self.requests.append((request.path, dict(request.query), bearer))
        if self.silent is not None:
            await self.silent.wait()
        if isinstance(self.body, str):
            return web.Response(status=self.status, text=self.body)
        return web.json_response(self.body, status=self.status, headers=self.headers)


@pytest.fixture
async def oddity() -> AsyncIterator[Oddity]:
    """Give a server that is no Kratos."""
    server = Oddity()
    await server.start()
    yield server
    if server.silent is not None:
        server.silent.set()
    await server.stop()


@pytest.fixture(params=[CALL_SECONDS])
async def kratos(
    request: pytest.FixtureRequest, oddity: Oddity, tmp_path: Path
) -> AsyncIterator[Kratos]:
    """Give an adapter to it, whose calls are far enough apart for any breaker."""
    hours, seconds = itertools.count(step=3600.0), request.param
    http = HttpClient(ca=certificate_file(tmp_path), clock=lambda: next(hours))
    admin = AdminApi(http, oddity.url, seconds, "hunter2")
    times = Timeouts(call=seconds, hooked=seconds)
    yield Kratos(http, PublicApi(http, oddity.url, times), admin)
    await http.close()


def calls(kratos: Kratos) -> dict[str, Any]:
    """Make one call of each kind."""
    return {
        "open": kratos.public.open_registration,
        "send": lambda: kratos.public.send_code("flow-1", TRAITS, ""),
        "code": lambda: kratos.public.submit_code("flow-1", TRAITS, "123456"),
        "flow": lambda: kratos.public.flow_state("flow-1"),
        "password": lambda: kratos.public.submit_password("flow-1", TRAITS, "secret"),
        "find": lambda: kratos.admin.find_identity("ann+1@example.com"),
        "sessions": lambda: kratos.admin.end_sessions(ID),
        "delete": lambda: kratos.admin.delete_identity(ID),
        "courier": lambda: kratos.admin.code_delivery("ann@example.com", SINCE),
    }


async def outcomes(kratos: Kratos) -> dict[str, Any]:
    """Call everything once, all at once; give the errors' names, or what came."""

    async def outcome(call: Any) -> Any:
        try:
            return await call()
        except (KratosIncompatible, KratosUnavailable) as error:
            return type(error).__name__

    named = calls(kratos)
    return dict(
        zip(named, await asyncio.gather(*map(outcome, named.values())), strict=True)
    )


@pytest.mark.parametrize("kratos", [2.0], indirect=True)
async def test_silence(kratos: Kratos, oddity: Oddity) -> None:
    """Every call is bounded: no answer in time is none."""
    oddity.silent = asyncio.Event()

    assert {"KratosUnavailable"} == {*(await outcomes(kratos)).values()}


@pytest.mark.parametrize("status", [500, 503, 504, 429])
async def test_overloaded(kratos: Kratos, oddity: Oddity, status: int) -> None:
    """What says "overloaded" may have done anything; it says when to come back."""
    oddity.status = status
    with pytest.raises(KratosUnavailable) as caught:
        await kratos.admin.accounts([ID])

    assert {"KratosUnavailable"} == {*(await outcomes(kratos)).values()}
    assert caught.value.retry_after_seconds


@pytest.mark.parametrize(
    ("status", "body"), [(200, HTML), (200, []), (200, {}), (302, HTML), (418, {})]
)
async def test_no_kratos(
    kratos: Kratos, oddity: Oddity, status: int, body: Any
) -> None:
    """Another server, or other words, never pass for an answer."""
    oddity.status, oddity.body = status, body
    found = await outcomes(kratos)
    nothing = {
        "find": None,  # an empty list is an answer here
        "courier": None,
        "sessions": None,
        "delete": None,
    }
    clear = {name: came for name, came in found.items() if not isinstance(came, str)}

    for name, came in clear.items():
        if name in ("code", "password"):
            assert came.answer in (CodeAnswer.UNCLEAR, PasswordAnswer.UNCLEAR)
        else:
            assert nothing[name] is came


async def test_odd_flows(kratos: Kratos, oddity: Oddity) -> None:
    """A state unknown here is told as such; another flow is another one's answer."""
    oddity.body = FLOW
    with pytest.raises(KratosIncompatible, match="state unknown"):
        await kratos.public.flow_state("flow-1")
    oddity.status, oddity.body = 400, FLOW | {"id": "flow-2"}
    found = await outcomes(kratos)

    assert {"KratosUnavailable"} == {
        found[name] for name in ("send", "code", "flow", "password")
    }


@pytest.mark.parametrize("status", [404, 410])
async def test_gone(kratos: Kratos, oddity: Oddity, status: int) -> None:
    """404 and 410 are a flow that is gone."""
    oddity.status = status

    assert FlowState.GONE is await kratos.public.flow_state("flow-1")
    assert (
        CodeAnswer.LAPSED
        is (await kratos.public.submit_code("flow-1", TRAITS, "123456")).answer
    )


@pytest.mark.parametrize(
    "body", [{}, {"identity": None}, {"identity": {}}, {"identity": {"id": "x"}}]
)
async def test_registered_nobody(kratos: Kratos, oddity: Oddity, body: Any) -> None:
    """A registration that names no account leaves open whom it made."""
    oddity.body = body
    with pytest.raises(KratosUnavailable):
        await kratos.public.submit_code("flow-1", TRAITS, "123456")
    with pytest.raises(KratosUnavailable):
        await kratos.public.submit_password("flow-1", TRAITS, "secret")


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_admin_refuses(kratos: Kratos, oddity: Oddity, status: int) -> None:
    """An admin API that does not let us in is set up wrongly."""
    oddity.status, oddity.body = status, {"error": {}}
    admin = kratos.admin
    for call in (admin.find_identity, lambda a: admin.code_delivery(a, SINCE)):
        with pytest.raises(KratosIncompatible, match="KRATOS_ADMIN_TOKEN"):
            await call("ann@example.com")


@pytest.mark.parametrize(
    "mail",
    [
        {},
        {"template_type": "registration_code_valid"},
        {
            "template_type": "registration_code_valid",
            "created_at": "2026-01-01T00:00:00Z",
            "status": "teleported",
        },
        {
            "template_type": "registration_code_valid",
            "created_at": 5,
            "status": "sent",
        },
    ],
)
async def test_odd_mails(kratos: Kratos, oddity: Oddity, mail: Any) -> None:
    """A courier that speaks otherwise is told as such."""
    oddity.body = [mail]
    with pytest.raises(KratosIncompatible, match="courier"):
        await kratos.admin.code_delivery("ann@example.com", SINCE)


async def test_admin_token(kratos: Kratos, oddity: Oddity) -> None:
    """The token goes to the admin API as bearer, and never to the public one."""
    await outcomes(kratos)
    given = {(path.split("/")[1], bearer) for path, _, bearer in oddity.requests}

    assert {("admin", "Bearer hunter2"), ("self-service", "")} == given


async def test_queries(kratos: Kratos, oddity: Oddity) -> None:
    """Addresses are escaped in queries; ids go once each, on one page."""
    oddity.body = []
    await kratos.admin.find_identity("ann+1@example.com")
    await kratos.admin.code_delivery("ann+1@example.com", SINCE)
    await kratos.admin.accounts([ID, ID])
    password = {"include_credential": "password"}

    assert [
        ("/admin/identities", {"credentials_identifier": "ann+1@example.com"}),
        (
            "/admin/courier/messages",
            {"page_size": "10", "recipient": "ann+1@example.com"},
        ),
        ("/admin/identities", {"page_size": "1", "ids": str(ID), **password}),
    ] == [(path, query) for path, query, _ in oddity.requests]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, HTML),
        (200, {}),
        (200, [{}]),
        (302, HTML),
        (400, {"error": {}}),
        (401, {"error": {}}),
        (404, HTML),
    ],
)
async def test_no_identities(
    kratos: Kratos, oddity: Oddity, status: int, body: Any
) -> None:
    """Nothing but a list of identities is taken for an answer; 404 is not "nobody"."""
    oddity.status, oddity.body = status, body
    with pytest.raises(KratosIncompatible):
        await kratos.admin.accounts([ID])
    with pytest.raises(KratosIncompatible):
        await kratos.admin.find_account("ann@example.com")

    assert 2 == len(oddity.requests)


async def test_ids_lost(kratos: Kratos, oddity: Oddity) -> None:
    """Identities that were not asked for are no answer."""
    oddity.body = [
        {"id": str(one), "state": "active", "traits": {}, **TIMES}
        for one in (uuid.uuid4(), ID)
    ]
    with pytest.raises(KratosIncompatible, match="not asked for"):
        await kratos.admin.accounts([ID])


async def test_long_header(kratos: Kratos, oddity: Oddity) -> None:
    """An answer may repeat the longest query in its header, twice."""
    ids = "".join(f"ids={uuid.UUID(int=number)}&" for number in range(100))
    link = f"</admin/identities?{ids}>; rel="
    oddity.headers, oddity.body = {"Link": f"{link}first,{link}next"}, []

    assert {} == await kratos.admin.accounts([ID])
