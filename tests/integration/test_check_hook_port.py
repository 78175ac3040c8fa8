"""The preflight at our hook port: it listens there, or sees who does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from signupd.check.findings import Severity
from signupd.check.hook_port import Ear, listening, occupant_finding
from signupd.kratos.http import HttpClient
from signupd.settings import Settings

from devstack.ports import free_ports
from tests.doubles.certificate import certificate_file
from tests.doubles.hooks import HookDouble
from tests.doubles.log import LogDouble

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.integration.world import World

KEY = "a-key-of-many-characters"
NOT_NOW, PROVED = 9999003, 9999001
ASKING = {"flow_id": "flow-1", "email": "ann@example.com"}


@pytest.fixture
def port() -> int:
    """Give a free port."""
    return free_ports(1)[0]


@pytest.fixture
async def http(tmp_path: Path) -> AsyncIterator[HttpClient]:
    """Give a way to a hook port."""
    made = HttpClient(ca=certificate_file(tmp_path))
    yield made
    await made.close()


async def ask(port: int, path: str, body: Any, key: str = "") -> tuple[int, list[int]]:
    """Ask a hook, as Kratos does; give the status and the messages' ids."""
    url = f"http://127.0.0.1:{port}{path}"
    async with (
        aiohttp.ClientSession() as http,
        http.post(url, json=body, headers={"X-Hook-Key": key}) as answer,
    ):
        if answer.content_type != "application/json":
            return answer.status, []
        messages = (await answer.json())["messages"]
        return answer.status, [
            one["id"] for entry in messages for one in entry["messages"]
        ]


class TestEar:
    """In the server's place."""

    async def test_says_no(self, port: int) -> None:
        """Whoever asks, nothing is stored; a sign-up elsewhere may be tried again."""
        ear = Ear(LogDouble().logger, None)
        async with listening(ear, f"127.0.0.1:{port}") as ours:
            by_password = await ask(port, "/kratos/password", ASKING)
            by_code = await ask(port, "/kratos/code", {})

        assert ours
        assert (403, [NOT_NOW]) == by_password
        assert (403, [PROVED]) == by_code

    async def test_hears(self, port: int) -> None:
        """It remembers where requests came in, and what was asked when."""
        ear = Ear(LogDouble().logger, None, clock=lambda: 7.5)
        async with listening(ear, f"127.0.0.1:{port}"):
            await ask(port, "/kratos/password", ASKING)
            await ask(port, "/kratos/password", {"nothing": "of use"})
            await ask(port, "/elsewhere", {})

        assert {("flow-1", "ann@example.com"): 7.5} == ear.heard.asked
        assert {"/kratos/password", "/elsewhere"} == ear.heard.paths
        assert not ear.heard.keyless

    @pytest.mark.parametrize(
        ("key", "keyless"), [(KEY, False), ("", True), ("x", True)]
    )
    async def test_key(self, port: int, key: str, *, keyless: bool) -> None:
        """It notices who lacks the key, and tells them nothing."""
        ear = Ear(LogDouble().logger, KEY)
        async with listening(ear, f"127.0.0.1:{port}"):
            _, ids = await ask(port, "/kratos/password", ASKING, key)

        assert keyless == ear.heard.keyless
        assert keyless == (ids == []) == (ear.heard.asked == {})

    async def test_not_shown(self, port: int) -> None:
        """What was asked about is in no representation of it."""
        ear = Ear(LogDouble().logger, None)
        async with listening(ear, f"127.0.0.1:{port}"):
            await ask(port, "/kratos/password", ASKING)

        assert "ann@example.com" not in repr(ear.heard)

    async def test_lets_go(self, port: int) -> None:
        """Afterwards the port is free for the server."""
        ears = [Ear(LogDouble().logger, None) for _ in range(2)]
        for ear in ears:
            async with listening(ear, f"127.0.0.1:{port}") as ours:
                assert ours

    async def test_taken(self) -> None:
        """Where somebody listens it stays out."""
        async with (
            HookDouble() as hooks,
            listening(Ear(LogDouble().logger, None), f"127.0.0.1:{hooks.port}") as ours,
        ):
            assert not ours

    async def test_nobody_can(self) -> None:
        """An address of another machine is an error."""
        ear = Ear(LogDouble().logger, None)
        with pytest.raises(OSError, match="assign"):
            async with listening(ear, "192.0.2.1:9465"):
                pass


class TestOccupant:
    """Who listens there already."""

    async def test_server(self, world: World, http: HttpClient) -> None:
        """A running server is known by its answer, and asked about nothing."""
        replica = await world.serve()
        settings = Settings(hook_listen=f"127.0.0.1:{replica.service.hook_port}")
        found = await occupant_finding(http, settings)

        assert ("hook_port", Severity.OK) == (found.check, found.severity)

    @pytest.mark.parametrize("key", [None, "another-key-as-long-as-it"])
    async def test_another_key(
        self, world: World, http: HttpClient, key: str | None
    ) -> None:
        """One with another key than ours is one whose settings we were not given."""
        replica = await world.serve(hook_key=KEY, proved=False)
        given = {
            "hook_listen": f"127.0.0.1:{replica.service.hook_port}",
            "hook_key": key,
        }
        found = await occupant_finding(http, Settings.model_validate(given))

        assert Severity.ERROR is found.severity
        assert "another key" in found.what
        assert KEY not in repr(found)

    @pytest.mark.parametrize(
        "answer", [(200, {}), (404, "nothing here"), (403, {"messages": 3})]
    )
    async def test_stranger(self, http: HttpClient, answer: tuple[int, Any]) -> None:
        """Anybody else is a stranger."""
        async with HookDouble() as hooks:
            hooks.password = answer
            settings = Settings(hook_listen=f"127.0.0.1:{hooks.port}")
            found = await occupant_finding(http, settings)

        assert Severity.ERROR is found.severity

    async def test_silent(self, http: HttpClient) -> None:
        """So is one that speaks no HTTP."""

        async def hang_up(
            _: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            settings = Settings(hook_listen=f"127.0.0.1:{port}")
            found = await occupant_finding(http, settings)

        assert "something else" in found.what
