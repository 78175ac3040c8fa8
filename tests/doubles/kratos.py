"""A double of Ory Kratos with memory: flows, codes, accounts, mails, and its hooks.

It speaks HTTP on a loopback port and really calls the hooks. What it answers is held
against a real Kratos by tests/integration/test_kratos_agreement.py.
"""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Any, Self

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler
from signupd.kratos.admin import NOBODY

from tests.doubles.kratos_admin import AdminApi
from tests.doubles.kratos_books import Books, Identity, Mail, Setup
from tests.doubles.kratos_flow import CHOOSE_METHOD, Flow
from tests.doubles.kratos_public import PublicApi
from tests.doubles.trouble import Cut, Failing, Held, Last, Lost, Trouble

# By the route's end. A submission's name depends on what is submitted.
NAMES = {
    ("GET", "api"): "open",
    ("GET", "schemas"): "schemas",
    ("GET", "flows"): "flow",
    ("GET", "identities"): "find",
    ("GET", "messages"): "courier",
    ("DELETE", "sessions"): "sessions",
}


class KratosDouble:
    """The double. An asynchronous context manager; it listens from start to stop.

    Its calls have names: schemas; open, send, code, password, flow; find, delete,
    sessions, courier.
    """

    def __init__(self) -> None:
        self._books = Books()
        self._troubles: dict[str, Trouble] = {}
        # What each of its calls came with, in their order.
        self.headers: list[Mapping[str, str]] = []
        self._port = 0
        self._resources = AsyncExitStack()
        self._runner: web.AppRunner | None = None
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        session = aiohttp.ClientSession()
        self._http = await self._resources.enter_async_context(session)
        await self.up()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.down()
        await self._resources.aclose()

    @property
    def public_url(self) -> str:
        """The public API. The admin API's routes are not there."""
        return f"http://127.0.0.1:{self._port}/public"

    @property
    def admin_url(self) -> str:
        """The admin API."""
        return f"http://127.0.0.1:{self._port}/private"

    async def up(self) -> None:
        """Listen, on the same port as before."""
        if self._http is None:
            raise RuntimeError("enter it first")
        app = web.Application(middlewares=[self._meet])
        app.add_subapp("/public", PublicApi(self._books, self._http).app())
        app.add_subapp("/private", AdminApi(self._books).app())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def down(self) -> None:
        """Stop listening: connections are refused. Memory stays."""
        self.heal()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def setup(self) -> Setup:
        """How it is set up; may be changed at any time."""
        return self._books.setup

    @property
    def calls(self) -> Sequence[str]:
        """The calls that came, in their order."""
        return self._books.calls

    def mail(self, address: str, template: str) -> None:
        """Have Kratos send another mail than one of a code."""
        self._books.mails.append(Mail(address, template, ""))

    def mails_to(self, address: str) -> list[Mail]:
        """Give the mails to an address, oldest first."""
        return [one for one in self._books.mails if one.recipient == address]

    def code_for(self, address: str) -> str:
        """Give the code mailed last to an address."""
        return self.mails_to(address)[-1].code

    def account(self, address: str) -> Identity | None:
        """Give the account at an address, in any letter case."""
        return self._books.account(address)

    def accounts(self) -> list[Identity]:
        """Give all accounts."""
        return [*self._books.accounts.values()]

    def add_account(self, address: str, **fields: Any) -> Identity:
        """Have somebody be registered already."""
        return self.add_identity({"email": address}, **fields)

    def add_identity(self, traits: dict[str, Any], **fields: Any) -> Identity:
        """Have an operator make an account, of whatever schema."""
        account = Identity(traits=traits, **fields)
        self._books.accounts[account.id] = account
        return account

    def remove_account(self, address: str) -> None:
        """Have an operator delete the account at an address."""
        account = self._books.account(address)
        if account is not None:
            del self._books.accounts[account.id]

    def flow(self, flow_id: str) -> Flow:
        """Give a registration flow."""
        return self._books.flows[flow_id]

    def flow_ids(self) -> list[str]:
        """Name the flows that were opened, in their order."""
        return [*self._books.flows]

    def lapse_codes(self) -> None:
        """Have all codes be past their lifespan, their flows not."""
        for flow in self._books.flows.values():
            flow.code_lapsed = True

    def expire_flows(self) -> None:
        """Have all flows be past their lifespan."""
        for flow in self._books.flows.values():
            flow.expired = True

    def lose(self, *names: str, times: int = 1) -> None:
        """Do the work of these calls, and cut the connection instead of answering."""
        self._troubles |= {name: Lost(times) for name in names}

    def tear(self, name: str) -> None:
        """Cut the next send or code between its effect and the flow's new state."""
        self._books.torn.add(name)

    def fail(self, *names: str, times: int = 1, status: int = 503) -> None:
        """Answer these calls with an error and do nothing."""
        self._troubles |= {name: Failing(times, status) for name in names}

    def break_after(self, name: str) -> None:
        """Answer the next such call, and refuse connections from then on."""
        self._troubles[name] = Last(stop=self._stop_listening)

    def hold(self, name: str, *, after: bool = False, times: int = 1) -> Held:
        """Have the next such calls stand still, before or after their work."""
        held = Held(times, after=after)
        self._troubles[name] = held
        return held

    def heal(self) -> None:
        """End all troubles; who stands still goes on."""
        for trouble in self._troubles.values():
            if isinstance(trouble, Held):
                trouble.released.set()
        self._troubles.clear()
        self._books.torn.clear()

    async def _stop_listening(self) -> None:
        if self._runner is not None:
            for site in [*self._runner.sites]:
                await site.stop()

    @web.middleware
    async def _meet(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Note a call, and let it meet the trouble that a test laid in its way."""
        nobody = request.query.get("ids") == str(NOBODY)
        if nobody or request.path.endswith("/health/ready"):  # asked every few seconds
            ready = web.json_response([] if nobody else {"status": "ok"})
            ready.force_close()  # no idle connection outlives the last answer
            return ready
        name = await self._name(request)
        self._books.calls.append(name)
        self.headers.append(request.headers)
        trouble = self._troubles.get(name)
        try:
            if trouble is None or not trouble.times:
                return await handler(request)
            trouble.times -= 1
            return await trouble.befall(lambda: handler(request))
        except Cut:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()

    async def _name(self, request: web.Request) -> str:
        if request.method != "POST":
            end = request.path.rpartition("/")[2]
            return NAMES.get((request.method, end), "delete")
        body = await request.json()
        if body["method"] == "password":
            return "password"
        flow = self._books.flows.get(request.query["flow"])
        fresh = flow is None or flow.state == CHOOSE_METHOD
        return "send" if fresh or "code" not in body else "code"
