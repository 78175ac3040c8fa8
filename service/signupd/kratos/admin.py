"""Kratos' admin API: identities, sessions and the courier, one method a call."""

from __future__ import annotations

import contextlib
import re
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from signupd.errors import KratosIncompatible, KratosUnavailable
from signupd.kratos.calls import Call
from signupd.kratos.identity import Identity, read_identity, read_session
from signupd.kratos.outcomes import Delivery

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator, Collection, Sequence

    from signupd.kratos.http import HttpClient, Response
    from signupd.kratos.identity import Session

# Kratos' own default. A page takes it 50 ms, with SQLite, and is 400 KB of JSON.
PAGE_IDENTITIES: Final = 250
# The newest sessions that are read. An owner with more of them has come back.
MAX_SESSIONS: Final = 100
# A lost deletion would leave what must not stay.
_DELETE_TRIES: Final = 3
_IDENTITIES: Final = "/admin/identities"
_PASSWORD: Final = ("password",)
# Kratos makes these from the schema for every identity, with nothing in them; only
# their configuration tells.
_BORN_EMPTY: Final = ("password", "webauthn")
_CODE_MAIL: Final = "registration_code_valid"
_MAILS: Final = 10
# Kratos' codes have six digits. The courier's body is the mail's plain text.
_CODE: Final = re.compile(r"(?<!\d)\d{6}(?!\d)")
# RFC 8288, as Kratos writes it: <url>; rel="first",<url>; rel="next"
_NEXT_PAGE: Final = re.compile(r'<([^>]*)>;\s*rel="?next"?')

_Query = list[tuple[str, str]]


_DELIVERIES: Final = {
    "queued": Delivery.QUEUED,
    "processing": Delivery.QUEUED,
    "sent": Delivery.SENT,
    "abandoned": Delivery.FAILED,
}


