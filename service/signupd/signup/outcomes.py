"""What a call to Kratos came to, written down."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from signupd.errors import KratosIncompatible, KratosUnavailable, SignupdError
from signupd.kratos.outcomes import FlowState
from signupd.signup import transitions
from signupd.signup.events import Event
from signupd.signup.sealed import (
    Contents,
    only_attempt,
    open_contents,
    seal_contents,
)

if TYPE_CHECKING:
    import uuid

    from signupd.kratos.identity import Identity
    from signupd.ledger.record import Record
    from signupd.signup.deps import Dependencies


async def conclude_code(
    deps: Dependencies, record: Record, account: Identity | None
) -> Record:
    """Write down that the mailbox is proved: is there an account at the address?"""
    now = deps.ledger.now()
    if account is not None:
        changes = transitions.already_registered(now)
        return await _move(deps, record, changes, Event.ALREADY_REGISTERED)
    changes = transitions.proved(now, deps.rules)
    return await _move(deps, record, changes, Event.VERIFIED)


async def conclude_password(
    deps: Dependencies, record: Record, account: Identity
) -> Record:
    """Write down whether the account at the address is this sign-up's."""
    now = deps.ledger.now()
    if account.mark is None or not made_by(record, account):
        changes = transitions.already_registered(now)
        return await _move(deps, record, changes, Event.ALREADY_REGISTERED)
    kept = only_attempt(deps.keys, record, account.mark.attempt)
    changes = transitions.completed(now, account.id, kept)
    return await _move(deps, record, changes, Event.COMPLETED)


async def _move(
    deps: Dependencies, record: Record, changes: transitions.Changes, event: Event
) -> Record:
    """Change a row's state, and note the event once that is committed."""
    moved = await deps.ledger.change(record, **changes)
    deps.events.note(event, record.signup_id, record.caller)
    return moved


async def conclude_resend(
    deps: Dependencies, record: Record, contents: Contents
) -> Record:
    """Write down that a further mail was sent: from now on its code counts."""
    contents = replace(contents, flow_id=contents.pending_flow_id, pending_flow_id="")
    sealed = seal_contents(deps.keys, record.signup_id, contents)
    changes = transitions.code_sent_again(deps.ledger.now(), deps.rules, sealed)
    return await deps.ledger.change(record, **changes)


async def mail_was_sent(deps: Dependencies, flow_id: str) -> bool:
    """Ask a flow, after a lost answer, whether its mail was sent."""
    try:
        state = await deps.kratos.public.flow_state(flow_id)
    except (KratosUnavailable, KratosIncompatible):
        return False
    return state is FlowState.SENT_EMAIL


async def delete_unapproved(
    deps: Dependencies, record: Record, identity_id: uuid.UUID
) -> None:
    """Delete an identity that Kratos stored without our approval.

    Only an identity that an answer to our own POST named may be deleted. If Kratos does
    not delete it, the row notes it for recovery.
    """
    try:
        await deps.kratos.admin.delete_identity(identity_id)
    except SignupdError:
        await note_stored_identity(deps, record, identity_id)
        raise


async def note_stored_identity(
    deps: Dependencies, record: Record, identity_id: uuid.UUID
) -> None:
    """Note an identity that Kratos stored, and leave the row to recovery."""
    noted = replace(open_contents(deps.keys, record), stored_id=str(identity_id))
    sealed = seal_contents(deps.keys, record.signup_id, noted)
    changes = {**transitions.undecided(), "sealed": sealed}
    await deps.ledger.change(record, **changes)


def made_by(record: Record, account: Identity | None) -> bool:
    """Return whether an account carries this sign-up's mark."""
    mark = None if account is None else account.mark
    return mark is not None and mark.signup_id == record.signup_id


def is_whole(record: Record, address: str, account: Identity) -> bool:
    """Return whether an account is as our hook approved it for this sign-up."""
    return made_by(record, account) and address in account.verified
