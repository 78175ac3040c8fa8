"""Listing: Kratos' identities page by page, and what they can be signed in to with."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from signupd.errors import KratosIncompatible
from signupd.kratos.admin import fault_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from signupd.kratos.admin import AdminApi

# Kratos' own default. A page takes it 50 ms, with SQLite, and is 400 KB of JSON.
PAGE_IDENTITIES: Final = 250
# The newest so many are asked for. Who has more of them has come back.
MAX_SESSIONS: Final = 100
# Kratos makes these from the schema for everybody, with nothing in them; only their
# configuration tells. Of all other kinds it is not even asked for.
_BORN_EMPTY: Final = ("password", "webauthn")
_SHOWN: Final = "&".join(f"include_credential={kind}" for kind in _BORN_EMPTY)
# An empty webauthn credential names its owner, and no key.
_INERT: Final = frozenset({"user_handle"})
_CODE: Final = "code"
_EMAIL: Final = "email"


@dataclass(frozen=True, slots=True)
class ListedIdentity:
    """An identity, as far as it tells whether its sign-up was ever finished.

    Args:
        id: Its UUID.
        enabled: Whether it may be used.
        credentials: The kinds that hold something, or may; no secret of theirs.
        empty: The kinds that are there with nothing in them.
        address: The e-mail address that was proved first; empty where none was.
        proved_at: When; None where Kratos has not noted it.
        created_at: When it was stored.
        changed_at: The newest time that Kratos notes on it or on a part of it.
    """

    id: uuid.UUID
    enabled: bool
    credentials: frozenset[str]
    empty: frozenset[str]
    address: str = field(repr=False)
    proved_at: datetime | None
    created_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """A session of an identity.

    Args:
        begun_at: When its owner proved to be it, the last time.
        works_until: When it lapses, or has lapsed; None where it was ended before.
        by_code: Whether that was by a code in the mail.
    """

    begun_at: datetime
    works_until: datetime | None
    by_code: bool


class Listing:
    """Reads and removes identities. Every method raises what ``AdminApi`` raises.

    Args:
        admin: Kratos' admin API.
    """

    def __init__(self, admin: AdminApi) -> None:
        self._admin = admin

    async def pages(self) -> AsyncIterator[list[ListedIdentity]]:
        """List all identities in the order of their ids, one page in memory at a time.

        Whoever is stored meanwhile may be there or not.
        """
        path = f"/admin/identities?page_size={PAGE_IDENTITIES}&{_SHOWN}"
        bodies, token = await self._admin.page(path)
        while True:
            yield [read_listed(body) for body in bodies]
            if token is None:
                return
            last, after = token, f"{path}&page_token={quote(token, safe='')}"
            bodies, token = await self._admin.page(after)
            if token == last:
                raise KratosIncompatible("Kratos' list of identities goes in a circle")

    async def read(self, identity_id: uuid.UUID) -> ListedIdentity | None:
        """Read an identity as it is now; None where it is gone."""
        answer = await self._admin.get(f"/admin/identities/{identity_id}?{_SHOWN}")
        if answer.status == HTTPStatus.NOT_FOUND:
            return None
        if answer.status != HTTPStatus.OK:
            raise KratosIncompatible(fault_of(answer))
        return read_listed(answer.body)

    async def sessions(self, identity_id: uuid.UUID) -> list[Session]:
        """Read an identity's sessions, ended ones too, as long as Kratos keeps them.

        Returns:
            The newest first, MAX_SESSIONS at the most.
        """
        path = f"/admin/identities/{identity_id}/sessions?page_size={MAX_SESSIONS}"
        return [read_session(body) for body in await self._admin.listed(path)]

    async def remove(self, identity_id: uuid.UUID) -> None:
        """Delete an identity, with all it has. Asked once, whatever comes of it.

        To ask again would be to delete somebody who was looked at too long ago.
        """
        await self._admin.delete(f"/admin/identities/{identity_id}", tries=1)


def read_listed(body: Any) -> ListedIdentity:
    """Read an identity from the JSON of an answer.

    Raises:
        KratosIncompatible: It is none, or its credentials are not shown.
    """
    try:
        credentials = body.get("credentials") or {}
        empty = frozenset(
            kind for kind in _BORN_EMPTY if _is_empty(credentials.get(kind))
        )
        proved_at, address = min(_proofs(body), default=(None, ""))
        return ListedIdentity(
            uuid.UUID(body["id"]),
            body["state"] == "active",
            frozenset(credentials) - empty,
            empty,
            address,
            proved_at,
            _moment(body["created_at"]),
            max(_changes(body)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise KratosIncompatible("an answer of Kratos is not an identity") from error


def read_session(body: Any) -> Session:
    """Read a session from the JSON of an answer.

    Raises:
        KratosIncompatible: It is none.
    """
    try:
        return Session(
            max(_moment(body["authenticated_at"]), _moment(body["issued_at"])),
            _moment(body["expires_at"]) if body["active"] else None,
            any(
                method["method"] == _CODE
                for method in body["authentication_methods"] or ()
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise KratosIncompatible("an answer of Kratos is not a session") from error


def _is_empty(credential: Any) -> bool:
    """Tell whether a credential is there and holds nothing at all.

    Whatever is set in it and not known here counts as something.
    """
    if credential is None:
        return False
    config = credential["config"]
    return not any(value for name, value in config.items() if name not in _INERT)


def _proofs(body: Any) -> Iterator[tuple[datetime, str]]:
    """Give the verified e-mail addresses of which it is known since when they are."""
    for address in body.get("verifiable_addresses") or ():
        verified = address["verified"] is True and address["via"] == _EMAIL
        if verified and address.get("verified_at"):
            yield _moment(address["verified_at"]), str(address["value"])


def _changes(body: Any) -> Iterator[datetime]:
    """Give every time at which Kratos has changed the identity, or a part of it."""
    yield _moment(body["updated_at"])
    if body.get("state_changed_at"):
        yield _moment(body["state_changed_at"])
    parts = [
        *(body.get("credentials") or {}).values(),
        *(body.get("verifiable_addresses") or ()),
        *(body.get("recovery_addresses") or ()),
    ]
    for part in parts:
        yield _moment(part["updated_at"])
    yield from (at for at, _ in _proofs(body))


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment
