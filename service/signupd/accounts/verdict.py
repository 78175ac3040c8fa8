"""The verdict on an identity: whether its sign-up was begun here and never finished.

A hand-built flow (a registration by code, then a settings flow for the password) leaves
an orphan when nobody comes back: the mailbox proved, a code to sign in with, and a
password that is empty. A person who signs in by code alone, and means to, looks the
same; so the rule is about what is certainly none, and about how long ago somebody was
there.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from signupd.kratos.admin import MAX_SESSIONS
from signupd.kratos.identity import AccountState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from signupd.kratos.identity import Identity, Session

# A registration by code stores the identity, its proof and its session in one request,
# a few milliseconds apart, unless an operator's hooks take long in between.
BIRTH: Final = timedelta(minutes=1)
# A session that lapsed just now may have let a change in that is still being made.
# Setting a password takes Kratos a quarter of a second, a hook on its way 90 s more.
SETTLED: Final = timedelta(minutes=5)


class Verdict(enum.Enum):
    """What an identity is."""

    OTHER = enum.auto()  # no unfinished sign-up
    DISABLED = enum.auto()  # one that somebody has locked, and will have had reasons
    SIGNED_IN = enum.auto()  # one with a session that works, so that it can go on
    ALIVE = enum.auto()  # one with a sign of life since the moment in question
    UNTRACED = enum.auto()  # an orphan, or an account that was imported as verified
    ORPHAN = enum.auto()


class Sign(enum.StrEnum):
    """What showed that somebody was there."""

    CREATED = enum.auto()
    CHANGED = enum.auto()
    SIGNED_IN = enum.auto()


@dataclass(frozen=True, slots=True)
class Life:
    """A sign of life, and when it was given."""

    at: datetime
    sign: Sign


def judge(
    identity: Identity,
    sessions: Sequence[Session],
    since: datetime,
    now: datetime,
) -> Verdict:
    """Judge an identity.

    Args:
        identity: As Kratos has it.
        sessions: What Kratos still has of them, MAX_SESSIONS at the most.
        since: Whoever was there since then is alive.
        now: For the sessions.
    """
    early = judge_alone(identity, since)
    if early is not None:
        return early
    if len(sessions) >= MAX_SESSIONS or any(_works(one, now) for one in sessions):
        return Verdict.SIGNED_IN
    if last_life(identity, sessions).at > since:
        return Verdict.ALIVE
    # An import as verified has all that an orphan has, but for the session of its
    # registration.
    if not any(_is_birth(one, identity) for one in sessions):
        return Verdict.UNTRACED
    return Verdict.ORPHAN


def judge_alone(identity: Identity, since: datetime) -> Verdict | None:
    """Judge an identity without its sessions.

    Returns:
        None if they have to be asked for.
    """
    if not _is_unfinished(identity):
        return Verdict.OTHER
    if identity.state is not AccountState.ACTIVE:
        return Verdict.DISABLED
    if identity.changed_at > since:
        return Verdict.ALIVE
    return None


def last_life(identity: Identity, sessions: Sequence[Session]) -> Life:
    """Find the last sign of life.

    Kratos notes a sign-in in the session alone, and its clean-up forgets that.
    """
    born = identity.created_at + BIRTH
    changes = [Life(identity.changed_at, Sign.CHANGED)]
    visits = [Life(one.begun_at, Sign.SIGNED_IN) for one in sessions]
    later = [life for life in changes + visits if life.at > born]
    created = Life(identity.created_at, Sign.CREATED)
    return max([created, *later], key=lambda life: life.at)


def _is_unfinished(identity: Identity) -> bool:
    """Return whether there is only a code, an empty password, and a proof at birth.

    The proof of a provisioned account comes later, at its owner's first code, or never.
    """
    return (
        identity.credentials == {"code"}
        and "password" in identity.empty
        and identity.proved_at is not None
        and abs(identity.proved_at - identity.created_at) <= BIRTH
    )


def _works(session: Session, now: datetime) -> bool:
    return session.works_until is not None and session.works_until + SETTLED > now


def _is_birth(session: Session, identity: Identity) -> bool:
    return session.by_code and abs(session.begun_at - identity.created_at) <= BIRTH
