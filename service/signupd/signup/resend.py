"""ResendCode: another mail, by another Kratos flow. Attempts are not given back."""

import uuid
from dataclasses import replace

from signupd.errors import (
    CodeAttemptsExhausted,
    KratosIncompatible,
    ResendTooSoon,
    SendLimitReached,
    StepMismatch,
    TraitsInvalid,
)
from signupd.ledger.ledger import Snapshot
from signupd.ledger.record import FINAL, Record, State
from signupd.policy.rules import SECOND
from signupd.sealing import Contents, Step, open_contents, seal_contents
from signupd.signup import transitions
from signupd.signup.deps import Dependencies, StepResult
from signupd.signup.outcomes import (
    NOT_SENT,
    SCHEMA_CHANGED,
    Leased,
    conclude_resend,
    mail_code,
    recovery_on_error,
    step_result,
)
from signupd.signup.preconditions import open_step


async def resend_code(
    deps: Dependencies, token: str, request_id: uuid.UUID | None
) -> StepResult:
    """Mail another code, by a CODE token; the code before stops working.

    A repeat with the same request id mails nothing.
    """
    found = await open_step(deps, token, Step.CODE)
    if found.record.state in FINAL:
        raise StepMismatch
    contents = open_contents(deps.keys, found.record)
    if request_id is not None and str(request_id) in contents.resends:
        return step_result(deps, found.record, Step.CODE)
    _check_due(deps, found)
    leased = await _grant(deps, found, contents, request_id)
    async with recovery_on_error(deps, leased):
        return step_result(deps, await _send(deps, leased), Step.CODE)


def _check_due(deps: Dependencies, found: Snapshot) -> None:
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
) -> Leased:
    """Open a flow and note it in the row, before anything is sent by it."""
    asked = "" if request_id is None else str(request_id)
    contents = replace(
        contents,
        pending_flow_id=await deps.kratos.public.open_registration(),
        resends=(*contents.resends, asked),
    )
    now = deps.ledger.now()
    sealed = seal_contents(deps.keys, found.record.signup_id, contents)
    changes = transitions.sending(found.record, now, deps.rules, sealed)
    record = await deps.ledger.change(found.record, **changes)
    return Leased(found.record, record, contents)


async def _send(deps: Dependencies, leased: Leased) -> Record:
    """Send the mail under the row's lease, and write down what came of it."""
    record, contents = leased.record, leased.contents
    counted = await deps.limits.further_mail(record.address_digest, contents.client)
    try:
        await mail_code(deps, contents.pending_flow_id, contents, counted)
    except NOT_SENT as error:
        changes = transitions.resend_uncounted(leased.before)
        await deps.ledger.change(record, **changes)
        if isinstance(error, TraitsInvalid):
            raise KratosIncompatible(SCHEMA_CHANGED) from error
        raise
    record = await conclude_resend(deps, record, contents)
    deps.log.info("code_sent_again", signup_id=str(record.signup_id))
    return record
