"""What a call to Kratos came to, written down."""

import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

from signupd.errors import (
    KratosFlowGone,
    KratosIncompatible,
    KratosUnavailable,
    KratosUnreached,
    SignupdError,
    TraitsInvalid,
)
from signupd.kratos.identity import Identity
from signupd.kratos.outcomes import FlowState
from signupd.ledger.record import Record, State
from signupd.policy.limits import Counted
from signupd.signup import transitions
from signupd.signup.deps import Dependencies
from signupd.signup.sealed import Contents, only_attempt, open_contents, seal_contents
from signupd.signup.transitions import Event

# After these errors of ``send_code`` it is certain that no mail was sent.
NOT_SENT: Final = (TraitsInvalid, KratosUnreached, KratosFlowGone)
SCHEMA_CHANGED: Final = (
    "Kratos refuses traits that it took before: has its schema changed?"
)


@contextlib.asynccontextmanager
async def recovery_on_error(deps: Dependencies, record: Record) -> AsyncIterator[None]:
    """Leave a row to recovery if Kratos or the ledger cannot say what happened."""
    try:
        yield
    except SignupdError:
        await deps.ledger.change(record, **transitions.undecided())
        raise


async def mail_code(
    deps: Dependencies, flow_id: str, contents: Contents, counted: Counted
) -> None:
    """Have Kratos mail a code by a flow.

    Raises:
        TraitsInvalid, KratosUnreached, KratosFlowGone: No mail was sent, and it no
            longer counts.
        KratosIncompatible: A mail may have been sent (see ``send_code``).
        KratosUnavailable: The same, and the flow does not say that one was.
    """
    public = deps.kratos.public
    try:
        await public.send_code(flow_id, contents.traits, contents.locale)
    except NOT_SENT:
        await deps.limits.refund(counted)
        raise
    except KratosUnavailable:
        with contextlib.suppress(KratosUnavailable, KratosIncompatible):
            if await public.flow_state(flow_id) is FlowState.SENT_EMAIL:
                return
        raise


async def conclude_resend(
    deps: Dependencies, record: Record, contents: Contents
) -> Record:
    """Write down that a further mail was sent: from now on its code counts."""
    contents = replace(contents, flow_id=contents.pending_flow_id, pending_flow_id="")
    sealed = seal_contents(deps.keys, record.signup_id, contents)
    changes = transitions.code_sent_again(deps.ledger.now(), deps.rules, sealed)
    return await deps.ledger.change(record, **changes)


async def conclude_code(deps: Dependencies, record: Record, address: str) -> Record:
    """Write down that the mailbox is proved: is there an account at the address?

    The address is not looked up before the proof.
    """
    account = await deps.kratos.admin.find_identity(address)
    await deps.limits.proved(record.address_digest)
    now = deps.ledger.now()
    if account is not None:
        changes = transitions.ended(State.ALREADY_REGISTERED, now)
        return await deps.move(record, Event.ALREADY_REGISTERED, changes)
    return await deps.move(record, Event.VERIFIED, transitions.proved(now, deps.rules))


async def conclude_password(
    deps: Dependencies, record: Record, account: Identity
) -> Record:
    """Write down whether the account at the address is this sign-up's."""
    now = deps.ledger.now()
    if account.mark is None or not made_by(record, account):
        changes = transitions.ended(State.ALREADY_REGISTERED, now)
        return await deps.move(record, Event.ALREADY_REGISTERED, changes)
    kept = only_attempt(deps.keys, record, account.mark.attempt)
    changes = transitions.completed(now, account.id, kept)
    return await deps.move(record, Event.COMPLETED, changes)


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
    await deps.ledger.change(record, **transitions.undecided(), sealed=sealed)


def made_by(record: Record, account: Identity) -> bool:
    """Return whether an account carries this sign-up's mark."""
    return account.mark is not None and account.mark.signup_id == record.signup_id


def is_whole(record: Record, address: str, account: Identity) -> bool:
    """Return whether an account is as our hook approved it for this sign-up."""
    return made_by(record, account) and address in account.verified
