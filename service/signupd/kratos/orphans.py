"""Orphaned identities: proved by a registration, never given a password.

A hand-built flow (a registration by code, then a settings flow for the password) stores
the identity before it has a password, and leaves it there when the person leaves. A
person who signs in by code alone on purpose has the same identity. So the rule takes
only what is certainly unfinished, and asks how long ago its owner was active.
"""

import enum
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from signupd.address import Address
from signupd.kratos.admin import MAX_SESSIONS, AdminApi
from signupd.kratos.identity import AccountState, Identity, Session

# A registration by code stores the identity, its proof and its session in one request,
# a few milliseconds apart, unless an operator's hooks take long in between.
REGISTRATION: Final = timedelta(minutes=1)
# A session that has just lapsed may have let in a change that is still being made.
# Setting a password takes Kratos a quarter of a second, and its hooks up to 90 s.
LAPSED: Final = timedelta(minutes=5)


class Exemption(enum.Enum):
    """Why an identity is not an orphan, in the words of the command."""

    OTHER = "not an unfinished registration by code"
    DISABLED = "disabled by an operator"
    SIGNED_IN = "with a session that works, or did until minutes ago"
    ACTIVE = "active since then"
    UNTRACED = (
        "without the session of their registration; they may have been imported "
        "(--untraced lists them)"
    )


@dataclass(frozen=True, slots=True)
class Orphan:
    """An orphaned identity, as an operator sees it."""

    id: uuid.UUID
    masked_email: str
    created_at: datetime
    active_at: datetime  # its owner
    traced: bool  # whether Kratos still has the session of its registration


class Removal(enum.Enum):
    """The outcome of a removal, in the words of the command."""

    REMOVED = "removed"
    CHANGED = "skipped: changed since the listing"  # no orphan any more
    GONE = "already gone"


@dataclass(frozen=True, slots=True)
class Orphans:
    """Finds orphans and removes them.

    An identity whose owner was active after the cutoff is not an orphan. The cutoff is
    the same for the listing and for all removals, so an identity can stop being an
    orphan in between, but none can become one.
    """

    admin: AdminApi
    clock: Callable[[], datetime]
    cutoff: datetime
    untraced: bool  # whether UNTRACED identities count as orphans

    async def judge_all(self) -> AsyncIterator[Orphan | Exemption]:
        """Judge every identity in Kratos."""
        async for identities in self.admin.pages():
            for identity in identities:
                yield await self._judge(identity)

    async def remove(self, identity_id: uuid.UUID) -> Removal:
        """Read and judge an identity again, and delete it if it is still an orphan.

        Some milliseconds lie between this reading and Kratos' deletion. A password set
        in them would be lost, but setting one takes a session, and there was none.

        Raises:
            KratosUnavailable: It is not known whether the identity was deleted.
            KratosIncompatible: Kratos refuses.
        """
        identity = (await self.admin.accounts([identity_id])).get(identity_id)
        if identity is None:
            return Removal.GONE
        if isinstance(await self._judge(identity), Exemption):
            return Removal.CHANGED
        await self.admin.delete_identity(identity_id, tries=1)
        return Removal.REMOVED

    async def _judge(self, identity: Identity) -> Orphan | Exemption:
        """Judge an identity; its sessions are read only if they decide."""
        if not _is_unfinished(identity):
            return Exemption.OTHER
        if identity.state is not AccountState.ACTIVE:
            return Exemption.DISABLED
        if identity.changed_at > self.cutoff:
            return Exemption.ACTIVE
        return self._judge_sessions(identity, await self.admin.sessions(identity.id))

    def _judge_sessions(
        self, identity: Identity, sessions: Sequence[Session]
    ) -> Orphan | Exemption:
        lapsed = self.clock() - LAPSED
        # Kratos may have more sessions than it was asked for.
        if len(sessions) >= MAX_SESSIONS or any(
            one.works_until is not None and one.works_until > lapsed for one in sessions
        ):
            return Exemption.SIGNED_IN
        active_at = max([identity.changed_at, *(one.begun_at for one in sessions)])
        if active_at > self.cutoff:
            return Exemption.ACTIVE
        traced = any(
            one.by_code and abs(one.begun_at - identity.created_at) <= REGISTRATION
            for one in sessions
        )
        if not (traced or self.untraced):
            return Exemption.UNTRACED
        masked = Address(identity.proved_address).masked
        return Orphan(identity.id, masked, identity.created_at, active_at, traced)


def _is_unfinished(identity: Identity) -> bool:
    """Return whether it has only a code, an empty password, and a proof at creation.

    The owner of a provisioned account proves it later, with the first code, or never.
    """
    return (
        identity.mark is None
        and identity.credentials == {"code"}
        and "password" in identity.empty
        and identity.proved_at is not None
        and abs(identity.proved_at - identity.created_at) <= REGISTRATION
    )
