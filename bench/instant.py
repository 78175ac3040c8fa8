"""A stand-in for Kratos that answers from memory and at once.

It serves what a sign-up needs: registration flows by code and by password, their two
hooks, and the look-ups of the admin API, both APIs on one port. The answers are those
of a Kratos 1.3.1 with the reference configuration. Every code is 123456; a password is
taken as it is, and forgotten.

It also answers the two hooks, as signupd does but to everybody and without a look-up:
the least that is needed to sign up at a real Kratos by hand.

Run as a script: `instant.py PORT HOOK_URL SCHEMA_FILE`.
"""

import json
import sys
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from aiohttp import web

RIGHT_CODE = "123456"
ANSWERS = {
    file.stem: json.dumps(json.loads(file.read_text(encoding="utf-8")))
    for file in Path(__file__).with_name("answers").glob("*.json")
}
PROVED = [{"id": 9999001, "text": "proved", "type": "info"}]
HEADERS = {
    "Cache-Control": "private, no-cache, no-store, must-revalidate",
    "Vary": "Cookie",
}


class Kratos:
    """The flows and the accounts.

    Args:
        hook_url: Of the hooks, without a path.
        schema: The identity schema, as JSON.
    """

    def __init__(self, hook_url: str, schema: str) -> None:
        self._hook_url = hook_url
        self._schema = schema
        # State and address.
        self._flows: dict[str, tuple[str, str]] = {}
        self._accounts: dict[str, str] = {}

    def application(self) -> web.Application:
        """Make the application that serves both APIs and the hooks."""
        application = web.Application()
        registration = "/self-service/registration"
        application.add_routes(
            [
                web.get("/schemas", self._schemas),
                web.get(f"{registration}/api", self._open),
                web.post(registration, self._submit),
                web.get("/admin/identities", self._find),
                web.delete("/admin/identities/{id}/sessions", _gone),
                web.post("/kratos/code", _hook_code),
                web.post("/kratos/password", _hook_password),
            ]
        )
        application.cleanup_ctx.append(self._connected)
        return application

    async def _connected(self, _application: web.Application) -> Any:
        async with aiohttp.ClientSession() as self._http:
            yield

    async def _schemas(self, _request: web.Request) -> web.Response:
        return _answer(200, f'[{{"id":"user","schema":{self._schema}}}]')

    async def _open(self, _request: web.Request) -> web.Response:
        flow = str(uuid.uuid4())
        self._flows[flow] = "choose_method", ""
        return _answer(200, _filled("open", flow=flow))

    async def _submit(self, request: web.Request) -> web.Response:
        flow = request.query["flow"]
        state, email = self._flows[flow]
        given = await request.json()
        if given["method"] == "password":
            return await self._register(flow, given["traits"]["email"])
        if state == "choose_method":
            email = given["traits"]["email"]
            self._flows[flow] = "sent_email", email
            return _answer(400, _filled("sent", flow=flow, email=email))
        if state != "sent_email" or given["code"] != RIGHT_CODE:
            return _answer(400, _filled("wrong", flow=flow, email=email))
        self._flows[flow] = "passed_challenge", email
        _, hook = await self._ask("code", {})
        said = _messages(hook)
        return _answer(400, _filled("proved", flow=flow, email=email, said=said))

    async def _register(self, flow: str, email: str) -> web.Response:
        """Make an account, if the hook agrees to it."""
        status, hook = await self._ask("password", {"flow_id": flow, "email": email})
        if status != 200:  # noqa: PLR2004
            said = _messages(hook)
            return _answer(400, _filled("refused", flow=flow, email=email, said=said))
        (address,) = hook["identity"]["verifiable_addresses"]
        account = _filled(
            "identity",
            id=str(uuid.uuid4()),
            email=email,
            address_id=address["id"],
            verified=address["verified"],
        )
        self._accounts[email.lower()] = account
        return _answer(200, f'{{"identity":{account}}}')

    async def _ask(self, hook: str, body: dict[str, str]) -> tuple[int, Any]:
        url = f"{self._hook_url}/kratos/{hook}"
        async with self._http.post(url, json=body) as answer:
            return answer.status, await answer.json()

    async def _find(self, request: web.Request) -> web.Response:
        email = request.query["credentials_identifier"].lower()
        return _answer(200, f"[{self._accounts.get(email, '')}]")


async def _gone(_request: web.Request) -> web.Response:
    return web.Response(status=204)


async def _hook_code(_request: web.Request) -> web.Response:
    messages = [{"instance_ptr": "#/traits/email", "messages": PROVED}]
    return web.json_response({"messages": messages}, status=403)


async def _hook_password(request: web.Request) -> web.Response:
    email = (await request.json())["email"].lower()
    verified = {"via": "email", "verified": True, "status": "completed"}
    address = {"id": str(uuid.uuid4()), "value": email, **verified}
    return web.json_response({"identity": {"verifiable_addresses": [address]}})


def _messages(hook: Any) -> Any:
    """Give what a hook wants shown on the address."""
    return hook["messages"][0]["messages"]


def _filled(name: str, **values: Any) -> str:
    """Fill in the places of an answer, each `{name}`; some are a whole JSON value."""
    text = ANSWERS[name]
    for place, value in values.items():
        whole = f'"{{{place}}}"'
        text = text.replace(whole, json.dumps(value)).replace(whole[1:-1], str(value))
    return text


def _answer(status: int, body: str) -> web.Response:
    return web.Response(
        status=status, text=body, content_type="application/json", headers=HEADERS
    )


def main(port: str, hook_url: str, schema_file: str) -> None:
    """Serve until the process ends."""
    kratos = Kratos(hook_url, Path(schema_file).read_text(encoding="utf-8"))
    uvloop.install()
    application = kratos.application()
    web.run_app(application, host="127.0.0.1", port=int(port), access_log=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
