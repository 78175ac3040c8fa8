"""Kratos' admin API: identities, sessions and the courier; and both APIs as one."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

from signupd.errors import KratosIncompatible, KratosUnavailable
from signupd.kratos.answers import Delivery
from signupd.kratos.failures import if_redirected
from signupd.kratos.http import Call, HttpClient, Response
from signupd.kratos.identity import (
    Identity,
    Session,
    read_identity,
    read_session,
    read_time,
)
from signupd.kratos.public import PublicApi

Query = Sequence[tuple[str, str]]
# RFC 9562, 5.10. Kratos' ids are random UUIDs, of version 4.
NOBODY: Final = uuid.UUID(int=2**128 - 1)
_NOT_ASKED_FOR: Final = "Kratos lists identities that were not asked for"

# Kratos' own default. A page takes it 50 ms, with SQLite, and is 400 KB of JSON.
PAGE_IDENTITIES: Final = 250
# One URL of 4 KiB, half of what servers and proxies commonly take.
MAX_ACCOUNTS: Final = 100
# The newest sessions that are read. An owner with more of them has come back.
MAX_SESSIONS: Final = 100
# If every deletion were lost, what must not stay would stay.
_DELETE_TRIES: Final = 3
# Before the last try, and before the one before it: Kratos' database may be starting
# again. All tries have to fit into a lease.
_PAUSES_SECONDS: Final = (1.0, 0.25)
_IDENTITIES: Final = "/admin/identities"
# Kratos makes these from the schema for every identity, with nothing in them. Only
# their configuration shows whether they are in use.
_BORN_EMPTY: Final = ("password", "webauthn")
_CODE_MAIL: Final = "registration_code_valid"
_MAILS: Final = 10
# Kratos' codes have six digits. The courier's body is the mail's plain text.
_CODE: Final = re.compile(r"(?<!\d)\d{6}(?!\d)")
# RFC 8288, as Kratos writes it: <url>; rel="first",<url>; rel="next"
_NEXT_PAGE: Final = re.compile(r'<([^>]*)>;\s*rel="?next"?')
_DELIVERIES: Final = {
    "queued": Delivery.QUEUED,
    "processing": Delivery.QUEUED,
    "sent": Delivery.SENT,
    "abandoned": Delivery.FAILED,
}


class _Mail(NamedTuple):
    """A mail in the courier's books."""

    created_at: datetime
    is_code: bool
    delivery: Delivery
    text: str


