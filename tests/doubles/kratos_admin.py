"""The admin API of the double of Kratos: accounts, sessions and the courier's books."""

import uuid

from aiohttp import web
from aiohttp.typedefs import Handler

from tests.doubles.kratos_books import Books

PAGE_SIZE = 250


class AdminApi:
    """Answers the admin API.

    Args:
        books: What the double remembers.
    """

    def __init__(self, books: Books) -> None:
        self._books = books

    def app(self) -> web.Application:
        """Make the web application."""
        app = web.Application(middlewares=[self._admit])
        app.router.add_get("/admin/identities", self.find)
        app.router.add_delete("/admin/identities/{id}", self.delete)
        sessions = "/admin/identities/{id}/sessions"
        app.router.add_get(sessions, self.sessions)
        app.router.add_delete(sessions, self.end_sessions)
        app.router.add_get("/admin/courier/messages", self.mails)
        return app

    async def find(self, request: web.Request) -> web.Response:
        """List accounts: those with these ids, or the one with an identifier."""
        if "ids" in request.query:
            accounts = self._books.accounts
            wanted = {uuid.UUID(one) for one in request.query.getall("ids")}
            found = [accounts[one] for one in sorted(wanted & accounts.keys())]
        else:
            account = self._books.account(request.query["credentials_identifier"])
            found = [] if account is None else [account]
        shown = found[: int(request.query.get("page_size", PAGE_SIZE))]
        credential = "include_credential" in request.query
        return web.json_response(
            [one.body(admin=True, credential=credential) for one in shown]
        )

    async def delete(self, request: web.Request) -> web.Response:
        """Delete an account."""
        gone = self._books.accounts.pop(uuid.UUID(request.match_info["id"]), None)
        return web.Response(status=404 if gone is None else 204)

    async def sessions(self, request: web.Request) -> web.Response:
        """List an account's sessions."""
        account = self._books.accounts[uuid.UUID(request.match_info["id"])]
        return web.json_response([{"active": True}] * account.sessions)

    async def end_sessions(self, request: web.Request) -> web.Response:
        """End an account's sessions; 404 where there are none."""
        account = self._books.accounts.get(uuid.UUID(request.match_info["id"]))
        if account is None or not account.sessions:
            return web.Response(status=404)
        account.sessions = 0
        return web.Response(status=204)

    async def mails(self, request: web.Request) -> web.Response:
        """List the newest mails to an address, newest first."""
        to, most = request.query["recipient"], int(request.query["page_size"])
        found = [mail.body() for mail in self._books.mails if mail.recipient == to]
        status = request.query.get("status")
        shown = [one for one in found if status in (None, one["status"])]
        return web.json_response(shown[::-1][:most])

    @web.middleware
    async def _admit(
        self, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        """Demand the token, where an operator has fenced the admin API in."""
        wanted = f"Bearer {self._books.setup.admin_token}"
        if self._books.setup.admin_token and (
            request.headers.get("Authorization") != wanted
        ):
            return web.json_response({"error": {"code": 401}}, status=401)
        return await handler(request)
