"""What Kratos asks us: the two web hooks that its registration flows call.

The code hook stops Kratos from storing an account at the code, always. The password
hook lets it store one account: that of a sign-up which is setting a password right now,
by the very flow that asks. Whoever else calls them learns and changes nothing.
"""

from __future__ import annotations

import hmac
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from signupd.errors import LedgerUnavailable
from signupd.httpd.messages import Answer
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

    from signupd.httpd.messages import Question
    from signupd.ledger.ledger import Approval

    # Asked with a flow's id and an address: may its account be stored?
    Judge = Callable[[str, str], Awaitable[Approval | Refusal]]

CODE_PATH: Final = "/kratos/code"
PASSWORD_PATH: Final = "/kratos/password"  # noqa: S105 - a path
KEY_HEADER: Final = "X-Hook-Key"
_KEY_HEADER: Final = KEY_HEADER.lower().encode()


def _refusal(message_id: int, text: str) -> Answer:
    """Make an answer that Kratos passes on as a message of its own on the address."""
    message = {"id": message_id, "text": text, "type": "info"}
    entry = {"instance_ptr": "#/traits/email", "messages": [message]}
    return Answer(HTTPStatus.FORBIDDEN, json.dumps({"messages": [entry]}).encode())


_PROVED: Final = _refusal(PROVED_ID, "proved")
_UNKNOWN_FLOW: Final = _refusal(UNKNOWN_FLOW_ID, "unknown flow")
_NOT_NOW: Final = _refusal(NOT_NOW_ID, "not now")


class Hooks:
    """Answers Kratos' hooks.

    Args:
        judge: Says whether an account may be stored.
        log: Whoever comes without the key is noted there.
        key: Demanded in the header ``X-Hook-Key``, where given.
    """

    def __init__(
        self,
        judge: Judge,
        log: structlog.typing.FilteringBoundLogger,
        key: str | None,
    ) -> None:
        self._judge = judge
        self._log = log
        self._key = None if key is None else key.encode()

    def answer(self, question: Question) -> Answer | Awaitable[Answer]:
        """Answer a request; nothing else is on the port."""
        if question.path not in (CODE_PATH, PASSWORD_PATH):
            return Answer(HTTPStatus.NOT_FOUND)
        if question.method != "POST":
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, allowed="POST")
        if not self.has_key(question):
            self._log.warning("hook_key_wrong", path=question.path)
            return Answer(HTTPStatus.FORBIDDEN)
        if question.path == CODE_PATH:
            return _PROVED
        return self._password(question.body)

    def _password(self, body: bytes | None) -> Answer | Awaitable[Answer]:
        """Say yes to the one account that a live SETTING lease asks for."""
        if body is None:
            return Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        asked = _texts(body, "flow_id", "email")
        if asked is None:
            return _UNKNOWN_FLOW
        return self._judged(*asked)

    async def _judged(self, flow_id: str, address: str) -> Answer:
        try:
            verdict = await self._judge(flow_id, address)
        except LedgerUnavailable as error:
            self._log.warning("hook_without_ledger", why=error.detail)
            verdict = Refusal.NOT_NOW
        if verdict is Refusal.NOT_NOW:
            return _NOT_NOW
        if verdict is Refusal.UNKNOWN_FLOW:
            return _UNKNOWN_FLOW
        return _yes(verdict, address)

    def has_key(self, question: Question) -> bool:
        """Tell whether somebody brought the key, where there is one."""
        given = question.headers.get(_KEY_HEADER, b"")
        return self._key is None or hmac.compare_digest(given, self._key)


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


def _yes(approval: Approval, address: str) -> Answer:
    """Have Kratos store the address as verified, and our mark with the account."""
    verified: dict[str, Any] = {
        "value": address.lower(),  # in any other case Kratos drops the mark
        "via": "email",
        "verified": True,
        "status": "completed",
    }
    mark = {"signup_id": str(approval.signup_id), "attempt": approval.epoch}
    identity = {"verifiable_addresses": [verified], "metadata_admin": {MARK: mark}}
    return Answer(HTTPStatus.OK, json.dumps({"identity": identity}).encode())
