"""The sweeper: writes down what time has done, and settles what dead calls left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from signupd.errors import KratosUnavailable, SignupdError
from signupd.ledger.record import State
from signupd.sealing import SealBroken
from signupd.signup import transitions
from signupd.signup.events import Event
from signupd.signup.rules import PASSWORDS_KEPT
from signupd.signup.settle import settle

if TYPE_CHECKING:
    import uuid

    from signupd.ledger.backlog import Backlog
    from signupd.signup.deps import Deps


# So many failures one after the other are Kratos' own, and not the rows'.
_GIVE_UP_AFTER: Final = 3


@dataclass(frozen=True, slots=True)
class Swept:
    """What one round did, in rows.

    Args:
        settled: Dead leases moved on by what Kratos says.
        failed: Dead leases that could not be; the next round tries again.
        expired: Sign-ups whose step had lapsed.
        forgotten: Rows, password digests and buckets past their time.
        more: Whether a batch was full, so that another round should follow at once.
    """

    settled: int
    failed: int
    expired: int
    forgotten: int
    more: bool


def pause(swept: Swept, seconds: float, interval: float) -> float:
    """Tell how long to rest after a round.

    Where more is due, as long as the round took: half of the database's time, at least,
    is left to callers, however much is due and however slow it is.

    Args:
        swept: What the round did.
        seconds: How long it took.
        interval: From one round to the next, in seconds, where nothing more is due.
    """
    return min(interval, seconds) if swept.more else interval


async def sweep(deps: Deps, backlog: Backlog, *, retention: int) -> Swept:
    """Do one round: at most one batch of each kind.

    Args:
        deps: The neighbours.
        backlog: What is due, and how many rows a batch has.
        retention: How long final rows are kept, in microseconds.

    Raises:
        LedgerUnavailable: The database does not answer.
    """
    await backlog.read_clock()
    settled, failed = await _settle_dead(deps, backlog)
    expired = await backlog.expire()
    for one in expired:
        deps.events.note(Event.EXPIRED, one.signup_id, one.caller)
    now = deps.ledger.now()
    forgotten = [
        await backlog.forget_passwords(now - PASSWORDS_KEPT),
        await backlog.forget_signups(now - retention),
        await backlog.forget_buckets(),
    ]
    if settled or failed or expired:
        deps.log.info("swept", settled=settled, failed=failed, expired=len(expired))
    return Swept(
        settled,
        failed,
        len(expired),
        sum(forgotten),
        more=max(settled, len(expired), *forgotten) >= backlog.batch,
    )


async def _settle_dead(deps: Deps, backlog: Backlog) -> tuple[int, int]:
    """Settle one batch; rows that cannot be settled do not hold up the others."""
    settled = failed = in_a_row = 0
    for signup_id in await backlog.dead_leases():
        try:
            settled += await _settle_one(deps, signup_id)
            in_a_row = 0
        except (SignupdError, SealBroken) as error:
            failed += 1
            in_a_row += isinstance(error, KratosUnavailable)
            deps.log.warning("not_settled", signup_id=str(signup_id), why=repr(error))
        if in_a_row >= _GIVE_UP_AFTER:
            break
    return settled, failed


async def _settle_one(deps: Deps, signup_id: uuid.UUID) -> bool:
    """Move one row on, and tell whether it moved.

    What did not must not count: it would hide that a batch brought nothing, and keep
    the sweeper at it without a pause.
    """
    found = await deps.ledger.find(signup_id)
    if found is None:
        return False
    if found.record.state is not State.STARTING:
        await settle(deps, found)
        return True
    if not transitions.expired(found.record, found.now):
        return False  # a repeat of its StartSignup may still carry it on
    # Its caller never got a token, so nobody counts on it.
    await deps.ledger.remove(found.record)
    return True
