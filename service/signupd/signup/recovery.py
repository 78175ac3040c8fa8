"""Recovery: what happened to a call that died, or whose outcome was not written down.

Kratos is asked, and the row moves on by what it says.
"""

import uuid
from dataclasses import replace
from typing import Final

from signupd.errors import SignupBusy
from signupd.kratos.answers import FlowState
from signupd.ledger.ledger import Snapshot
from signupd.ledger.record import Lease, Record
from signupd.sealing import Contents, open_contents, seal_contents
from signupd.signup import transitions
from signupd.signup.deps import Dependencies
from signupd.signup.outcomes import (
    conclude_code,
    conclude_password,
    conclude_resend,
    conclude_stored,
)


async def settle(deps: Dependencies, found: Snapshot) -> Snapshot:
    """Move a row that needs recovery on, by what Kratos says.

    Raises:
        KratosUnavailable, KratosIncompatible: Kratos cannot say.
        SignupBusy: Another call moved the row meanwhile.
    """
    record = found.record
    try:
        contents = open_contents(deps.keys, record)
        named = bool(contents.stored_id)
        settler = _settle_stored if named else _SETTLERS[record.lease]
        settled = await settler(deps, record, contents)
    except SignupBusy:
        # The sweeper or another call was faster; its result holds here too.
        moved = await deps.ledger.find(record.signup_id)
        if moved is None or transitions.needs_recovery(moved.record, moved.now):
            raise
        return moved
    if settled is record:
        return found
    deps.log.warning(
        "settled", signup_id=str(record.signup_id), state=settled.state.value
    )
    return Snapshot(settled, deps.ledger.now())


async def _settle_stored(
    deps: Dependencies, record: Record, contents: Contents
) -> Record:
    """Conclude by the account that an answer to our own POST named.

    It is found by its id: its owner may have moved it to another address since, and an
    operator's software may have replaced the mark.
    """
    settled = await conclude_stored(deps, record, uuid.UUID(contents.stored_id))
    if settled is not None:
        return settled
    # The account is gone, and the flow that made it is used up.
    cleared = replace(contents, stored_id="", flow_id="")
    sealed = seal_contents(deps.keys, record.signup_id, cleared)
    return await deps.ledger.change(record, **transitions.lease_ended(), sealed=sealed)


async def _settle_code(
    deps: Dependencies, record: Record, contents: Contents
) -> Record:
    if record.proof_time:
        return await conclude_code(deps, record, contents.address)
    # A repeat with the code decides.
    changes = transitions.lease_ended()
    return await deps.ledger.change(record, unapproved=True, **changes)


async def _settle_password(
    deps: Dependencies, record: Record, contents: Contents
) -> Record:
    # Judged before the look-up: Kratos may store the account between the two.
    busy = transitions.is_busy(record, deps.ledger.now())
    account = await deps.kratos.admin.find_identity(contents.address)
    if account is not None:
        return await conclude_password(deps, record, account)
    if busy:
        return record  # our hook approved, so Kratos may be about to store it
    changes = transitions.lease_ended()
    return await deps.ledger.change(record, unapproved=True, **changes)


async def _settle_mail(
    deps: Dependencies, record: Record, contents: Contents
) -> Record:
    """Find out whether a resend was sent; StartSignup settles a first mail itself."""
    state = await deps.kratos.public.flow_state(contents.pending_flow_id)
    if state is FlowState.SENT_EMAIL:
        return await conclude_resend(deps, record, contents)
    # Kratos has not sent it, so a repeat with its request id must send.
    contents = replace(contents, pending_flow_id="", resends=contents.resends[:-1])
    sealed = seal_contents(deps.keys, record.signup_id, contents)
    return await deps.ledger.change(record, **transitions.lease_ended(), sealed=sealed)


_SETTLERS: Final = {
    Lease.SENDING: _settle_mail,
    Lease.VERIFYING: _settle_code,
    Lease.SETTING: _settle_password,
}
