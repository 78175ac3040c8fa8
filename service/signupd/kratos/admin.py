"""Kratos' admin API: where it is, how it is asked, and what its refusals mean."""

from __future__ import annotations

import contextlib
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from signupd.errors import KratosIncompatible, KratosUnavailable

if TYPE_CHECKING:
    from signupd.kratos.calls import Call
    from signupd.kratos.http import HttpClient, Response

# A deletion that is lost would leave what must not stay.
_TRIES: Final = 3
# RFC 8288, as Kratos writes it: <url>; rel="first",<url>; rel="next"
_NEXT_PAGE: Final = re.compile(r'<([^>]*)>;\s*rel="?next"?')


class AdminApi:
    """Asks the admin API. Every method raises what ``HttpClient.request`` raises.

    Args:
        http: Where requests go out.
        url: Of the admin API, without a trailing slash.
        timeout_seconds: For each request.
        token: Sent as a bearer token, where given.
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

    async def get(self, path: str, call: Call | None = None) -> Response:
        """Ask for something, whatever the answer's status.

        Args:
            path: From ``/admin`` on, with its query.
            call: What it is for; what the path tells unless given.
        """
        return await self._request("GET", path, call)

    async def listed(self, path: str, call: Call | None = None) -> list[Any]:
        """Ask for a list.

        Args:
            path: As for ``get``.
            call: As for ``get``.

        Raises:
            KratosIncompatible: The answer is none.
        """
        return _items(await self.get(path, call))

    async def page(self, path: str) -> tuple[list[Any], str | None]:
        """Ask for a page of a list.

        Returns:
            What is on it, and the token of the next one; None after the last.

        Raises:
            KratosIncompatible: The answer is no list, or its next page has no token.
        """
        answer = await self.get(path)
        return _items(answer), _next_token(", ".join(answer.headers.get_list("Link")))

    async def delete(self, path: str, *, tries: int = _TRIES) -> None:
        """Delete something; it may be gone already.

        Args:
            path: As above.
            tries: So often at the most, while Kratos does not answer.

        Raises:
            KratosIncompatible: Kratos refuses.
        """
        answer = await self._persist("DELETE", path, tries)
        if answer.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND):
            raise KratosIncompatible(fault_of(answer))

    async def _persist(self, method: str, path: str, tries: int) -> Response:
        for _ in range(tries - 1):
            with contextlib.suppress(KratosUnavailable):
                return await self._request(method, path)
        return await self._request(method, path)

    async def _request(
        self, method: str, path: str, call: Call | None = None
    ) -> Response:
        url = self._url + path
        return await self._http.request(
            method, url, self._timeout, headers=self._headers, call=call
        )


def _items(answer: Response) -> list[Any]:
    if answer.status != HTTPStatus.OK or not isinstance(answer.body, list):
        raise KratosIncompatible(fault_of(answer))
    return answer.body


def _next_token(link: str) -> str | None:
    """Read the next page's token; the rest of the link is a proxy's to garble."""
    found = _NEXT_PAGE.search(link)
    if found is None:
        return None
    tokens = parse_qs(urlsplit(found[1]).query).get("page_token")
    if not tokens:
        raise KratosIncompatible("Kratos' link to the next page has no page_token")
    return tokens[0]


def fault_of(answer: Response) -> str:
    """Say what an unwanted answer may come from."""
    return (
        f"Kratos' admin API answered with HTTP status {answer.status}: is "
        "KRATOS_ADMIN_URL right, and KRATOS_ADMIN_TOKEN?"
    )
