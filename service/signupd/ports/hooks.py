"""The two web hooks that Kratos' registration flows call.

The code hook always stops Kratos from storing an account at the code. The password hook
lets Kratos store one account: that of the sign-up which is setting a password by this
flow now. A foreign request learns and changes nothing.
"""

import hmac
import json
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, Final

import structlog
from aiohttp import web

from signupd.errors import LedgerUnavailable
from signupd.kratos.answers import MARK, NOT_NOW_ID, PROVED_ID, UNKNOWN_FLOW_ID
from signupd.kratos.identity import Mark
from signupd.signup.approve import HookRefusal

# Called with a flow's id and an address: may Kratos store this account?
Approve = Callable[[str, str], Awaitable[Mark | HookRefusal]]

CODE_PATH: Final = "/kratos/code"
PASSWORD_PATH: Final = "/kratos/password"  # noqa: S105 - a path
KEY_HEADER: Final = "X-Hook-Key"
# What our jsonnet sends has two short fields.
MAX_BODY_BYTES: Final = 8 * 1024
# A flood of requests without the key must not fill a disk with lines.
LINE_SECONDS: Final = 60.0


class Hooks:
    """Answers Kratos' hooks.

    ``approve`` decides whether Kratos may store an account. The key, if given, is
    required in the header ``X-Hook-Key``; one line a minute tells of requests without.
    """

    def __init__(
        self,
        approve: Approve,
        log: structlog.typing.FilteringBoundLogger,
        key: str | None,
    ) -> None:
        self._approve = approve
        self._log = log
        self._key = None if key is None else key.encode()
        self._next_line = 0.0  # by the monotonic clock

    def app(self) -> web.Application:
        """Make the web application."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post(CODE_PATH, self._code)
        app.router.add_post(PASSWORD_PATH, self._password)
        return app

    def has_key(self, request: web.Request) -> bool:
        """Return whether a request has the required key, if there is one."""
        given = request.headers.get(KEY_HEADER, "").encode(errors="surrogateescape")
        return self._key is None or hmac.compare_digest(given, self._key)

    async def _code(self, request: web.Request) -> web.Response:
        """Refuse the account: Kratos asks only after the right code.

        The answer is the same for every body, which is therefore not read.
        """
        if not self.has_key(request):
            return self._without_key(request)
        return _refusal(PROVED_ID, "proved")

    async def _password(self, request: web.Request) -> web.Response:
        """Approve the one account that a live SETTING lease asks for."""
        if not self.has_key(request):
            return self._without_key(request)
        fields = _texts(await request.read(), "flow_id", "email")
        if fields is None:
            return _refusal(UNKNOWN_FLOW_ID, "unknown flow")
        flow_id, address = fields
        try:
            verdict = await self._approve(flow_id, address)
        except LedgerUnavailable as error:
            self._log.warning("hook_without_ledger", why=error.detail)
            verdict = HookRefusal.NOT_NOW
        if verdict is HookRefusal.NOT_NOW:
            return _refusal(NOT_NOW_ID, "not now")
        if verdict is HookRefusal.UNKNOWN_FLOW:
            return _refusal(UNKNOWN_FLOW_ID, "unknown flow")
        return _approval(verdict, address)

    def _without_key(self, request: web.Request) -> web.Response:
        now = time.monotonic()
        if now >= self._next_line:
            self._next_line = now + LINE_SECONDS
            self._log.warning("hook_key_wrong", path=request.path)
        return web.Response(status=HTTPStatus.FORBIDDEN)


def _texts(body: bytes, *names: str) -> list[str] | None:
    """Read fields of a JSON object; None unless each is a non-empty ASCII text."""
    try:
        fields = json.loads(body)
        values = [fields[name] for name in names]
        # Ours are ASCII. Other letters may have an ASCII one as their lower case.
        valid = all(isinstance(one, str) and one and one.isascii() for one in values)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return values if valid else None


def _refusal(message_id: int, text: str) -> web.Response:
    """Refuse, with a message that Kratos shows at the address in its own answer."""
    message = {"id": message_id, "text": text, "type": "info"}
    entry = {"instance_ptr": "#/traits/email", "messages": [message]}
    return web.json_response({"messages": [entry]}, status=HTTPStatus.FORBIDDEN)


def _approval(mark: Mark, address: str) -> web.Response:
    """Approve: Kratos stores the address as verified, and our mark."""
    verified: dict[str, Any] = {
        "value": address.lower(),  # in any other case Kratos drops the mark
        "via": "email",
        "verified": True,
        "status": "completed",
    }
    marked = {"signup_id": str(mark.signup_id), "attempt": mark.attempt}
    identity = {"verifiable_addresses": [verified], "metadata_admin": {MARK: marked}}
    return web.json_response({"identity": identity})
