"""VerifyCode: Kratos checks the code. This proves the mailbox and stores nothing."""

from collections.abc import Awaitable
from dataclasses import replace
from typing import NoReturn

from signupd.errors import (
    CodeAttemptsExhausted,
    CodeExpired,
    CodeIncorrect,
    KratosIncompatible,
    KratosUnavailable,
    KratosUnreached,
)
from signupd.kratos.answers import CodeAnswer, CodeResult
from signupd.ledger.record import Record, State
from signupd.sealing import (
    Step,
    address_digest,
    code_digest,
    digests_equal,
    flow_digest,
    open_contents,
    refused_code_digest,
    seal_contents,
)
from signupd.signup import transitions
from signupd.signup.deps import Dependencies, StepResult
from signupd.signup.outcomes import (
    SCHEMA_CHANGED,
    Leased,
    conclude_code,
    recovery_on_error,
    step_result,
)
from signupd.signup.preconditions import open_step

MISSING_HOOK = (
    "Kratos stored an account at the code without asking: "
    "selfservice.flows.registration.after.code.hooks has no web_hook to /kratos/code "
    "with response.parse true (under after.hooks it does not count), or its body ends "
    'in error "cancel"'
)
LATE_HOOK = (
    "Kratos asked its code hook after it had stored an account: set response.parse "
    "true in selfservice.flows.registration.after.code.hooks. The account stays; "
    "`signupd orphans` lists it"
)
DEAD_HOOK = (
    "Kratos did not reach its code hook, or refused the answer. "
    "Correct selfservice.flows.registration.after.code.hooks: "
    "the URL has to lead to HOOK_LISTEN and end in /kratos/code, X-Hook-Key has to be "
    "HOOK_KEY, the body has to be valid jsonnet, and this hook has to be the first"
)
REFUSING_HOOK = (
    "a hook other than signupd's refused a registration in which the code was right: "
    "in selfservice.flows.registration.after.code.hooks, put the web_hook to "
    "/kratos/code first"
)


async def verify_code(deps: Dependencies, token: str, code: str) -> StepResult:
    """Check the code that the person read in the mail, by a CODE token.

    The right code leads to PASSWORD_REQUIRED, with a PASSWORD token, or to
    ALREADY_REGISTERED where an account is there. Its repeat gets the same answer.
    """
    found = await open_step(deps, token, Step.CODE)
    if found.record.state is not State.CODE_REQUIRED:
        return await _repeat(deps, found.record, code)
    leased = await _grant(deps, found.record, code)
    async with recovery_on_error(deps, leased):
        answer = await _ask_kratos(deps, leased, code)
        if answer is not CodeAnswer.PROVED:
            await _refuse(deps, leased, code, answer)
        record = await conclude_code(deps, leased.record, leased.contents.address)
    return step_result(deps, record, Step.PASSWORD)


async def _repeat(deps: Dependencies, record: Record, code: str) -> StepResult:
    """Answer the code that proved the mailbox as before; count any other code."""
    if record.code_repeats >= deps.rules.code_attempts:
        raise CodeAttemptsExhausted
    # Counted before it is compared, so that calls in parallel cannot outrun the count.
    repeats = record.code_repeats
    counted = await deps.ledger.change(record, code_repeats=repeats + 1)
    digest = code_digest(deps.keys, record, code)
    if not digests_equal(digest, record.code_digest or b""):
        await _count_wrong(deps, record)
        raise CodeIncorrect
    record = await deps.ledger.change(counted, code_repeats=repeats)
    return step_result(deps, record, Step.PASSWORD)


async def _grant(deps: Dependencies, record: Record, code: str) -> Leased:
    """Count the attempt and take the lease, before Kratos sees the code.

    Raises:
        CodeIncorrect, CodeAttemptsExhausted, CodeExpired: It may not be sent.
    """
    contents = open_contents(deps.keys, record)
    if record.code_digest == refused_code_digest(deps.keys, record, code):
        raise CodeIncorrect  # Kratos has refused it before: no attempt is counted
    digest = code_digest(deps.keys, record, code)
    flow = flow_digest(deps.keys, contents.flow_id)
    if transitions.attempts_with(record, digest) > deps.rules.code_attempts:
        raise CodeAttemptsExhausted
    if not contents.flow_id:
        raise CodeExpired
    now = deps.ledger.now()
    changes = transitions.verifying(record, now, deps.rules, digest, flow)
    return Leased(record, await deps.ledger.change(record, **changes), contents)


