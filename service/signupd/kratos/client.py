"""Kratos as this service sees it: two APIs over one HTTP client."""

from dataclasses import dataclass

from signupd.kratos.admin import AdminApi
from signupd.kratos.http import HttpClient
from signupd.kratos.public import PublicApi


@dataclass(frozen=True, slots=True)
class Kratos:
    """Both APIs, and what sends their requests."""

    http: HttpClient
    public: PublicApi
    admin: AdminApi

    async def close(self) -> None:
        """Close all connections."""
        await self.http.close()
