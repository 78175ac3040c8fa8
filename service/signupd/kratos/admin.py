"""Kratos' admin API: where it is, how it is asked, and what its refusals mean."""

from __future__ import annotations

import contextlib
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from signupd.errors import KratosIncompatible, KratosUnavailable

if TYPE_CHECKING:
    from signupd.kratos.wire import Answer, Wire

# A deletion that is lost would leave what must not stay.
_TRIES: Final = 3


class AdminApi:
    """Asks the admin API. Every method raises what ``Wire.request`` raises.

    Args:
        wire: Where requests go out.
        url: Of the admin API, without a trailing slash.
        timeout_seconds: For each request.
    """

    def __init__(self, wire: Wire, url: str, timeout_seconds: float) -> None:
        self._wire = wire
        self._url = url
        self._timeout = timeout_seconds

    async def get(self, path: str) -> Answer:
        """Ask for something, whatever the answer's status.

        Args:
            path: From ``/admin`` on, with its query.
        """
        return await self._wire.request("GET", self._url + path, self._timeout)

    async def listed(self, path: str) -> list[Any]:
        """Ask for a list.

        Raises:
            KratosIncompatible: The answer is none.
        """
        answer = await self.get(path)
        if answer.status != HTTPStatus.OK or not isinstance(answer.body, list):
            raise KratosIncompatible(fault_of(answer))
        return answer.body

    async def delete(self, path: str) -> None:
        """Delete something, a few times if need be; it may be gone already.

        Raises:
            KratosIncompatible: Kratos refuses.
        """
        answer = await self._persist("DELETE", path)
        if answer.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND):
            raise KratosIncompatible(fault_of(answer))

    async def _persist(self, method: str, path: str) -> Answer:
        url = self._url + path
        for _ in range(_TRIES - 1):
            with contextlib.suppress(KratosUnavailable):
                return await self._wire.request(method, url, self._timeout)
        return await self._wire.request(method, url, self._timeout)


def fault_of(answer: Answer) -> str:
    """Say what an unwanted answer may come from."""
    return (
        f"Kratos' admin API answered with HTTP status {answer.status}: is "
        "KRATOS_ADMIN_URL right, and KRATOS_ADMIN_TOKEN?"
    )