def note_proof(deps: Dependencies, flow_id: str, address: str) -> Awaitable[None]:
    """Note that Kratos took a code, as our code hook is told: the flow, the address.

    A flow's state does not say for which address it was passed: who knows its id can
    pass it with a code of a mailbox of their own.

    Raises:
        LedgerUnavailable: Kratos' own answer still proves the mailbox.
    """
    flow = flow_digest(deps.keys, flow_id)
    return deps.ledger.note_proof(flow, address_digest(deps.keys, address.lower()))


async def _ask_kratos(deps: Dependencies, leased: Leased, code: str) -> CodeAnswer:
    """Post the code under the row's lease, until Kratos has said what it was.

    An answer to our own POST is about our code and address. Where it is lost, or the
    flow was passed before, only our hook knows for which address.
    """
    record = leased.record
    again = leased.before.code_digest == record.code_digest
    result = await _submit(deps, leased, code)
    if result is None:
        if await _noted(deps, record):
            return CodeAnswer.PROVED
        again, contents = True, leased.contents
        result = await deps.kratos.public.submit_code(
            contents.flow_id, contents.traits, code, again=True
        )
    match result.answer:
        case CodeAnswer.USED if again:
            return CodeAnswer.PROVED  # by the POST whose answer was lost
        case CodeAnswer.PASSED | CodeAnswer.TRAITS_REFUSED | CodeAnswer.UNCLEAR if (
            await _noted(deps, record)
        ):
            return CodeAnswer.PROVED
        case CodeAnswer.TRAITS_REFUSED:
            raise KratosIncompatible(SCHEMA_CHANGED)
        case CodeAnswer.HOOK_DEAD:
            deps.log.error("code_hook_dead", why=DEAD_HOOK)
            return CodeAnswer.PROVED
        case CodeAnswer.UNCLEAR:
            raise KratosIncompatible(DEAD_HOOK)
        case CodeAnswer.HOOK_MISSING if result.identity_id is not None:
            leased.stored = result.identity_id
            await deps.kratos.admin.delete_identity(result.identity_id)
    return result.answer


async def _submit(deps: Dependencies, leased: Leased, code: str) -> CodeResult | None:
    """Post the code; None if the answer was lost.

    An attempt that never reached Kratos is given back.
    """
    contents, record = leased.contents, leased.record
    try:
        return await deps.kratos.public.submit_code(
            contents.flow_id, contents.traits, code
        )
    except KratosUnreached:
        changes = transitions.code_uncounted(leased.before)
        await deps.ledger.change(record, **changes)
        raise
    except KratosUnavailable:
        deps.log.warning("answer_lost", signup_id=str(record.signup_id))
        return None


async def _noted(deps: Dependencies, record: Record) -> bool:
    """Return whether our code hook was asked for this sign-up under this lease."""
    found = await deps.ledger.find(record.signup_id)
    return found is not None and bool(
        found.record.epoch == record.epoch and found.record.proof_time
    )


async def _refuse(
    deps: Dependencies, leased: Leased, code: str, answer: CodeAnswer
) -> NoReturn:
    """Give the lease back, and say why the code proves nothing."""
    record = leased.record
    if answer is CodeAnswer.INCORRECT:
        refused = refused_code_digest(deps.keys, record, code)
        await deps.ledger.change(record, **transitions.code_refused(refused))
        await _count_wrong(deps, record)
        # Newer Kratos answers a right code past its lifespan like a wrong one.
        late = deps.ledger.now() >= record.expire_time
        raise CodeExpired if late else CodeIncorrect
    contents = replace(leased.contents, flow_id="")
    sealed = seal_contents(deps.keys, record.signup_id, contents)
    await deps.ledger.change(record, **transitions.flow_spent(sealed))
    if answer is CodeAnswer.HOOK_MISSING:
        raise KratosIncompatible(MISSING_HOOK)
    if answer is CodeAnswer.HOOK_LATE:
        raise KratosIncompatible(LATE_HOOK)
    if answer is CodeAnswer.HOOK_REFUSED:
        raise KratosIncompatible(REFUSING_HOOK)
    raise CodeExpired


async def _count_wrong(deps: Dependencies, record: Record) -> None:
    deps.observer.wrong_codes.inc()
    await deps.limits.wrong_code(record.address_digest)
