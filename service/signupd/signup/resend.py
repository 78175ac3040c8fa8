"""ResendCode: another mail, by another Kratos flow. Attempts are not given back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from signupd.errors import (
    CodeAttemptsExhausted,
    KratosFlowGone,
    KratosIncompatible,
    KratosUnavailable,
    KratosUnreached,
    ResendTooSoon,
    SendLimitReached,
    StepMismatch,
    TraitsInvalid,
)
from signupd.ledger.record import Record, State
from signupd.policy.rules import SECOND
from signupd.sealing import Step
from signupd.signup import transitions
from signupd.signup.deps import StepResult
from signupd.signup.outcomes import conclude_resend, mail_was_sent
from signupd.signup.preconditions import check_not_expired, check_open, open_signup
from signupd.signup.sealed import Contents, open_contents, seal_contents

if TYPE_CHECKING:
    import uuid

    from signupd.ledger.ledger import Snapshot
    from signupd.signup.deps import Dependencies


async def resend_code(
    deps: Dependencies, token: str, request_id: uuid.UUID | None
) -> StepResult:
    """Mail another code; the one before stops working.

    Args:
        deps: What the step works with.
        token: A CODE token.
        request_id: Identifies a repeat, if given.

    Raises:
        TokenInvalid, StepMismatch, SignupExpired, SignupCancelled, SignupBusy,
        CodeAttemptsExhausted, ResendTooSoon, SendLimitReached, KratosUnavailable,
        KratosIncompatible: As their names say.
    """
    found, step = await open_signup(deps, token)
    if step is not Step.CODE:
        raise StepMismatch
    check_open(found)
    if found.record.state.final:
        raise StepMismatch
    contents = open_contents(deps.keys, found.record)
    if request_id is not None and str(request_id) in contents.resends:
        return _answer(deps, found.record)
    _refuse(deps, found)
    record, contents = await _grant(deps, found, contents, request_id)
    return await _send(deps, found.record, record, contents)


def _refuse(deps: Dependencies, found: Snapshot) -> None:
    """Refuse a mail that is not due."""
    record, rules = found.record, deps.rules
    if record.state is not State.CODE_REQUIRED:
        raise StepMismatch
    if record.code_attempts >= rules.code_attempts:
        raise CodeAttemptsExhausted
    if record.sends >= rules.sends:
        raise SendLimitReached
    wait = record.send_time + rules.resend_interval - found.now
    if wait > 0:
        raise ResendTooSoon(retry_after_seconds=wait / SECOND)


async def _grant(
    deps: Dependencies,
    found: Snapshot,
    contents: Contents,
    request_id: uuid.UUID | None,
) -> tuple[Record, Contents]:
    """Open a flow and note it in the row, before anything is sent by it."""
    asked = "" if request_id is None else str(request_id)
    contents = replace(
        contents,
        pending_flow_id=await deps.kratos.public.open_registration(),
        resends=(*contents.resends, asked),
    )
    now = check_not_expired(deps, found.record)
    sealed = seal_contents(deps.keys, found.record.signup_id, contents)
    changes = transitions.resending(found.record, now, deps.rules, sealed)
    return await deps.ledger.change(found.record, **changes), contents


async def _send(
    deps: Dependencies, before: Record, record: Record, contents: Contents
) -> StepResult:
    """Send the mail under the row's lease, and write down what came of it."""
    flow_id = contents.pending_flow_id
    counted = await deps.mails.further_mail(record.address_digest, contents.client)
    try:
        await deps.kratos.public.send_code(flow_id, contents.traits, contents.locale)
    except (TraitsInvalid, KratosUnreached, KratosFlowGone) as error:
        await deps.mails.refund(counted)
        await deps.ledger.change(record, **transitions.resend_uncounted(before))
        if isinstance(error, TraitsInvalid):
            raise KratosIncompatible(
                "Kratos refuses traits that it took before: has its schema changed?"
            ) from error
        raise
    except KratosIncompatible:
        # A mail may have been sent (see ``send_code``); the flow will say.
        await deps.ledger.change(record, **transitions.undecided())
        raise
    except KratosUnavailable:
        if not await mail_was_sent(deps, flow_id):
            await deps.ledger.change(record, **transitions.undecided())
            raise
    record = await conclude_resend(deps, record, contents)
    deps.log.info("code_sent_again", signup_id=str(record.signup_id))
    return _answer(deps, record)


def _answer(deps: Dependencies, record: Record) -> StepResult:
    return StepResult(
        deps.keys.seal_token(record.signup_id, Step.CODE), deps.view(record)
    )
