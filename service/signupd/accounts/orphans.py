"""Orphaned identities: proved by a registration, never given a password.

A hand-built flow (a registration by code, then a settings flow for the password) stores
the identity before it has a password, and leaves it there when the person leaves. A
person who means to sign in by code alone has the same identity. So the rule takes only
what is certainly unfinished, and asks how long ago its owner was active.
"""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from signupd.address import Address
from signupd.kratos.admin import MAX_SESSIONS
from signupd.kratos.identity import AccountState

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from signupd.kratos.admin import AdminApi
    from signupd.kratos.identity import Identity, Session

# A registration by code stores the identity, its proof and its session in one request,
# a few milliseconds apart, unless an operator's hooks take long in between.
REGISTRATION: Final = timedelta(minutes=1)
# A session that has just lapsed may have let in a change that is still being made.
# Setting a password takes Kratos a quarter of a second, and its hooks up to 90 s.
LAPSED: Final = timedelta(minutes=5)


class Exemption(enum.Enum):
    """Why an identity is not an orphan."""

    OTHER = enum.auto()  # it is not an unfinished registration by code
    DISABLED = enum.auto()  # an operator disabled it, and had a reason to
    SIGNED_IN = enum.auto()  # a session works, so its owner can still set a password
    ACTIVE = enum.auto()  # its owner was active since the cutoff
    UNTRACED = enum.auto()  # an orphan, or an account that was imported as verified


@dataclass(frozen=True, slots=True)
class Orphan:
    """An orphaned identity, as an operator sees it.

    Args:
        id: Its UUID.
        masked_email: Such as ``a***@example.com``.
        created_at: When it was registered.
        active_at: When its owner was last active.
        traced: Whether Kratos still has the session of its registration.
    """

    id: uuid.UUID
    masked_email: str
    created_at: datetime
    active_at: datetime
    traced: bool


@dataclass(frozen=True, slots=True)
class Page:
    """The orphans on a page of identities, and the number of others by exemption."""

    orphans: tuple[Orphan, ...]
    others: Mapping[Exemption, int]


class Removal(enum.StrEnum):
    """What became of an orphan that was to be removed."""

    REMOVED = enum.auto()
    CHANGED = enum.auto()  # it is no orphan any more, and stays
    GONE = enum.auto()  # it was removed by somebody else


class Orphans:
    """Finds orphans and removes them.

    The cutoff is the same for the listing and for all removals, so an identity can stop
    being an orphan in between, but none can become one.

    Args:
        admin: Kratos' admin API.
        clock: Returns the time now, with a time zone.
        cutoff: An identity whose owner was active after this moment is no orphan.
        untraced: Whether UNTRACED identities count as orphans.
    """

    def __init__(
        self,
        admin: AdminApi,
        clock: Callable[[], datetime],
        cutoff: datetime,
        *,
        untraced: bool,
    ) -> None:
        self._admin = admin
        self._clock = clock
        self._cutoff = cutoff
        self._untraced = untraced

    async def pages(self) -> AsyncIterator[Page]:
        """Judge all identities, a page at a time.

        Raises:
            KratosUnavailable, KratosIncompatible: They cannot be listed to the end.
        """
        async for identities in self._admin.pages():
            judged = [await self._judge(identity) for identity in identities]
            yield Page(
                tuple(one for one in judged if isinstance(one, Orphan)),
                Counter(one for one in judged if isinstance(one, Exemption)),
            )

    async def remove(self, identity_id: uuid.UUID) -> Removal:
        """Read and judge an identity again, and delete it if it is still an orphan.

        Some milliseconds lie between this reading and Kratos' deletion. A password set
        in them would be lost, but setting one takes a session, and there was none.

        Raises:
            KratosUnavailable: It is not known whether the identity was deleted.
            KratosIncompatible: Kratos refuses.
        """
        identity = (await self._admin.accounts([identity_id])).get(identity_id)
        if identity is None:
            return Removal.GONE
        if isinstance(await self._judge(identity), Exemption):
            return Removal.CHANGED
        await self._admin.delete_identity(identity_id, tries=1)
        return Removal.REMOVED

    async def _judge(self, identity: Identity) -> Orphan | Exemption:
        exemption = _exemption(identity, self._cutoff)
        if exemption is not None:
            return exemption
        sessions = await self._admin.sessions(identity.id)
        if _may_work(sessions, self._clock()):
            return Exemption.SIGNED_IN
        active_at = max([identity.changed_at, *(one.begun_at for one in sessions)])
        if active_at > self._cutoff:
            return Exemption.ACTIVE
        traced = any(_is_of_registration(one, identity) for one in sessions)
        if not traced and not self._untraced:
            return Exemption.UNTRACED
        masked = Address(identity.proved_address).masked
        return Orphan(identity.id, masked, identity.created_at, active_at, traced)


def _exemption(identity: Identity, cutoff: datetime) -> Exemption | None:
    """Judge an identity without its sessions; None if they decide."""
    if not _is_unfinished(identity):
        return Exemption.OTHER
    if identity.state is not AccountState.ACTIVE:
        return Exemption.DISABLED
    return Exemption.ACTIVE if identity.changed_at > cutoff else None


def _is_unfinished(identity: Identity) -> bool:
    """Tell whether there is only a code, an empty password, and a proof at creation.

    The owner of a provisioned account proves it later, with the first code, or never.
    """
    return (
        identity.mark is None
        and identity.credentials == {"code"}
        and "password" in identity.empty
        and identity.proved_at is not None
        and abs(identity.proved_at - identity.created_at) <= REGISTRATION
    )


def _may_work(sessions: Sequence[Session], now: datetime) -> bool:
    """Tell whether a session may work. Kratos may have more than it was asked for."""
    return len(sessions) >= MAX_SESSIONS or any(
        one.works_until is not None and one.works_until + LAPSED > now
        for one in sessions
    )


def _is_of_registration(session: Session, identity: Identity) -> bool:
    since = abs(session.begun_at - identity.created_at)
    return session.by_code and since <= REGISTRATION
