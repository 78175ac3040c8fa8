"""Settling: Kratos is asked what became of work whose outcome was not written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from signupd.errors import SignupBusy, SignupCancelled, SignupExpired
from signupd.kratos.outcomes import FlowState
from signupd.ledger.ledger import RETRY_SECONDS, Found
from signupd.ledger.record import Lease, Record, State
from signupd.signup import transitions
from signupd.signup.attempts import only_attempt
from signupd.signup.contents import open_contents

if TYPE_CHECKING:
    from signupd.kratos.outcomes import Identity
    from signupd.signup.deps import Deps


async def settle(deps: Deps, found: Found) -> Found:
    """Move a row on whose lease ran out, by what Kratos says. Leave others alone.

    Raises:
        KratosUnavailable, KratosIncompatible: Kratos cannot say.
        SignupBusy: Somebody else moved the row meanwhile.
    """
    record, now = found.record, found.now
    if not transitions.abandoned(record, now):
        return found
    settled = await _SETTLERS[record.lease](deps, record)
    deps.log.warning(
        "settled", signup_id=str(record.signup_id), state=settled.state.value
    )
    return Found(settled, deps.ledger.now())


async def look_up(deps: Deps, record: Record) -> Identity | None:
    """Look up what Kratos holds for a sign-up's address."""
    address = open_contents(deps.keys, record).address
    return await deps.kratos.find_identity(address)


def made_by(record: Record, account: Identity | None) -> bool:
    """Tell whether an account carries this sign-up's mark."""
    mark = None if account is None else account.mark
    return mark is not None and mark.signup_id == record.signup_id


async def conclude_code(deps: Deps, record: Record, account: Identity | None) -> Record:
    """Write a proof down: an account at the address decides what is next."""
    now = deps.ledger.now()
    if account is not None:
        return await deps.ledger.change(record, **transitions.already_registered(now))
    return await deps.ledger.change(record, **transitions.proved(now, deps.rules))


async def conclude_password(deps: Deps, record: Record, account: Identity) -> Record:
    """Write down whose account it is that stands at the address."""
    now = deps.ledger.now()
    if account.mark is None or not made_by(record, account):
        return await deps.ledger.change(record, **transitions.already_registered(now))
    kept = only_attempt(deps.keys, record, account.mark.attempt)
    changes = transitions.completed(now, account.id, kept)
    return await deps.ledger.change(record, **changes)


async def _settle_code(deps: Deps, record: Record) -> Record:
    contents = open_contents(deps.keys, record)
    state = await deps.kratos.flow_state(contents.flow_id)
    if state is FlowState.PASSED_CHALLENGE:
        return await conclude_code(deps, record, await look_up(deps, record))
    return await deps.ledger.change(record, **transitions.lease_ended())


async def _settle_password(deps: Deps, record: Record) -> Record:
    account = await look_up(deps, record)
    if account is None:
        return await deps.ledger.change(record, **transitions.lease_ended())
    return await conclude_password(deps, record, account)


# SENDING belongs to STARTING rows, which StartSignup's repeat carries on itself.
_SETTLERS: Final = {
    Lease.VERIFYING: _settle_code,
    Lease.SETTING: _settle_password,
}


def refuse_late(found: Found) -> None:
    """Refuse a step of a sign-up that lapsed, was cancelled, or is being worked on.

    Raises:
        SignupExpired, SignupCancelled, SignupBusy: As their names say.
    """
    record, now = found.record, found.now
    shown = transitions.state_shown(record, now)
    if shown is State.EXPIRED:
        raise SignupExpired
    if shown is State.CANCELLED:
        raise SignupCancelled
    if transitions.at_work(record, now):
        raise SignupBusy(retry_after_seconds=RETRY_SECONDS)
