"""VerifyCode: Kratos checks the code. This proves the mailbox and stores nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NoReturn

from signupd.errors import (
    CodeAttemptsExhausted,
    CodeExpired,
    CodeIncorrect,
    KratosIncompatible,
    KratosUnavailable,
    KratosUnreached,
    SignupdError,
    StepMismatch,
)
from signupd.kratos.outcomes import CodeAnswer, CodeResult, FlowState
from signupd.ledger.record import Record, State
from signupd.sealing import Step, digests_equal
from signupd.signup import transitions
from signupd.signup.deps import StepResult
from signupd.signup.outcomes import conclude_code, delete_unapproved
from signupd.signup.preconditions import check_not_expired, check_open, open_signup
from signupd.signup.sealed import (
    Contents,
    code_digest,
    open_contents,
    refused_code_digest,
    seal_contents,
)

if TYPE_CHECKING:
    from signupd.signup.deps import Dependencies

MISSING_HOOK = (
    "Kratos stored an account at the code without asking: "
    "selfservice.flows.registration.after.code.hooks has no web_hook to /kratos/code "
    "with response.parse true (under after.hooks it does not count)"
)
DEAD_HOOK = (
    "Kratos did not reach its code hook, or did not like the answer: is the URL under "
    "selfservice.flows.registration.after.code.hooks this server's HOOK_LISTEN, seen "
    "from Kratos, and its X-Hook-Key our HOOK_KEY? Codes still prove, slowly"
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A code on its way to Kratos.

    Args:
        before: The row as it was found.
        record: The row with the attempt counted, under its lease.
        contents: What the row's seal holds.
        code: As the person typed it.
    """

    before: Record
    record: Record
    contents: Contents
    code: str = field(repr=False)


async def verify_code(deps: Dependencies, token: str, code: str) -> StepResult:
    """Check the code that the person read in the mail.

    Args:
        deps: What the step works with.
        token: A CODE token.
        code: Decimal digits.

    Returns:
        A PASSWORD token while the state is PASSWORD_REQUIRED; ALREADY_REGISTERED where
        an account is there. A repeat of the right code gets the same answer.

    Raises:
        TokenInvalid, StepMismatch, SignupExpired, SignupCancelled, SignupBusy,
        CodeIncorrect, CodeExpired, CodeAttemptsExhausted, KratosUnavailable,
        KratosIncompatible: As their names say.
    """
    found, step = await open_signup(deps, token)
    if step is not Step.CODE:
        raise StepMismatch
    check_open(found)
    if found.record.state is not State.CODE_REQUIRED:
        return await _repeat(deps, found.record, code)
    attempt = await _count(deps, found.record, code)
    answer = await _ask_kratos(deps, attempt)
    if answer is CodeAnswer.PROVED:
        return await _proved(deps, attempt)
    return await _not_proved(deps, attempt, answer)


async def _repeat(deps: Dependencies, record: Record, code: str) -> StepResult:
    """Answer the code that proved the mailbox as before; count any other code."""
    if record.code_repeats >= deps.rules.code_attempts:
        raise CodeAttemptsExhausted
    # Counted before it is compared, so that calls in parallel cannot outrun the count.
    repeats = record.code_repeats
    counted = await deps.ledger.change(record, code_repeats=repeats + 1)
    digest = code_digest(deps.keys, record, code)
    if not digests_equal(digest, record.code_digest or b""):
        deps.events.wrong_code()
        raise CodeIncorrect
    record = await deps.ledger.change(counted, code_repeats=repeats)
    return _proved_answer(deps, record)


def _permitted(
    deps: Dependencies, record: Record, contents: Contents, code: str
) -> bytes:
    """Return the digest of a code that may be sent to Kratos.

    Raises:
        CodeIncorrect, CodeAttemptsExhausted, CodeExpired: It may not be sent.
    """
    last = record.code_digest
    if last is not None and last == refused_code_digest(deps.keys, record, code):
        raise CodeIncorrect  # Kratos has refused it before: no attempt is counted
    digest = code_digest(deps.keys, record, code)
    if transitions.attempts_with(record, digest) > deps.rules.code_attempts:
        raise CodeAttemptsExhausted
    if not contents.flow_id:
        raise CodeExpired
    return digest


