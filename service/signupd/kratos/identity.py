"""Identities and sessions, read from Kratos' JSON. No hash leaves this module."""

import contextlib
import enum
import uuid
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from signupd.errors import KratosIncompatible

# The trait that holds an identity's address.
ADDRESS_TRAIT: Final = "email"
_PASSWORD: Final = "password"  # noqa: S105 - a credential's name
# An empty webauthn credential names its owner, and no key.
_INERT: Final = frozenset({"user_handle"})
_ODD: Final = KeyError, TypeError, ValueError, AttributeError
# A mark is a UUID of the version that is free to use (RFC 9562, 5.8); Kratos' own ids
# are of version 4. Its first bytes are those of the sign-up's id.
_MARK_VERSION: Final = 8
_SIGNUP_BYTES: Final = 6
_VERSION_BITS: Final = 0xF << 76 | 0b11 << 62  # version and variant


class PasswordStatus(enum.Enum):
    """Whether an identity has a password."""

    SET = enum.auto()
    UNSET = enum.auto()
    UNKNOWN = enum.auto()  # a migration hook tells at the first login, or not shown


class AccountState(enum.StrEnum):
    """Whether an identity may be used, in Kratos' words."""

    ACTIVE = "active"
    DISABLED = "inactive"


@dataclass(frozen=True, slots=True)
class Identity:
    """An identity as Kratos has it, its addresses in lower case."""

    id: uuid.UUID
    state: AccountState
    address: str | None = field(repr=False)  # its address trait, if there is one
    verified: frozenset[str] = field(repr=False)  # e-mail addresses
    mark: uuid.UUID | None  # ours, if a sign-up made it (see ``make_mark``)
    password: PasswordStatus  # UNKNOWN unless Kratos was asked to show it
    credentials: frozenset[str]  # the kinds that hold something, or may
    empty: frozenset[str]  # the kinds that were shown and hold nothing
    # When its first e-mail address was verified, and which; None if not noted.
    proved_at: datetime | None
    proved_address: str = field(repr=False)
    created_at: datetime
    changed_at: datetime  # the newest time that Kratos notes on it or on a part of it

    @property
    def email_verified(self) -> bool:
        """Whether its own address is verified, not another that it may have."""
        return self.address in self.verified

    @property
    def complete(self) -> bool:
        """Whether it is active, its address verified and its password set."""
        usable = self.state is AccountState.ACTIVE and self.email_verified
        return usable and self.password is PasswordStatus.SET


@dataclass(frozen=True, slots=True)
class Session:
    """A session of an identity."""

    begun_at: datetime  # when its owner last signed in
    works_until: datetime | None  # or worked; None if it was ended before
    by_code: bool  # whether the sign-in was by a code in the mail


def make_mark(signup_id: uuid.UUID, flow_digest: bytes | None) -> uuid.UUID:
    """Make our mark on an identity: which sign-up made it, by which attempt.

    It is the id of the identity's address: Kratos lets a hook choose that, and nobody
    else has a use for it. It begins like the sign-up's id and goes on with the digest
    of the attempt's flow. Kratos' flow ids are random, so an attempt's mark never comes
    again, not even where a ledger was restored from a backup.
    """
    attempt = (flow_digest or bytes(16))[: 16 - _SIGNUP_BYTES]
    made = int.from_bytes(signup_id.bytes[:_SIGNUP_BYTES] + attempt, "big")
    return uuid.UUID(int=made & ~_VERSION_BITS | _MARK_VERSION << 76 | 0b10 << 62)


def is_mark_of(mark: uuid.UUID | None, signup_id: uuid.UUID) -> bool:
    """Return whether a mark is one of this sign-up's, by whichever attempt."""
    begins = signup_id.bytes[:_SIGNUP_BYTES]
    return mark is not None and mark.bytes[:_SIGNUP_BYTES] == begins


