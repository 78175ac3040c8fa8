"""The identity schemas that a Kratos has, and the one that registration uses."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from signupd.errors import KratosIncompatible
from signupd.kratos.schema import IdentitySchema, read_schema

if TYPE_CHECKING:
    from signupd.kratos.http import HttpClient

_PATH: Final = "/schemas"


class Schemas:
    """Reads schemas. Every method raises what ``HttpClient.request`` raises.

    Args:
        http: Where requests go out.
        public_url: Kratos' public API, without a trailing slash.
        timeout_seconds: For each request.
    """

    def __init__(
        self, http: HttpClient, public_url: str, timeout_seconds: float
    ) -> None:
        self._http = http
        self._url = public_url + _PATH
        self._timeout = timeout_seconds

    async def all(self) -> tuple[IdentitySchema, ...]:
        """Read all of them.

        Raises:
            KratosIncompatible: They cannot be read.
        """
        answer = await self._http.request("GET", self._url, self._timeout)
        if answer.status != HTTPStatus.OK or not isinstance(answer.body, list):
            raise KratosIncompatible(
                f"Kratos' public API shows no schemas (HTTP status {answer.status}): "
                "is KRATOS_PUBLIC_URL right?"
            )
        try:
            return tuple(
                read_schema(str(one["id"]), one["schema"]) for one in answer.body
            )
        except (KeyError, TypeError) as error:
            raise KratosIncompatible("the list of schemas is unknown here") from error

    async def of_registration(self, wanted: str | None) -> IdentitySchema:
        """Read the one that registration uses.

        Args:
            wanted: Its name; None for the only one.

        Raises:
            KratosIncompatible: There is none such, or none is named and there are
                several.
        """
        found = {schema.id: schema for schema in await self.all()}
        if wanted is None and len(found) == 1:
            (wanted,) = found
        if wanted is None:
            raise KratosIncompatible(
                f"Kratos has {len(found)} identity schemas, and which of them "
                "registration uses only IDENTITY_SCHEMA_ID can tell"
            )
        if wanted not in found:
            raise KratosIncompatible(
                "Kratos has no identity schema of the name that IDENTITY_SCHEMA_ID has"
            )
        return found[wanted]
