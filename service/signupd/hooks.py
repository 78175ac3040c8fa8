"""What Kratos asks us: the two web hooks that its registration flows call.

The code hook stops Kratos from storing an account at the code, always. The password
hook lets it store one account: that of a sign-up which is setting a password right now,
by the very flow that asks. Whoever else calls them learns and changes nothing.
"""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from signupd.errors import LedgerUnavailable
from signupd.kratos.outcomes import (
    MARK,
    NOT_NOW_ID,
    PROVED_ID,
    UNKNOWN_FLOW_ID,
)
from signupd.signup.approve import Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import structlog

    from signupd.ledger.ledger import Approval

    # Asked with a flow's id and an address: may its account be stored?
    Judge = Callable[[str, str], Awaitable[Approval | Refusal]]
    # Told of a flow: its code was right, if it is Kratos who says so.
    Told = Callable[[str], None]

CODE_PATH: Final = "/kratos/code"
PASSWORD_PATH: Final = "/kratos/password"  # noqa: S105 - a path
KEY_HEADER: Final = "X-Hook-Key"
# What our jsonnet sends has two short fields.
MAX_BODY_BYTES: Final = 8 * 1024


def _refusal(message_id: int, text: str) -> bytes:
    """Make a body that Kratos passes on as a message of its own on the address."""
    message = {"id": message_id, "text": text, "type": "info"}
    return json.dumps(
        {"messages": [{"instance_ptr": "#/traits/email", "messages": [message]}]}
    ).encode()


_PROVED: Final = _refusal(PROVED_ID, "proved")
_UNKNOWN_FLOW: Final = _refusal(UNKNOWN_FLOW_ID, "unknown flow")
_NOT_NOW: Final = _refusal(NOT_NOW_ID, "not now")


class Hooks:
    """Answers Kratos' hooks.

    Args:
        judge: Says whether an account may be stored.
        told: Hears whose code was right, where Kratos says so.
        log: Whoever comes without the key is noted there.
        key: Demanded in the header ``X-Hook-Key``, where given.
    """

    def __init__(
        self,
        judge: Judge,
        told: Told,
        log: structlog.typing.FilteringBoundLogger,
        key: str | None,
    ) -> None:
        self._judge = judge
        self._told = told
        self._log = log
        self._key = None if key is None else key.encode()

    def app(self) -> web.Application:
        """Make the web application."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post(CODE_PATH, self.code)
        app.router.add_post(PASSWORD_PATH, self.password)
        return app

    async def code(self, request: web.Request) -> web.Response:
        """Say no to an account at the code: that alone tells that it was right."""
        self._admit(request)
        said = _texts(await _content(request), "flow_id")
        if said is not None:
            self._told(said[0])
        return _json(403, _PROVED)

    async def password(self, request: web.Request) -> web.Response:
        """Say yes to the one account that a live SETTING lease asks for."""
        self._admit(request)
        asked = _texts(await request.read(), "flow_id", "email")
        if asked is None:
            return _json(403, _UNKNOWN_FLOW)
        flow_id, address = asked
        try:
            verdict = await self._judge(flow_id, address)
        except LedgerUnavailable as error:
            self._log.warning("hook_without_ledger", why=error.detail)
            verdict = Refusal.NOT_NOW
        if verdict is Refusal.NOT_NOW:
            return _json(403, _NOT_NOW)
        if verdict is Refusal.UNKNOWN_FLOW:
            return _json(403, _UNKNOWN_FLOW)
        return _json(200, _yes(verdict, address))

    def _admit(self, request: web.Request) -> None:
        header = request.headers.get(KEY_HEADER, "")
        given = header.encode("utf-8", "surrogateescape")
        if self._key is not None and not hmac.compare_digest(given, self._key):
            self._log.warning("hook_key_wrong", path=request.path)
            raise web.HTTPForbidden


async def _content(request: web.Request) -> bytes:
    """Read a body that nothing depends on."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        return b""


def _texts(body: bytes, *names: str) -> list[str] | None:
    """Read some fields of a JSON object; None where they are not there, or no texts."""
    try:
        asked = json.loads(body)
        values = [asked[name] for name in names]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return values if all(map(_is_text, values)) else None


def _is_text(value: object) -> bool:
    """Tell text from other JSON values, and from lone surrogates, which JSON allows."""
    try:
        return isinstance(value, str) and bool(value.encode())
    except UnicodeEncodeError:
        return False


def _yes(approval: Approval, address: str) -> bytes:
    """Have Kratos store the address as verified, and our mark with the account."""
    verified: dict[str, Any] = {
        "value": address.lower(),  # in any other case Kratos drops the mark
        "via": "email",
        "verified": True,
        "status": "completed",
    }
    mark = {"signup_id": str(approval.signup_id), "attempt": approval.epoch}
    identity = {"verifiable_addresses": [verified], "metadata_admin": {MARK: mark}}
    return json.dumps({"identity": identity}).encode()


def _json(status: int, body: bytes) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json")
