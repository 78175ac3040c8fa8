"""The public API of the double of Kratos: registration flows and their hooks."""

import json
from typing import Any

import aiohttp
from aiohttp import web

from tests.doubles.kratos_books import Books, Identity, Mail
from tests.doubles.kratos_flow import (
    CHOOSE_METHOD,
    PASSED_CHALLENGE,
    CodeLapsed,
    Flow,
    Message,
    password_fault,
    trait_faults,
)

Json = dict[str, Any]

JSON = "application/json"
INTERRUPTING = frozenset({400, 401, 403, 422})
GONE: Json = {"error": {"id": "self_service_flow_expired", "code": 410}}
MISSING: Json = {"error": {"code": 404, "message": "Unable to locate the resource"}}
SWITCHED_OFF: Json = {"error": {"id": "self_service_flow_disabled", "code": 400}}
HOOK_FAILED: Json = {"code": 500, "status": "Internal Server Error"}
UNPARSED = "webhook response could not be unmarshalled properly from JSON: EOF"
HOOK_LATE: Json = {
    "error": {"code": 502, "message": "webhook failed with status code 403"}
}


class HookFailed(Exception):
    """A hook was not reached, or its answer was of no use to Kratos."""


class HookSaidNo(Exception):
    """A hook interrupted the registration."""

    def __init__(self, messages: list[Message]) -> None:
        super().__init__()
        self.messages = messages


