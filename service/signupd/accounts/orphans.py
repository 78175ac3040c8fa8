"""Orphans: found among all identities, and removed one by one, each looked at again."""

from __future__ import annotations

import enum
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from signupd.accounts.verdict import Verdict, judge, judge_alone, last_life
from signupd.address import Address

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator, Callable, Mapping
    from datetime import datetime

    from signupd.accounts.verdict import Life
    from signupd.kratos.admin import AdminApi
    from signupd.kratos.identity import Identity

_ALL_IDS: Final = 1 << 128


@dataclass(frozen=True, slots=True)
class Orphan:
    """An identity that somebody proved and never finished, as an operator sees it.

    Args:
        id: Of the identity.
        masked_email: Such as ``a***@example.com``.
        created_at: When it was registered.
        life: The last sign of life.
    """

    id: uuid.UUID
    masked_email: str
    created_at: datetime
    life: Life


@dataclass(frozen=True, slots=True)
class Page:
    """What came of a page of identities.

    Args:
        orphans: Those among them.
        verdicts: How many got which.
        share: Of all identities, so much has been seen: from 0 to 1, about.
    """

    orphans: tuple[Orphan, ...]
    verdicts: Mapping[Verdict, int]
    share: float


class Outcome(enum.StrEnum):
    """What became of an orphan that was to be removed."""

    REMOVED = enum.auto()
    CHANGED = enum.auto()  # no orphan any more: let be
    GONE = enum.auto()  # somebody else has removed it


class Orphans:
    """Finds orphans, and removes them.

    ``since`` stays the same from the listing to the last removal, so that an identity
    can only cease to be an orphan meanwhile: what is removed was listed.

    Args:
        admin: Kratos' admin API.
        clock: The time now, with a zone.
        since: Whoever gave a sign of life since then is left alone.
        untraced: Whether to take those too of whose registration no session is kept.
    """

    def __init__(
        self,
        admin: AdminApi,
        clock: Callable[[], datetime],
        since: datetime,
        *,
        untraced: bool,
    ) -> None:
        self._admin = admin
        self._clock = clock
        self._since = since
        wanted = {Verdict.ORPHAN, Verdict.UNTRACED} if untraced else {Verdict.ORPHAN}
        self._wanted = frozenset(wanted)

    async def pages(self) -> AsyncIterator[Page]:
        """Look at all identities, a page at a time.

        Raises:
            KratosUnavailable, KratosIncompatible: They cannot be listed to the end.
        """
        async for identities in self._admin.pages():
            judged = [await self._judge(identity) for identity in identities]
            yield Page(
                tuple(orphan for _, orphan in judged if orphan is not None),
                Counter(verdict for verdict, _ in judged),
                _share(identities),
            )

    async def remove(self, identity_id: uuid.UUID) -> Outcome:
        """Look at an identity again, and remove it if it is an orphan still.

        Between this look and Kratos' DELETE lie some milliseconds. To be lost in them a
        password must be set in them: but that takes a session, which there was none of
        (one that lapsed by itself is given some minutes more), and Kratos a quarter of
        a second. Whoever is still at it when the DELETE is done gets an error, and has
        not been told that all is well.

        Raises:
            KratosUnavailable: It may be removed, or not.
            KratosIncompatible: Kratos refuses.
        """
        identity = await self._admin.identity(identity_id)
        if identity is None:
            return Outcome.GONE
        _, orphan = await self._judge(identity)
        if orphan is None:
            return Outcome.CHANGED
        await self._admin.delete_identity(identity_id, tries=1)
        return Outcome.REMOVED

    async def _judge(self, identity: Identity) -> tuple[Verdict, Orphan | None]:
        early = judge_alone(identity, self._since)
        if early is not None:
            return early, None
        sessions = await self._admin.sessions(identity.id)
        verdict = judge(identity, sessions, self._since, self._clock())
        if verdict not in self._wanted:
            return verdict, None
        return verdict, Orphan(
            identity.id,
            Address(identity.proved_address).masked,
            identity.created_at,
            last_life(identity, sessions),
        )


def _share(identities: list[Identity]) -> float:
    """Guess from the last id how far a listing has come.

    Kratos does not say how many there are, but its ids are random, and in order.
    """
    return identities[-1].id.int / _ALL_IDS if identities else 1.0
