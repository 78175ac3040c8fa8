"""What a preflight asks of Kratos, against answers of every kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from signupd.errors import KratosIncompatible, KratosUnavailable
from signupd.kratos.admin import AdminApi
from signupd.kratos.client import Kratos, Timeouts
from signupd.kratos.http import HttpClient
from signupd.kratos.offer import FlowKind, Offer
from signupd.kratos.public import PublicApi

from tests.doubles.certificate import certificate_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Json = dict[str, Any]

ADDRESS = "probe@probe.invalid"
HTML = "<h1>It works</h1>"
OFF: Json = {"error": {"id": "self_service_flow_disabled", "code": 400}}


def node(group: str, name: str | None, value: str = "") -> Json:
    """Make a node of a flow; a script has no name."""
    attributes = {"value": value} if name is None else {"name": name, "value": value}
    return {"group": group, "attributes": attributes}


TOKEN = node("default", "csrf_token", "the-token")
TRAIT = node("default", "traits.email")
ONWARD = node("profile", "method", "profile")
CODE = node("code", "method", "code")
PASSWORD = node("password", "password")


def flow(*nodes: Json) -> Json:
    """Make a flow."""
    return {"id": "flow-1", "state": "choose_method", "ui": {"nodes": [*nodes]}}


class Scripted:
    """A server that answers by its script.

    Attributes:
        script: Status and body by method and path; a body that is text goes out as is.
        requests: What came: method, path, cookies and body.
    """

    def __init__(self) -> None:
        self.script: dict[tuple[str, str], tuple[int, Any]] = {}
        self.requests: list[tuple[str, str, str, Any]] = []
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen; give the URL."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        cookies = request.headers.get("Cookie", "")
        self.requests.append((request.method, request.path, cookies, body))
        status, answer = self.script.get((request.method, request.path), (404, {}))
        if isinstance(answer, str):
            return web.Response(status=status, text=answer)
        response = web.json_response(answer, status=status)
        response.set_cookie("csrf", "abc", httponly=True)
        response.set_cookie("sticky", "7")
        return response


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    """Give a server without a script."""
    made = Scripted()
    yield made
    await made.stop()


@pytest.fixture
async def kratos(server: Scripted, tmp_path: Path) -> AsyncIterator[Kratos]:
    """Give its two APIs."""
    url = await server.start()
    http = HttpClient(ca=certificate_file(tmp_path))
    public = PublicApi(http, url, Timeouts(call=5.0, hooked=5.0))
    yield Kratos(http, public, AdminApi(http, url, 5.0))
    await http.close()


OPEN = {kind: ("GET", f"/self-service/registration/{kind}") for kind in FlowKind}
SUBMIT = ("POST", "/self-service/registration")


async def offered(kratos: Kratos, kind: FlowKind = FlowKind.API) -> Offer | None:
    """See what a flow offers."""
    return await kratos.public.offer(kind, {"email": ADDRESS})


class TestOffer:
    """The ways to register."""

    async def test_one_step(self, server: Scripted, kratos: Kratos) -> None:
        """A flow of one step shows all, and is not submitted to."""
        server.script[OPEN[FlowKind.API]] = 200, flow(TOKEN, TRAIT, CODE, PASSWORD)

        assert Offer(frozenset({"code", "password"}), whole=True) == await offered(
            kratos
        )
        assert 1 == len(server.requests)

    async def test_two_steps(self, server: Scripted, kratos: Kratos) -> None:
        """Of one of two steps both are looked at."""
        oidc = node("oidc", "provider", "elsewhere")
        server.script[OPEN[FlowKind.API]] = 200, flow(TOKEN, TRAIT, oidc, ONWARD)
        server.script[SUBMIT] = (
            400,
            flow(TRAIT, CODE, node("profile", "screen", "previous")),
        )

        assert Offer(frozenset({"oidc", "code"}), whole=True) == await offered(kratos)
        assert {
            "method": "profile",
            "traits": {"email": ADDRESS},
            "csrf_token": "the-token",
        } == server.requests[-1][3]

    async def test_closed(self, server: Scripted, kratos: Kratos) -> None:
        """One whose second step stays closed is not the whole."""
        server.script[OPEN[FlowKind.API]] = 200, flow(TOKEN, TRAIT, ONWARD)
        server.script[SUBMIT] = 400, flow(TOKEN, TRAIT, ONWARD)

        assert Offer(frozenset(), whole=False) == await offered(kratos)

    async def test_scripts(self, server: Scripted, kratos: Kratos) -> None:
        """A script is no way to register: several share one."""
        script = node("webauthn", None)
        passkey = node("passkey", "passkey_register")
        server.script[OPEN[FlowKind.API]] = 200, flow(TOKEN, passkey, script)

        assert Offer(frozenset({"passkey"}), whole=True) == await offered(kratos)

    @pytest.mark.parametrize(
        ("kind", "cookies"),
        [(FlowKind.BROWSER, "csrf=abc; sticky=7"), (FlowKind.API, "")],
    )
    async def test_cookies(
        self, server: Scripted, kratos: Kratos, kind: FlowKind, cookies: str
    ) -> None:
        """A browser's cookies come back with its flow; a program has none, ever."""
        for one in FlowKind:
            server.script[OPEN[one]] = 200, flow(TOKEN, ONWARD)
        server.script[SUBMIT] = 400, flow(CODE)
        await offered(kratos, FlowKind.BROWSER)
        await offered(kratos, kind)

        assert ["", cookies] == [request[2] for request in server.requests[-2:]]

    @pytest.mark.parametrize("kind", FlowKind)
    async def test_off(self, server: Scripted, kratos: Kratos, kind: FlowKind) -> None:
        """Where registration is off nothing is offered."""
        server.script[OPEN[kind]] = 400, OFF

        assert await offered(kratos, kind) is None

    @pytest.mark.parametrize(
        "answer", [(200, HTML), (404, {}), (200, []), (200, {"ui": {"nodes": [3]}})]
    )
    async def test_no_flow(
        self, server: Scripted, kratos: Kratos, answer: tuple[int, Any]
    ) -> None:
        """What is no flow is refused."""
        server.script[OPEN[FlowKind.API]] = answer
        with pytest.raises(KratosIncompatible):
            await offered(kratos)

    async def test_failing(self, server: Scripted, kratos: Kratos) -> None:
        """A server error is told as one."""
        server.script[OPEN[FlowKind.BROWSER]] = 500, {}
        with pytest.raises(KratosUnavailable):
            await offered(kratos, FlowKind.BROWSER)