class AdminApi:
    """Calls the admin API. Every method raises what ``HttpClient.request`` raises.

    A response that is not what the API promises is KratosIncompatible. The URL has no
    trailing slash; ``seconds`` is how long to wait for a response.
    """

    def __init__(
        self, http: HttpClient, url: str, seconds: float, token: str | None = None
    ) -> None:
        self._http = http
        self._url = url
        self._seconds = seconds
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    async def find_identity(self, address: str) -> Identity | None:
        """Find the identity that an address identifies, whatever its letter case."""
        query = [("credentials_identifier", address)]
        found = await self._identities(Call.FIND, query)
        return found[0] if found else None

    async def find_account(self, address: str) -> Identity | None:
        """Find the identity whose address trait this is, and its password's status.

        Kratos looks through all identifiers: a canonical address may be the user name
        of another identity.
        """
        query = [("credentials_identifier", address)]
        found = await self._identities(Call.FIND, query, _BORN_EMPTY)
        return next((one for one in found if one.address == address), None)

    async def accounts(self, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Identity]:
        """Read the identities that exist of these, with their passwords' status.

        Give 1 to ``MAX_ACCOUNTS`` ids; Kratos lists all identities when given none.

        Raises:
            KratosIncompatible: Kratos, or a proxy before it, ignores the ids.
        """
        wanted = frozenset(ids)
        # On one page, whatever Kratos' default size is.
        query = [("page_size", str(len(wanted)))]
        query += [("ids", str(identity_id)) for identity_id in wanted]
        listed = await self._identities(Call.ACCOUNTS, query, _BORN_EMPTY)
        found = {one.id: one for one in listed}
        if not found.keys() <= wanted:
            raise KratosIncompatible(_NOT_ASKED_FOR)
        return found

    async def pages(self) -> AsyncIterator[list[Identity]]:
        """List all identities as ``accounts`` does, by their ids, a page at a time.

        An identity that is stored meanwhile may be listed or not.
        """
        query = [("page_size", str(PAGE_IDENTITIES)), *_showing(_BORN_EMPTY)]
        token: str | None = None
        while True:
            after = [] if token is None else [("page_token", token)]
            response = await self._get(Call.ACCOUNTS, _IDENTITIES, [*query, *after])
            bodies = _items(response)
            last, token = token, _next_token(response)
            if token is not None and token == last:
                raise KratosIncompatible("Kratos' list of identities goes in a circle")
            yield [read_identity(body, _BORN_EMPTY) for body in bodies]
            if token is None:
                return

    async def sessions(self, identity_id: uuid.UUID) -> list[Session]:
        """Read an identity's newest sessions, also ended ones that Kratos still has.

        The newest comes first, and there are at most MAX_SESSIONS.
        """
        path = f"{_IDENTITIES}/{identity_id}/sessions"
        query = [("page_size", str(MAX_SESSIONS))]
        response = await self._get(Call.SESSIONS, path, query)
        return [read_session(body) for body in _items(response)]

    async def end_sessions(self, identity_id: uuid.UUID) -> None:
        """End all sessions of an identity; there may be none."""
        path = f"{_IDENTITIES}/{identity_id}/sessions"
        await self._delete(Call.SESSIONS, path, _DELETE_TRIES)

    async def delete_identity(
        self, identity_id: uuid.UUID, *, tries: int = _DELETE_TRIES
    ) -> None:
        """Delete an identity; it may be gone already.

        In a sign-up, only one that an answer to our own POST named. While Kratos does
        not answer, it is tried again; once only for an identity that may change, since
        a second try would come too long after the look at it.
        """
        await self._delete(Call.DELETE, f"{_IDENTITIES}/{identity_id}", tries)

    async def code_delivery(self, address: str, since: datetime) -> Delivery | None:
        """Ask the courier what became of the newest code mail to a canonical address.

        ``since`` has a time zone. None says that none was queued after it.
        """
        mails = [one for one in await self._mails(address) if one.created_at >= since]
        codes = [one.delivery for one in mails if one.is_code]
        if codes or len(mails) < _MAILS:
            return codes[0] if codes else None
        # Mails that only an account gets have pushed it off the page. The courier takes
        # the oldest first, so the code mail has left if any later one has.
        for status in ("sent", "abandoned"):
            left = await self._mails(address, ("status", status))
            if left and left[0].created_at >= since:
                return left[0].delivery
        return Delivery.QUEUED

    async def newest_code(self, address: str) -> str:
        """Read the code in the newest code mail to an address, for ``signupd check``.

        It is empty if there is none, and outside ``--dev``, where the courier hides the
        mails' text.
        """
        mails = await self._mails(address)
        newest = next((one.text for one in mails if one.is_code), "")
        code = _CODE.search(newest)
        return "" if code is None else code.group()

    async def ready(self, seconds: float) -> None:
        """Ask for an account, as AccountService does, by an id that none has."""
        query = urlencode([("page_size", "1"), ("ids", str(NOBODY))])
        url = f"{self._url}{_IDENTITIES}?{query}"
        response = await self._http.request(
            "GET", url, seconds, headers=self._headers, call=Call.READY
        )
        if _items(response):
            raise KratosIncompatible(_NOT_ASKED_FOR)

    async def version(self) -> str:
        """Ask for Kratos' version, such as ``v1.3.1``; may be empty."""
        body = (await self._get(Call.VERSION, "/admin/version")).body
        return str(body.get("version", "")) if isinstance(body, dict) else ""

    async def _mails(self, address: str, *more: tuple[str, str]) -> list[_Mail]:
        """List the last mails to an address, the newest first."""
        query = [("page_size", str(_MAILS)), ("recipient", address), *more]
        response = await self._get(Call.COURIER, "/admin/courier/messages", query)
        try:
            mails = [
                _Mail(
                    read_time(mail["created_at"]),
                    mail["template_type"] == _CODE_MAIL,
                    _DELIVERIES[mail["status"]],
                    str(mail.get("body", "")),
                )
                for mail in _items(response)
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise KratosIncompatible("the courier's answer is unknown here") from error
        return sorted(mails, key=lambda mail: mail.created_at, reverse=True)

    async def _identities(
        self, call: Call, query: Query, shown: Sequence[str] = ()
    ) -> list[Identity]:
        response = await self._get(call, _IDENTITIES, [*query, *_showing(shown)])
        return [read_identity(body, shown) for body in _items(response)]

    async def _get(self, call: Call, path: str, query: Query = ()) -> Response:
        url = f"{self._url}{path}?{urlencode(query)}"
        return await self._http.request(
            "GET", url, self._seconds, headers=self._headers, call=call
        )

    async def _delete(self, call: Call, path: str, tries: int) -> None:
        url = self._url + path
        for left in reversed(range(tries)):
            try:
                response = await self._http.request(
                    "DELETE", url, self._seconds, headers=self._headers, call=call
                )
            except KratosUnavailable:
                if not left:
                    raise
                await asyncio.sleep(_PAUSES_SECONDS[left - 1])
                continue
            if response.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND):
                raise _refused(response)
            return


@dataclass(frozen=True, slots=True)
class Kratos:
    """Both APIs, and what sends their requests."""

    http: HttpClient
    public: PublicApi
    admin: AdminApi

    async def close(self) -> None:
        """Close all connections."""
        await self.http.close()


def _showing(kinds: Sequence[str]) -> Query:
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
    redirect = if_redirected(response.status)
    return KratosIncompatible(
        f"Kratos' admin API answered with HTTP status {response.status}: "
        f"KRATOS_ADMIN_URL or KRATOS_ADMIN_TOKEN may be wrong{redirect}"
    )
