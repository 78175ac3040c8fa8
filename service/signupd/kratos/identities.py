"""Identities: who is there in Kratos, in what state, and whether with a password."""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from signupd.errors import KratosIncompatible
from signupd.kratos.calls import Call

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from signupd.kratos.admin import AdminApi

# The trait that holds an account's address.
ADDRESS_TRAIT: Final = "email"


class PasswordStatus(enum.Enum):
    """Whether an identity has a password."""

    SET = enum.auto()
    UNSET = enum.auto()
    UNKNOWN = enum.auto()  # a password migration hook is to tell, at the first login


class AccountState(enum.StrEnum):
    """Whether an identity may be used, in Kratos' words."""

    ACTIVE = "active"
    DISABLED = "inactive"


@dataclass(frozen=True, slots=True)
class StoredIdentity:
    """An identity as Kratos has it, as far as its use is concerned.

    Args:
        id: Its UUID.
        state: Whether it may be used.
        password: Whether it has a password; the hash itself is left behind here.
        address: Its address trait in lower case; None where there is none.
        verified: Its verified e-mail addresses, in lower case.
    """

    id: uuid.UUID
    state: AccountState
    password: PasswordStatus
    address: str | None = field(repr=False)
    verified: frozenset[str] = field(repr=False)


class Identities:
    """Reads identities. Every method raises what ``AdminApi.listed`` raises.

    Args:
        admin: Kratos' admin API.
    """

    def __init__(self, admin: AdminApi) -> None:
        self._admin = admin

    async def read(self, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, StoredIdentity]:
        """Read identities, all in one call.

        Args:
            ids: At least one, for Kratos lists everybody when it is given none; at
                most a few hundred, for each takes 41 bytes of a URL.

        Returns:
            Those that are there, by id.

        Raises:
            KratosIncompatible: Kratos, or a proxy before it, lets the ids fall.
        """
        wanted = frozenset(ids)
        # On one page: Kratos' default size is its own business.
        query = [
            ("page_size", str(len(wanted))),
            *(("ids", str(id_)) for id_ in wanted),
        ]
        found = {one.id: one for one in await self._listed(query, Call.ACCOUNTS)}
        if not found.keys() <= wanted:
            raise KratosIncompatible("Kratos lists identities that nobody asked for")
        return found

    async def find(self, address: str) -> StoredIdentity | None:
        """Find the identity with an address.

        Args:
            address: The canonical address.
        """
        # Kratos looks through all identifiers, in any letter case: an address may be
        # somebody else's user name.
        query = [("credentials_identifier", address)]
        found = await self._listed(query, Call.FIND)
        return next((one for one in found if one.address == address), None)

    async def _listed(
        self, query: Sequence[tuple[str, str]], call: Call
    ) -> list[StoredIdentity]:
        asked = urlencode([*query, ("include_credential", "password")])
        listed = await self._admin.listed(f"/admin/identities?{asked}", call)
        return [read_stored(one) for one in listed]


def read_stored(body: Any) -> StoredIdentity:
    """Read an identity, with its password credential, from the JSON of an answer.

    Raises:
        KratosIncompatible: It is none.
    """
    try:
        return StoredIdentity(
            uuid.UUID(body["id"]),
            AccountState(body["state"]),
            _password_status(body.get("credentials") or {}),
            _address(body["traits"]),
            frozenset(
                address["value"].lower()
                for address in body.get("verifiable_addresses") or ()
                if address["verified"] is True and address["via"] == "email"
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise KratosIncompatible("an answer of Kratos is not an identity") from error


def _password_status(credentials: dict[str, Any]) -> PasswordStatus:
    """Reduce a password credential to what others may know of it.

    Kratos makes an empty one for whoever has an identifier, so that there is one says
    nothing. One without its configuration was not shown to us, which is an error.
    """
    credential = credentials.get("password")
    if credential is None:
        return PasswordStatus.UNSET
    config = credential["config"]
    if config.get("hashed_password"):
        return PasswordStatus.SET
    # Kratos asks the migration hook only where there is no hash.
    if config.get("use_password_migration_hook"):
        return PasswordStatus.UNKNOWN
    return PasswordStatus.UNSET


def _address(traits: dict[str, Any]) -> str | None:
    """Read the address trait, which an operator's schema need not have."""
    address = traits.get(ADDRESS_TRAIT)
    return address.lower() if isinstance(address, str) else None