def read_identity(body: Any, shown: Collection[str] = ()) -> Identity:
    """Read an identity from the JSON of the admin API.

    ``shown`` are the credentials whose configuration Kratos was asked to show.

    Raises:
        KratosIncompatible: It is not an identity, or lacks what it was to show.
    """
    try:
        credentials = body.get("credentials") or {}
        address = body["traits"].get(ADDRESS_TRAIT)
        empty = frozenset(kind for kind in shown if _is_empty(credentials.get(kind)))
        proved_at, proved_address = min(_proofs(body), default=(None, ""))
        return Identity(
            id=uuid.UUID(body["id"]),
            state=AccountState(body["state"]),
            address=address.lower() if isinstance(address, str) else None,
            verified=frozenset(one["value"].lower() for one in _verified(body)),
            mark=_mark(body.get("verifiable_addresses") or ()),
            password=(
                _password(credentials.get(_PASSWORD))
                if _PASSWORD in shown
                else PasswordStatus.UNKNOWN
            ),
            credentials=frozenset(credentials) - empty,
            empty=empty,
            proved_at=proved_at,
            proved_address=proved_address,
            created_at=read_time(body["created_at"]),
            changed_at=max(_changes(body)),
        )
    except _ODD as error:
        raise KratosIncompatible("an answer of Kratos is not an identity") from error


def read_session(body: Any) -> Session:
    """Read a session from the JSON of the admin API, or raise KratosIncompatible."""
    try:
        return Session(
            begun_at=max(
                read_time(body["authenticated_at"]), read_time(body["issued_at"])
            ),
            works_until=read_time(body["expires_at"]) if body["active"] else None,
            by_code=any(
                method["method"] == "code"
                for method in body["authentication_methods"] or ()
            ),
        )
    except _ODD as error:
        raise KratosIncompatible("an answer of Kratos is not a session") from error


def _mark(addresses: Iterable[Any]) -> uuid.UUID | None:
    for address in addresses:
        with contextlib.suppress(*_ODD):  # an account without a usable id is not ours
            if (mark := uuid.UUID(address["id"])).version == _MARK_VERSION:
                return mark
    return None


def _password(credential: Any) -> PasswordStatus:
    """Return whether a password credential has a password.

    Kratos makes an empty one for every identity with an identifier, and asks the
    migration hook only if there is no hash.
    """
    config = {} if credential is None else credential["config"]
    if config.get("hashed_password"):
        return PasswordStatus.SET
    migrating = config.get("use_password_migration_hook")
    return PasswordStatus.UNKNOWN if migrating else PasswordStatus.UNSET


def _is_empty(credential: Any) -> bool:
    """Return whether a credential is there and holds nothing at all.

    Anything set in it that is not known here counts as something.
    """
    if credential is None:
        return False
    config = credential["config"]
    return not any(value for name, value in config.items() if name not in _INERT)


def _verified(body: Any) -> Iterator[Any]:
    for address in body.get("verifiable_addresses") or ():
        if address["verified"] is True and address["via"] == "email":
            yield address


def _proofs(body: Any) -> Iterator[tuple[datetime, str]]:
    """Return the verified addresses of which Kratos notes when they were verified."""
    for address in _verified(body):
        if address.get("verified_at"):
            yield read_time(address["verified_at"]), str(address["value"])


def _changes(body: Any) -> Iterator[datetime]:
    """Return every time at which Kratos has changed the identity, or a part of it."""
    addresses = [
        *(body.get("verifiable_addresses") or ()),
        *(body.get("recovery_addresses") or ()),
    ]
    for part in (body, *(body.get("credentials") or {}).values(), *addresses):
        if part is not None:
            yield read_time(part["updated_at"])
    if body.get("state_changed_at"):
        yield read_time(body["state_changed_at"])
    yield from (at for at, _ in _proofs(body))


def read_time(text: str) -> datetime:
    """Read a time.

    Raises:
        TypeError, ValueError: It is not one, or has no zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return moment
