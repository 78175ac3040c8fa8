"""Writes down in the ledger what calls to Kratos did, and makes a step's result."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from signupd.errors import (
    KratosFlowGone,
    KratosIncompatible,
    KratosUnavailable,
    KratosUnreached,
    LedgerUnavailable,
    SignupBusy,
    SignupdError,
    TraitsInvalid,
)
from signupd.kratos.answers import Delivery, FlowState
from signupd.kratos.identity import Identity, is_mark_of, make_mark
from signupd.ledger.record import FINAL, Record
from signupd.policy.limits import Counted
from signupd.sealing import (
    Contents,
    Step,
    only_attempt,
    open_contents,
    open_mask,
    seal_contents,
)
from signupd.signup import transitions
from signupd.signup.deps import Dependencies, StepResult
from signupd.signup.transitions import Changes, Event

# After these errors of ``send_code`` it is certain that no mail was sent.
NOT_SENT: Final = (TraitsInvalid, KratosUnreached, KratosFlowGone)
# Between tries to tell a ledger that is away that a lease is over.
_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 2.0
SCHEMA_CHANGED: Final = (
    "Kratos refuses traits that it took before: has its schema changed, or does "
    "another hook under selfservice.flows.registration.after refuse them?"
)


def step_result(
    deps: Dependencies,
    record: Record,
    step: Step,
    now: int | None = None,
    delivery: Delivery | None = None,
) -> StepResult:
    """Return a row as its caller sees it, with a token of this step.

    ``now`` is the moment it was read, by the ledger's clock; the present if None.

    Raises:
        SealBroken: The row's key is gone, or it was tampered with.
    """
    state = transitions.state_shown(record, deps.ledger.now() if now is None else now)
    token = "" if state in FINAL else deps.keys.seal_token(record.signup_id, step)
    mask = open_mask(deps.keys, record.signup_id, record.sealed_mask)
    return StepResult(token, state, record, mask, delivery)


async def move(
    deps: Dependencies,
    record: Record,
    event: Event,
    changes: Changes,
    *,
    unapproved: bool = False,
) -> Record:
    """Change a row's state by ``Ledger.change``, and note the event."""
    moved = await deps.ledger.change(record, unapproved=unapproved, **changes)
    note_event(deps, event, record.signup_id, record.caller)
    return moved


def note_event(
    deps: Dependencies, event: Event, signup_id: uuid.UUID, caller: str
) -> None:
    """Count a transition and log it: the audit trail.

    It is noted once it is committed. A process that dies in between leaves the row and
    no line.
    """
    deps.observer.events.labels(event).inc()
    name = f"signup_{event}"
    deps.log.info(name, signup_id=str(signup_id), caller=caller)


@dataclass(slots=True)
class Leased:
    """A row that is reserved for one piece of work on Kratos."""

    before: Record  # as it was found
    record: Record  # under its lease
    contents: Contents
    stored: uuid.UUID | None = None  # the account that an answer of Kratos named


@contextlib.asynccontextmanager
async def recovery_on_error(deps: Dependencies, leased: Leased) -> AsyncIterator[None]:
    """Leave a row to recovery if Kratos or the ledger cannot say what happened.

    A ledger that is away is told later: the work is over, and nobody should wait for
    the end of its lease.
    """
    try:
        yield
    except (KratosIncompatible, KratosUnavailable, LedgerUnavailable):
        changes = transitions.undecided()
        if leased.stored is not None:
            noted = replace(leased.contents, stored_id=str(leased.stored))
            sealed = seal_contents(deps.keys, leased.record.signup_id, noted)
            changes["sealed"] = sealed
        try:
            await _release(deps, leased.record, changes)
        except LedgerUnavailable:
            job = partial(_keep_releasing, deps, leased.record, changes)
            deps.releases.begin(None, job)
        raise


async def _release(deps: Dependencies, record: Record, changes: Changes) -> None:
    # If the row has moved, its lease was ended, by this call or by recovery.
    with contextlib.suppress(SignupBusy):
        await deps.ledger.change(record, **changes)


async def _keep_releasing(deps: Dependencies, record: Record, changes: Changes) -> None:
    """Try to leave a row to recovery until its lease ends by itself."""
    pause = _FIRST_PAUSE_SECONDS
    while deps.ledger.now() < record.lease_until:
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        with contextlib.suppress(LedgerUnavailable):
            await _release(deps, record, changes)
            deps.log.info("lease_released", signup_id=str(record.signup_id))
            break


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
        deps.observer.last_mail.set_to_current_time()
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
        verified = address in account.verified
        changes = transitions.already_registered(now, verified=verified)
        return await move(deps, record, Event.ALREADY_REGISTERED, changes)
    changes = transitions.proved(now, deps.rules)
    return await move(deps, record, Event.VERIFIED, changes)


async def conclude_password(
    deps: Dependencies, record: Record, account: Identity
) -> Record:
    """Write down whether the account at the address is this sign-up's, by its mark."""
    if account.mark is not None and is_mark_of(account.mark, record.signup_id):
        return await complete(deps, record, account.id, account.mark)
    verified = open_contents(deps.keys, record).address in account.verified
    changes = transitions.already_registered(deps.ledger.now(), verified=verified)
    return await move(deps, record, Event.ALREADY_REGISTERED, changes)


async def conclude_stored(
    deps: Dependencies, record: Record, stored: uuid.UUID
) -> Record | None:
    """Complete a sign-up by the account that Kratos named; delete one stored past us.

    What our hook approved is never deleted. The row shows the approval, and so does the
    account's mark if the ledger has lost it. None if no account is left.
    """
    mark = make_mark(record.signup_id, record.flow_digest)
    found = (await deps.kratos.admin.accounts([stored])).get(stored)
    if found is not None:
        if record.approved_until or found.mark == mark:
            return await complete(deps, record, stored, mark)
        await deps.kratos.admin.delete_identity(stored)
    return None


async def complete(
    deps: Dependencies, record: Record, identity_id: uuid.UUID, mark: uuid.UUID
) -> Record:
    """End the session that the account was made with; write down whose account it is.

    In this order: if the process dies in between, recovery does both again.
    """
    try:
        await deps.kratos.admin.end_sessions(identity_id)
    except SignupdError as error:  # the session's token is unused
        deps.log.warning("session_left", identity_id=str(identity_id), why=error.detail)
    kept = only_attempt(deps.keys, record, mark)
    changes = transitions.completed(deps.ledger.now(), identity_id, kept)
    return await move(deps, record, Event.COMPLETED, changes)
