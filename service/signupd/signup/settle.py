"""Settling: Kratos is asked what became of work whose outcome was not written down."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from signupd.errors import (
    KratosIncompatible,
    KratosUnavailable,
    SignupBusy,
    SignupCancelled,
    SignupdError,
    SignupExpired,
)
from signupd.kratos.outcomes import FlowState
from signupd.ledger.ledger import Found
from signupd.ledger.record import Lease, Record, State
from signupd.signup import transitions
from signupd.signup.attempts import only_attempt
from signupd.signup.contents import Contents, open_contents, seal_contents
from signupd.signup.events import Event

if TYPE_CHECKING:
    from signupd.kratos.identity import Identity
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
    try:
        settled = await _lay_ghost(deps, record)
        if settled is None:
            settled = await _SETTLERS[record.lease](deps, record)
    except SignupBusy:
        # The sweeper, or another call, was faster: what it found out holds here too.
        moved = await deps.ledger.find(record.signup_id)
        if moved is None or transitions.abandoned(moved.record, moved.now):
            raise
        return moved
    if settled is not record:
        deps.log.warning(
            "settled", signup_id=str(record.signup_id), state=settled.state.value
        )
    return Found(settled, deps.ledger.now())


async def delete_ghost(deps: Deps, record: Record, identity_id: uuid.UUID) -> None:
    """Delete an account that Kratos stored past us; write it down if that fails.

    It is the one account that may be deleted: an answer to our own POST named it.
    """
    try:
        await deps.kratos.admin.delete_identity(identity_id)
    except SignupdError:
        await note_stored(deps, record, identity_id)
        raise


async def note_stored(deps: Deps, record: Record, identity_id: uuid.UUID) -> None:
    """Leave to be settled what Kratos stored: ours, or a ghost to be deleted."""
    noted = replace(open_contents(deps.keys, record), stored_id=str(identity_id))
    sealed = seal_contents(deps.keys, record.signup_id, noted)
    changes = {**transitions.undecided(), "sealed": sealed}
    await deps.ledger.change(record, **changes)


async def _lay_ghost(deps: Deps, record: Record) -> Record | None:
    """Delete what a call before could not; None where there is nothing to delete."""
    contents = open_contents(deps.keys, record)
    if not contents.stored_id:
        return None
    stored = uuid.UUID(contents.stored_id)
    account = await deps.kratos.admin.find_identity(contents.address)
    named = account is not None and account.id == stored
    if account is not None and named and is_whole(record, contents.address, account):
        return None
    await deps.kratos.admin.delete_identity(stored)
    # The flow that made it is used up.
    laid = replace(contents, stored_id="", flow_id="")
    sealed = seal_contents(deps.keys, record.signup_id, laid)
    changes = {**transitions.lease_ended(), "sealed": sealed}
    return await deps.ledger.change(record, **changes)


def made_by(record: Record, account: Identity | None) -> bool:
    """Tell whether an account carries this sign-up's mark."""
    mark = None if account is None else account.mark
    return mark is not None and mark.signup_id == record.signup_id


def is_whole(record: Record, address: str, account: Identity) -> bool:
    """Tell whether an account is as our hook had it made for this sign-up."""
    return made_by(record, account) and address in account.verified


async def conclude_code(deps: Deps, record: Record, account: Identity | None) -> Record:
    """Write a proof down: an account at the address decides what is next."""
    now = deps.ledger.now()
    if account is not None:
        changes = transitions.already_registered(now)
        return await _move(deps, record, changes, Event.ALREADY_REGISTERED)
    changes = transitions.proved(now, deps.rules)
    return await _move(deps, record, changes, Event.VERIFIED)


async def conclude_password(deps: Deps, record: Record, account: Identity) -> Record:
    """Write down whose account it is that stands at the address."""
    now = deps.ledger.now()
    if account.mark is None or not made_by(record, account):
        changes = transitions.already_registered(now)
        return await _move(deps, record, changes, Event.ALREADY_REGISTERED)
    kept = only_attempt(deps.keys, record, account.mark.attempt)
    changes = transitions.completed(now, account.id, kept)
    return await _move(deps, record, changes, Event.COMPLETED)


async def _move(
    deps: Deps, record: Record, changes: transitions.Changes, event: Event
) -> Record:
    """Change a row's state, and note the event once that is committed."""
    moved = await deps.ledger.change(record, **changes)
    deps.events.note(event, record.signup_id, record.caller)
    return moved


async def sent_again(deps: Deps, record: Record, contents: Contents) -> Record:
    """Make the flow of a new mail the one whose code counts."""
    contents = replace(contents, flow_id=contents.pending_flow_id, pending_flow_id="")
    sealed = seal_contents(deps.keys, record.signup_id, contents)
    changes = transitions.code_sent_again(deps.ledger.now(), deps.rules, sealed)
    return await deps.ledger.change(record, **changes)


async def mail_went(deps: Deps, flow_id: str) -> bool:
    """After a lost answer, ask the flow whether its mail went."""
    try:
        state = await deps.kratos.public.flow_state(flow_id)
    except (KratosUnavailable, KratosIncompatible):
        return False
    return state is FlowState.SENT_EMAIL


async def _settle_code(deps: Deps, record: Record) -> Record:
    contents = open_contents(deps.keys, record)
    state = await deps.kratos.public.flow_state(contents.flow_id)
    if state is FlowState.PASSED_CHALLENGE:
        account = await deps.kratos.admin.find_identity(contents.address)
        return await conclude_code(deps, record, account)
    return await deps.ledger.change(record, **transitions.lease_ended())


async def _settle_password(deps: Deps, record: Record) -> Record:
    contents = open_contents(deps.keys, record)
    account = await deps.kratos.admin.find_identity(contents.address)
    if account is not None:
        return await conclude_password(deps, record, account)
    if transitions.at_work(record, deps.ledger.now()):
        return record  # our hook agreed: Kratos may be about to store it
    changes = transitions.lease_ended()
    return await deps.ledger.change(record, unapproved=True, **changes)


async def _settle_mail(deps: Deps, record: Record) -> Record:
    """Find out whether a resend went; a first mail is StartSignup's own affair."""
    contents = open_contents(deps.keys, record)
    state = await deps.kratos.public.flow_state(contents.pending_flow_id)
    if state is FlowState.SENT_EMAIL:
        return await sent_again(deps, record, contents)
    # As far as Kratos knows it never went; so a repeat with its request id must send.
    contents = replace(contents, pending_flow_id="", resends=contents.resends[:-1])
    sealed = seal_contents(deps.keys, record.signup_id, contents)
    changes = {**transitions.lease_ended(), "sealed": sealed}
    return await deps.ledger.change(record, **changes)


_SETTLERS: Final = {
    Lease.SENDING: _settle_mail,
    Lease.VERIFYING: _settle_code,
    Lease.SETTING: _settle_password,
}


def still_due(deps: Deps, record: Record) -> int:
    """Tell the moment at which a lease is granted: that decides about expiry.

    Raises:
        SignupExpired: The deadline passed since the row was read, and may have shown.
    """
    now = deps.ledger.now()
    if now >= record.expire_time:
        raise SignupExpired
    return now


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
        raise SignupBusy