class TestSchemas:
    """Identity schemas."""

    async def test_all(self, server: Scripted, kratos: Kratos) -> None:
        """All of them are read."""
        document: Json = {"properties": {"traits": {}}}
        listed = [{"id": name, "schema": document} for name in ("user", "staff")]
        server.script["GET", "/schemas"] = 200, listed

        schemas = await kratos.public.schemas()

        assert ["user", "staff"] == [schema.id for schema in schemas]

    @pytest.mark.parametrize(
        "answer", [(200, HTML), (404, {}), (200, {}), (200, [3]), (200, [{"id": "x"}])]
    )
    async def test_odd(
        self, server: Scripted, kratos: Kratos, answer: tuple[int, Any]
    ) -> None:
        """What is no list of them is refused."""
        server.script["GET", "/schemas"] = answer
        with pytest.raises(KratosIncompatible):
            await kratos.public.schemas()


COURIER = ("GET", "/admin/courier/messages")


def mail(body: str, minute: int, template: str = "registration_code_valid") -> Json:
    """Make a mail of the courier's books."""
    created = f"2026-01-01T00:{minute:02}:00Z"
    return {"template_type": template, "created_at": created, "body": body}


class TestNewestCode:
    """The code in the newest mail."""

    @pytest.mark.parametrize(
        ("mails", "code"),
        [
            ([mail("Your code:\n\n123456\n\nBye", 1)], "123456"),
            ([mail("111111", 1), mail("222222", 3), mail("333333", 2)], "222222"),
            ([mail("111111", 1), mail("222222", 2, "recovery_code_valid")], "111111"),
            ([mail("Call +49123456789 or use 654321.", 1)], "654321"),
            ([mail("<redacted-unless-dev-mode>", 1)], ""),
            ([mail("111111", 1), mail("<redacted-unless-dev-mode>", 2)], ""),
            ([], ""),
        ],
    )
    async def test_code(
        self, server: Scripted, kratos: Kratos, mails: list[Json], code: str
    ) -> None:
        """It is six digits by themselves, of the newest code mail."""
        server.script[COURIER] = 200, mails

        assert code == await kratos.admin.newest_code(ADDRESS)

    @pytest.mark.parametrize("answer", [(401, {}), (200, {}), (200, [3]), (200, [{}])])
    async def test_odd(
        self, server: Scripted, kratos: Kratos, answer: tuple[int, Any]
    ) -> None:
        """What is no list of mails is refused."""
        server.script[COURIER] = answer
        with pytest.raises(KratosIncompatible):
            await kratos.admin.newest_code(ADDRESS)


async def test_version(server: Scripted, kratos: Kratos) -> None:
    """The version is what Kratos calls itself; nothing where it does not."""
    silent = await kratos.admin.version()
    server.script["GET", "/admin/version"] = 200, {"version": "v1.3.1"}

    assert ("", "v1.3.1") == (silent, await kratos.admin.version())


@pytest.mark.parametrize("answer", [(401, {}), (200, {}), (200, HTML)])
async def test_not_let_in(
    server: Scripted, kratos: Kratos, answer: tuple[int, Any]
) -> None:
    """An admin API that does not let us in is refused."""
    server.script["GET", "/admin/identities"] = answer
    with pytest.raises(KratosIncompatible, match="KRATOS_ADMIN_TOKEN"):
        await kratos.admin.find_identity(ADDRESS)
