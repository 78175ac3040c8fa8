"""The service with its neighbours, in this process: the double of Kratos, a clock."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import aiohttp
from signupd.service import Service
from signupd.settings import Settings
from signupd.signup.transitions import Event
from signupd.telemetry.observer import Observer
from signupd.telemetry.tracing import Tracing

from tests.doubles.certificate import certificate_file
from tests.doubles.clock import ClockDouble
from tests.doubles.kratos import KratosDouble
from tests.doubles.log import LogDouble
from tests.integration.caller import Caller

PASSWORD = "plum-violin-harbor-42"


@dataclass(frozen=True, slots=True)
class Replica:
    """One running service, and a caller of it."""

    service: Service
    caller: Caller

    async def page(self, path: str = "metrics") -> tuple[int, str]:
        """Read a page of the metrics port: its status and text."""
        url = f"http://127.0.0.1:{self.service.metrics_port}/{path}"
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            return answer.status, await answer.text()


@dataclass(frozen=True, slots=True)
class HookAnswer:
    """What a hook answered."""

    status: int
    text: str

    def message_ids(self) -> list[int]:
        """Name the messages that Kratos is to pass on."""
        entries = json.loads(self.text)["messages"]
        return [one["id"] for entry in entries for one in entry["messages"]]


class World:
    """Everything there is. An asynchronous context manager.

    Args:
        directory: Where the ledger and the keys lie, for all replicas.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = ClockDouble()
        self.log = LogDouble()
        self.kratos = KratosDouble()
        self.tracing: Tracing | None = None
        self.chance = 0.0  # what the service takes for random
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._resources.enter_async_context(self.kratos)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kratos.heal()
        await self._resources.aclose()

    def settings(self, **changed: Any) -> Settings:
        """Make settings for a service in this world."""
        given = {
            "listen": "127.0.0.1:0",
            "hook_listen": "127.0.0.1:0",
            "kratos_public_url": self.kratos.public_url,
            "kratos_admin_url": self.kratos.admin_url,
            "kratos_ca": certificate_file(self.directory),
            "ledger_url": f"sqlite:///{self.directory}/signupd.db",
            "metrics_listen": "",
            "drain_wait": "0s",
            "drain_timeout": "1s",
        }
        return Settings.model_validate(given | changed)

    async def serve(self, *, proved: bool = True, **settings: Any) -> Replica:
        """Start a service; the hooks go to the newest one.

        Args:
            proved: Wait until it has proved the password hook.
            settings: Further settings.
        """
        count = self.log.events().count("password_hook_proved")
        observer = Observer(Event, self.tracing)
        service = Service(
            self.settings(**settings),
            self.log.logger,
            self.clock,
            observer,
            lambda: self.chance,
        )
        self._resources.push_async_callback(service.stop)
        await service.start()
        # Its proof has not begun yet: nothing was awaited since.
        self.kratos.setup.hook_url = f"http://127.0.0.1:{service.hook_port}"
        caller = await self._resources.enter_async_context(Caller(service.port))
        if proved:
            await self.log.wait_for("password_hook_proved", count + 1)
        return Replica(service, caller)

    @asynccontextmanager
    async def held(
        self, call: str, work: Awaitable[Any], *, after: bool = False
    ) -> AsyncIterator[asyncio.Future[Any]]:
        """Have work stand still at its call to Kratos, or after it, in the block."""
        held = self.kratos.hold(call, after=after)
        working = asyncio.ensure_future(work)
        await held.arrived.wait()
        yield working
        held.released.set()

    async def ask_hook(
        self, hook: str, body: bytes | None = None, **fields: Any
    ) -> HookAnswer:
        """Ask a hook of the newest service, as Kratos or a stranger would.

        Args:
            hook: ``code`` or ``password``.
            body: Sent as it is; ``fields`` as JSON where there is none.
            fields: Kratos' are flow_id and email.
        """
        url = f"{self.kratos.setup.hook_url}/kratos/{hook}"
        content = json.dumps(fields).encode() if body is None else body
        headers = {"X-Hook-Key": self.kratos.setup.hook_key}
        async with (
            aiohttp.ClientSession() as http,
            http.post(url, data=content, headers=headers) as answer,
        ):
            return HookAnswer(answer.status, await answer.text())

    def rows(self) -> list[dict[str, Any]]:
        """Read the rows of all sign-ups as they lie in the ledger."""
        with closing(sqlite3.connect(self.directory / "signupd.db")) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute("SELECT * FROM signups")]

    def row(self) -> dict[str, Any]:
        """Read the row of the only sign-up."""
        (row,) = self.rows()
        return row

    def change_row(self, column: str, value: Any, signup_id: str | None = None) -> None:
        """Change a column of all rows, or of one, as somebody with the file could."""
        where = "" if signup_id is None else " WHERE signup_id = :signup_id"
        statement = f"UPDATE signups SET {column} = :value{where}"  # noqa: S608 - a test's own
        with closing(sqlite3.connect(self.directory / "signupd.db")) as database:
            database.execute(statement, {"value": value, "signup_id": signup_id})
            database.commit()


async def to_code(world: World, caller: Caller, address: str) -> tuple[str, str]:
    """Start a sign-up; give its token and the code in the mail."""
    answer = await caller.start(address)
    return answer.continuation_token, world.kratos.code_for(address)


async def to_password(world: World, caller: Caller, address: str) -> str:
    """Bring a sign-up to its password; give the token."""
    token, code = await to_code(world, caller, address)
    return (await caller.verify(token, code)).continuation_token
