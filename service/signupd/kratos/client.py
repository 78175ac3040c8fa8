"""Kratos as this service sees it: two APIs over one HTTP client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signupd.kratos.admin import AdminApi
    from signupd.kratos.http import HttpClient
    from signupd.kratos.public import PublicApi


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait for Kratos, in seconds.

    Args:
        call: Where Kratos works alone.
        hooked: Where Kratos calls a hook on the way: a dead hook costs it 3 s, a slow
            one as long as it takes.
    """

    call: float
    hooked: float


@dataclass(frozen=True, slots=True)
class Kratos:
    """Both APIs.

    Args:
        http: Sends the requests of both.
        public: Registration flows and identity schemas.
        admin: Identities, sessions and the courier.
    """

    http: HttpClient
    public: PublicApi
    admin: AdminApi

    async def close(self) -> None:
        """Close all connections."""
        await self.http.close()