async def _count(deps: Dependencies, record: Record, code: str) -> Attempt:
    """Count the attempt and take the lease, before Kratos sees the code."""
    contents = open_contents(deps.keys, record)
    digest = _permitted(deps, record, contents, code)
    now = check_not_expired(deps, record)
    changes = transitions.verifying(record, now, deps.rules, digest)
    leased = await deps.ledger.change(record, **changes)
    return Attempt(record, leased, contents, code)


async def _ask_kratos(deps: Dependencies, attempt: Attempt) -> CodeAnswer:
    """Post the code under the row's lease, until Kratos has said what it was."""
    result = await _submit(deps, attempt)
    contents, record = attempt.contents, attempt.record
    try:
        if result is None:
            result = await _after_lost_answer(deps, contents, attempt.code)
        again = attempt.before.code_digest == record.code_digest
        if again and result.answer is CodeAnswer.USED:
            return CodeAnswer.PROVED  # by the call that died over this very code
        if result.answer is CodeAnswer.UNCLEAR:
            return await _unclear(deps, contents)
    except SignupdError:
        await deps.ledger.change(record, **transitions.undecided())
        raise
    if result.identity_id is not None:
        await delete_unapproved(deps, record, result.identity_id)
    return result.answer


async def _submit(deps: Dependencies, attempt: Attempt) -> CodeResult | None:
    """Post the code; None if the answer was lost.

    An attempt that never reached Kratos is given back.
    """
    contents, record = attempt.contents, attempt.record
    try:
        return await deps.kratos.public.submit_code(
            contents.flow_id, contents.traits, attempt.code
        )
    except KratosUnreached:
        changes = transitions.code_uncounted(attempt.before)
        await deps.ledger.change(record, **changes)
        raise
    except KratosUnavailable:
        deps.log.warning("answer_lost", signup_id=str(record.signup_id))
        return None
    except SignupdError:
        await deps.ledger.change(record, **transitions.undecided())
        raise


async def _unclear(deps: Dependencies, contents: Contents) -> CodeAnswer:
    if not await _passed(deps, contents):
        raise KratosIncompatible(DEAD_HOOK)
    deps.log.error("code_hook_dead", why=DEAD_HOOK)
    return CodeAnswer.PROVED


async def _after_lost_answer(
    deps: Dependencies, contents: Contents, code: str
) -> CodeResult:
    """Ask the flow; if it does not say, the same code once more will tell."""
    if await _passed(deps, contents):
        return CodeResult(CodeAnswer.PROVED)
    result = await deps.kratos.public.submit_code(
        contents.flow_id, contents.traits, code, again=True
    )
    if result.answer is CodeAnswer.USED:
        return CodeResult(CodeAnswer.PROVED)
    return result


async def _passed(deps: Dependencies, contents: Contents) -> bool:
    state = await deps.kratos.public.flow_state(contents.flow_id)
    return state is FlowState.PASSED_CHALLENGE


async def _proved(deps: Dependencies, attempt: Attempt) -> StepResult:
    """Look the address up, which is not done before the proof."""
    record = attempt.record
    try:
        account = await deps.kratos.admin.find_identity(attempt.contents.address)
        record = await conclude_code(deps, record, account)
    except SignupdError:
        await deps.ledger.change(record, **transitions.undecided())
        raise
    return _proved_answer(deps, record)


async def _not_proved(
    deps: Dependencies, attempt: Attempt, answer: CodeAnswer
) -> NoReturn:
    record = attempt.record
    if answer is CodeAnswer.INCORRECT:
        deps.events.wrong_code()
        refused = refused_code_digest(deps.keys, record, attempt.code)
        await deps.ledger.change(record, **transitions.code_refused(refused))
        raise CodeIncorrect
    contents = replace(attempt.contents, flow_id="")
    sealed = seal_contents(deps.keys, record.signup_id, contents)
    await deps.ledger.change(record, **transitions.flow_spent(sealed))
    if answer is CodeAnswer.HOOK_MISSING:
        raise KratosIncompatible(MISSING_HOOK)
    raise CodeExpired


def _proved_answer(deps: Dependencies, record: Record) -> StepResult:
    view = deps.view(record)
    if view.state is State.PASSWORD_REQUIRED:
        return StepResult(deps.keys.seal_token(record.signup_id, Step.PASSWORD), view)
    return StepResult("", view)