class AdminApi:
    """Calls the admin API. Every method raises what ``HttpClient.request`` raises.

    A response that is not what the API promises is KratosIncompatible.

    Args:
        http: Sends the requests.
        url: The admin API's, without a trailing slash.
        timeout_seconds: For each request.
        token: Sent as a bearer token, if given.
    """

    def __init__(
        self,
        http: HttpClient,
        url: str,
        timeout_seconds: float,
        token: str | None = None,
    ) -> None:
        self._http = http
        self._url = url
        self._timeout = timeout_seconds
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    async def find_identity(self, address: str) -> Identity | None:
        """Find the identity that an address identifies, whatever its letter case."""
        found = await self._identities([("credentials_identifier", address)], Call.FIND)
        return found[0] if found else None

    async def find_account(self, address: str) -> Identity | None:
        """Find the identity whose address trait this is, and its password's status.

        Kratos looks through all identifiers: an address may be the user name of
        another identity.

        Args:
            address: The canonical address.
        """
        query = [("credentials_identifier", address)]
        found = await self._identities(query, Call.FIND, _PASSWORD)
        return next((one for one in found if one.address == address), None)

    async def accounts(self, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Identity]:
        """Read identities by their ids, with their passwords' status.

        Args:
            ids: At least one, since Kratos lists all identities when given none; at
                most a few hundred, since each takes 41 bytes of a URL.

        Returns:
            Those that exist, by id.

        Raises:
            KratosIncompatible: Kratos, or a proxy before it, ignores the ids.
        """
        wanted = frozenset(ids)
        # On one page, whatever Kratos' default size is.
        query = [("page_size", str(len(wanted)))]
        query += [("ids", str(identity_id)) for identity_id in wanted]
        listed = await self._identities(query, Call.ACCOUNTS, _PASSWORD)
        found = {one.id: one for one in listed}
        if not found.keys() <= wanted:
            raise KratosIncompatible("Kratos lists identities that were not asked for")
        return found

    async def pages(self) -> AsyncIterator[list[Identity]]:
        """List all identities in the order of their ids, a page at a time.

        An identity that is stored meanwhile may be listed or not.
        """
        query = [("page_size", str(PAGE_IDENTITIES)), *_showing(_BORN_EMPTY)]
        token: str | None = None
        while True:
            after = [] if token is None else [("page_token", token)]
            path = f"{_IDENTITIES}?{urlencode([*query, *after])}"
            response = await self._get(path, Call.ACCOUNTS)
            bodies = _items(response)
            last, token = token, _next_token(response)
            if token is not None and token == last:
                raise KratosIncompatible("Kratos' list of identities goes in a circle")
            yield [read_identity(body, _BORN_EMPTY) for body in bodies]
            if token is None:
                return

    async def identity(self, identity_id: uuid.UUID) -> Identity | None:
        """Read an identity as ``pages`` does; None if it is gone."""
        path = f"{_IDENTITIES}/{identity_id}?{urlencode(_showing(_BORN_EMPTY))}"
        response = await self._get(path, Call.ACCOUNTS)
        if response.status == HTTPStatus.NOT_FOUND:
            return None
        if response.status != HTTPStatus.OK:
            raise _refused(response)
        return read_identity(response.body, _BORN_EMPTY)

    async def sessions(self, identity_id: uuid.UUID) -> list[Session]:
        """Read an identity's sessions, also ended ones, as long as Kratos keeps them.

        Returns:
            The newest first, at most MAX_SESSIONS.
        """
        path = f"{_IDENTITIES}/{identity_id}/sessions?page_size={MAX_SESSIONS}"
        response = await self._get(path, Call.SESSIONS)
        return [read_session(body) for body in _items(response)]

    async def end_sessions(self, identity_id: uuid.UUID) -> None:
        """End all sessions of an identity; there may be none."""
        path = f"{_IDENTITIES}/{identity_id}/sessions"
        await self._delete(path, Call.SESSIONS, _DELETE_TRIES)

    async def delete_identity(
        self, identity_id: uuid.UUID, *, tries: int = _DELETE_TRIES
    ) -> None:
        """Delete an identity; it may be gone already.

        Args:
            identity_id: In a sign-up, only one that an answer to our own POST named.
            tries: How often to try at most, while Kratos does not answer. Once for an
                identity that may change: a second try would come too long after the
                look at it.
        """
        await self._delete(f"{_IDENTITIES}/{identity_id}", Call.DELETE, tries)

    async def code_delivery(self, address: str, since: datetime) -> Delivery | None:
        """Ask the courier what became of the newest code mail to an address.

        Args:
            address: The canonical address.
            since: Mails queued before are not looked at; with a time zone.

        Returns:
            None if there is no such mail among the address' last ten.
        """
        mails = await self._code_mails(address)
        try:
            queued = [
                (datetime.fromisoformat(mail["created_at"]), str(mail["status"]))
                for mail in mails
            ]
            newest = max((mail for mail in queued if mail[0] >= since), default=None)
            return None if newest is None else _DELIVERIES[newest[1]]
        except (KeyError, TypeError, ValueError) as error:
            raise KratosIncompatible("the courier's answer is unknown here") from error

    async def newest_code(self, address: str) -> str:
        """Read the code in the newest code mail to an address, for a preflight.

        Returns:
            Empty if there is none, or where the courier hides the mails' text, as
            it does outside ``--dev``.
        """
        mails = await self._code_mails(address)
        try:
            newest = max(mails, key=lambda mail: str(mail["created_at"]), default=None)
            code = None if newest is None else _CODE.search(str(newest["body"]))
        except KeyError as error:
            raise KratosIncompatible("the courier's answer is unknown here") from error
        return "" if code is None else code.group()

    async def version(self) -> str:
        """Ask for Kratos' version, such as ``v1.3.1``; may be empty."""
        body = (await self._get("/admin/version", Call.VERSION)).body
        return str(body.get("version", "")) if isinstance(body, dict) else ""

    async def _code_mails(self, address: str) -> list[Any]:
        query = urlencode([("page_size", _MAILS), ("recipient", address)])
        mails = _items(
            await self._get(f"/admin/courier/messages?{query}", Call.COURIER)
        )
        try:
            return [mail for mail in mails if mail["template_type"] == _CODE_MAIL]
        except (KeyError, TypeError) as error:
            raise KratosIncompatible("the courier's answer is unknown here") from error

    async def _identities(
        self, query: _Query, call: Call, shown: Sequence[str] = ()
    ) -> list[Identity]:
        path = f"{_IDENTITIES}?{urlencode([*query, *_showing(shown)])}"
        response = await self._get(path, call)
        return [read_identity(body, shown) for body in _items(response)]

    async def _get(self, path: str, call: Call) -> Response:
        return await self._request("GET", path, call)

    async def _delete(self, path: str, call: Call, tries: int) -> None:
        for _ in range(tries - 1):
            with contextlib.suppress(KratosUnavailable):
                return await self._delete_once(path, call)
        return await self._delete_once(path, call)

    async def _delete_once(self, path: str, call: Call) -> None:
        response = await self._request("DELETE", path, call)
        if response.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND):
            raise _refused(response)

    async def _request(self, method: str, path: str, call: Call) -> Response:
        url = self._url + path
        return await self._http.request(
            method, url, self._timeout, headers=self._headers, call=call
        )


def _showing(kinds: Sequence[str]) -> _Query:
    return [("include_credential", kind) for kind in kinds]


def _items(response: Response) -> list[Any]:
    if response.status != HTTPStatus.OK or not isinstance(response.body, list):
        raise _refused(response)
    return response.body


def _next_token(response: Response) -> str | None:
    """Read the next page's token; a proxy may have changed the rest of the link."""
    found = _NEXT_PAGE.search(", ".join(response.headers.get_list("Link")))
    if found is None:
        return None
    tokens = parse_qs(urlsplit(found[1]).query).get("page_token")
    if not tokens:
        raise KratosIncompatible("Kratos' link to the next page has no page_token")
    return tokens[0]


def _refused(response: Response) -> KratosIncompatible:
    return KratosIncompatible(
        f"Kratos' admin API answered with HTTP status {response.status}: is "
        "KRATOS_ADMIN_URL right, and KRATOS_ADMIN_TOKEN?"
    )