class PublicApi:
    """Answers the public API.

    Args:
        books: What the double remembers.
        http: For calling hooks.
    """

    def __init__(self, books: Books, http: aiohttp.ClientSession) -> None:
        self._books = books
        self._http = http

    def app(self) -> web.Application:
        """Make the web application."""
        app = web.Application()
        app.router.add_get("/schemas", self.schemas)
        app.router.add_get("/self-service/registration/api", self.open)
        app.router.add_get("/self-service/registration/flows", self.show)
        app.router.add_post("/self-service/registration", self.submit)
        return app

    async def schemas(self, _request: web.Request) -> web.Response:
        """List the identity schemas."""
        listed = self._books.setup.schemas.items()
        return web.json_response([{"id": i, "schema": s} for i, s in listed])

    async def open(self, request: web.Request) -> web.Response:
        """Open a flow."""
        if not self._books.setup.registration:
            return web.json_response(SWITCHED_OFF, status=400)
        flow = Flow()
        self._books.flows[flow.id] = flow
        return web.json_response(flow.body())

    async def show(self, request: web.Request) -> web.Response:
        """Show a flow."""
        return _json(self._flow(request.query["id"]), 200)

    async def submit(self, request: web.Request) -> web.Response:
        """Take a submission to a flow."""
        flow = self._flow(request.query["flow"])
        body, setup = await request.json(), self._books.setup
        by_password = body["method"] == "password"
        if not (setup.password_method if by_password else setup.code_method):
            return web.json_response(MISSING, status=404)
        try:
            if by_password:
                return await self._password(flow, body)
            if flow.state == CHOOSE_METHOD or "code" not in body:
                return self._send(flow, body)
            return await self._code(flow, body)
        except HookSaidNo as said:
            return _refused(flow, *said.messages)
        except HookFailed as failed:
            error = {**HOOK_FAILED, "message": str(failed)}
            return web.json_response({"error": error}, status=400)

    def _flow(self, flow_id: str) -> Flow:
        flow = self._books.flows.get(flow_id)
        if flow is None:
            raise web.HTTPNotFound(text=json.dumps(MISSING), content_type=JSON)
        if flow.expired:
            raise web.HTTPGone(text=json.dumps(GONE), content_type=JSON)
        return flow

    def _send(self, flow: Flow, body: Json) -> web.Response:
        if faults := trait_faults(body["traits"], self._books.setup.required_traits):
            return _refused(flow, *faults)
        if self._books.setup.captcha:
            return _refused(flow, Message(4000038, "captcha"))
        address = str(body["traits"]["email"]).lower()
        locale = body.get("transient_payload", {}).get("locale", "")
        code = flow.new_code(body["traits"])
        self._books.mails.append(Mail(address, "registration_code_valid", code, locale))
        self._books.tear("send")
        flow.mailed(told=self._books.setup.passwordless)
        return _json(flow, 400)

    async def _code(self, flow: Flow, body: Json) -> web.Response:
        if faults := trait_faults(body["traits"], self._books.setup.required_traits):
            return _refused(flow, *faults)
        try:
            wrong = flow.judge(body["traits"], body["code"])
        except CodeLapsed:
            return web.json_response(GONE, status=410)
        if wrong is not None:
            return _refused(flow, wrong)
        self._books.tear("code")
        flow.state = PASSED_CHALLENGE
        account = Identity(traits=body["traits"], verified=True)
        return await self._finish(flow, account, "code")

    async def _password(self, flow: Flow, body: Json) -> web.Response:
        setup = self._books.setup
        if faults := trait_faults(body["traits"], setup.required_traits):
            return _refused(flow, *faults)
        account = Identity(traits=body["traits"], password=body["password"])
        if fault := password_fault(account, setup):
            return _refused(flow, fault)
        return await self._finish(flow, account, "password")

    async def _finish(self, flow: Flow, account: Identity, hook: str) -> web.Response:
        """Store an account, and call its hook if there is one: before, or after."""
        setup = self._books.setup
        called = setup.code_hook if hook == "code" else setup.password_hook
        asked = {"flow_id": flow.id, "email": account.traits["email"]}
        if called and setup.parsed:
            account.patch(await self._ask(hook, asked))
        answer = self._store(flow, account)
        if called and not setup.parsed and answer.status == 200:
            try:
                await self._ask(hook, asked)
            except HookSaidNo:
                return web.json_response(HOOK_LATE, status=502)
        return answer

    def _store(self, flow: Flow, account: Identity) -> web.Response:
        contacts = {one.traits.get("contact") for one in self._books.accounts.values()}
        if self._books.account(account.address) or account.address in contacts:
            hinted = self._books.setup.login_hints
            return _refused(flow, Message(4000028 if hinted else 4000007))
        account.sessions = 1
        self._books.accounts[account.id] = account
        if not account.verified:
            mail = Mail(account.address, "verification_code_valid", "")
            self._books.mails.append(mail)
        return web.json_response({"identity": account.body(admin=False)})

    async def _ask(self, hook: str, body: Json) -> Json:
        """Call a hook; give what it wants of the account."""
        key = self._books.setup.hook_key
        headers = {"X-Hook-Key": key} if key else {}
        if self._books.setup.swapped:
            hook = "code" if hook == "password" else "password"
        url = f"{self._books.setup.hook_url}/kratos/{hook}"
        try:
            async with self._http.post(url, json=body, headers=headers) as answer:
                status, text = answer.status, await answer.text()
            said = {} if status == 204 else json.loads(text)
        except aiohttp.ClientError as error:
            raise HookFailed(f"POST {url} giving up after 3 attempt(s)") from error
        except ValueError as error:
            raise HookFailed(UNPARSED) from error
        if status in INTERRUPTING and said.get("messages"):
            raise HookSaidNo(_passed_on(said["messages"]))
        if status not in (200, 204):
            raise HookFailed(f"webhook failed with status code {status}")
        wanted: Json = said.get("identity", {})
        return wanted


def _json(flow: Flow, status: int) -> web.Response:
    return web.json_response(flow.body(), status=status)


def _refused(flow: Flow, *faults: Message) -> web.Response:
    """Answer as Kratos does for all that is no registration: 400 and the flow."""
    flow.messages = [*faults]
    return _json(flow, 400)


def _passed_on(messages: list[Json]) -> list[Message]:
    """Read the messages that a hook wants shown."""
    return [
        Message(
            one["id"],
            entry["instance_ptr"].removeprefix("#/").replace("/", "."),
            one["text"],
            one["type"],
        )
        for entry in messages
        for one in entry["messages"]
    ]
