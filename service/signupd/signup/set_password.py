"""SetPassword: Kratos makes the whole account in one call that asks us first."""

import contextlib
from typing import Final

from signupd.errors import (
    KratosIncompatible,
    KratosUnavailable,
    KratosUnreached,
    PasswordAlreadySet,
    PasswordAttemptsExhausted,
    PasswordRejected,
    SignupBusy,
    SignupdError,
    StepMismatch,
)
from signupd.kratos.answers import PasswordAnswer, PasswordResult
from signupd.kratos.hook_proof import FAULTS
from signupd.kratos.identity import make_mark
from signupd.ledger.ledger import Snapshot
from signupd.ledger.record import Record, State
from signupd.policy.password import violations
from signupd.policy.rules import PASSWORD_REPEATS, PASSWORDS_KEPT
from signupd.sealing import (
    Contents,
    Step,
    flow_digest,
    knows_password,
    open_contents,
    with_password,
)
from signupd.signup import transitions
from signupd.signup.deps import Dependencies, StepResult
from signupd.signup.outcomes import (
    SCHEMA_CHANGED,
    Leased,
    complete,
    conclude_password,
    conclude_stored,
    move,
    recovery_on_error,
    step_result,
)
from signupd.signup.preconditions import open_step
from signupd.signup.transitions import Event

FOREIGN_HOOK: Final = (
    "Kratos asked another server about a password, or for another address: do all "
    "servers behind the hook's URL share this one's ledger, does another hook change "
    "the trait email, and has the hook's body flow_id and email?"
)
OVERRULED: Final = (
    "the account that our password hook approved has no verified address: Kratos does "
    "not parse the hook's answer (response.parse), or another hook after it replaced it"
)
REFUSED_BY_ANOTHER: Final = (
    "a hook other than signupd's, in selfservice.flows.registration.after.password"
    ".hooks, refused this person; its own log may say why"
)
TAKEN_OTHERWISE: Final = (
    "Kratos says that something of the account is taken, and the address identifies "
    "nobody: another identity has it as its verification or recovery address, or the "
    "external_id that another hook sets"
)
OVERTAKEN: Final = (
    "Kratos made this account so late that the sign-up had moved on; if it is not the "
    "sign-up's, delete it"
)
_FAULTS: Final = FAULTS | {
    PasswordAnswer.TRAITS_REFUSED: SCHEMA_CHANGED,
    PasswordAnswer.HOOK_REFUSED: REFUSED_BY_ANOTHER,
}


async def set_password(deps: Dependencies, token: str, password: str) -> StepResult:
    """Make the account with this password, exactly as received, by a PASSWORD token.

    This leads to COMPLETED, or ALREADY_REGISTERED where the address was taken
    meanwhile.

    A password that is refused here costs no attempt; one that Kratos refuses does.
    """
    found = await open_step(deps, token, Step.PASSWORD)
    record = found.record
    if record.state is not State.PASSWORD_REQUIRED:
        await _check_repeat(deps, found, password)
        return step_result(deps, record, Step.PASSWORD, found.now)
    if record.password_attempts >= deps.rules.password_attempts:
        raise PasswordAttemptsExhausted
    contents = open_contents(deps.keys, record)
    with deps.passwords.admit(record.signup_id, password, contents.address):
        flow_id = await deps.kratos.public.open_registration()
        leased = await _grant(deps, record, contents, flow_id, password)
    async with recovery_on_error(deps, leased):
        record = await _submit(deps, leased, flow_id, password)
    return step_result(deps, record, Step.PASSWORD)


async def _check_repeat(deps: Dependencies, found: Snapshot, password: str) -> None:
    """Refuse a password that did not make the account; count how many are tried."""
    record, repeats = found.record, found.record.password_repeats
    if record.state is State.ALREADY_REGISTERED:
        return
    old = found.now - record.state_time >= PASSWORDS_KEPT
    compared = record.state is State.COMPLETED and record.sealed_passwords is not None
    if old or not compared or repeats >= PASSWORD_REPEATS:
        raise StepMismatch
    # Counted before it is compared, so that calls in parallel cannot outrun the count.
    counted = await deps.ledger.change(record, password_repeats=repeats + 1)
    if not knows_password(deps.keys, record, password):
        deps.observer.wrong_passwords.inc()
        if counted.password_repeats == PASSWORD_REPEATS:
            signup_id = str(record.signup_id)
            deps.log.warning("password_repeats_exhausted", signup_id=signup_id)
        raise PasswordAlreadySet
    await deps.ledger.change(counted, password_repeats=repeats)


async def _grant(
    deps: Dependencies, record: Record, contents: Contents, flow_id: str, password: str
) -> Leased:
    digest = flow_digest(deps.keys, flow_id)
    changes = transitions.setting(
        record,
        deps.ledger.now(),
        deps.rules,
        digest,
        with_password(deps.keys, record, make_mark(record.signup_id, digest), password),
    )
    leased = await deps.ledger.change(record, unapproved=True, **changes)
    return Leased(record, leased, contents)


async def _submit(
    deps: Dependencies, leased: Leased, flow_id: str, password: str
) -> Record:
    """Post the password under the row's lease, and write down what came of it."""
    public, contents = deps.kratos.public, leased.contents
    try:
        result = await public.submit_password(
            flow_id, contents.traits, password, contents.locale
        )
    except KratosUnreached:
        await _give_back(deps, leased)
        raise
    except SignupdError as error:
        return await _look_up(deps, leased, error)
    match result.answer:
        case PasswordAnswer.CREATED:
            return await _created(deps, leased, result)
        case PasswordAnswer.REFUSED | PasswordAnswer.HOOK_REFUSED:
            changes = transitions.password_refused(leased.before)
            await deps.ledger.change(leased.record, **changes)
            if result.answer is PasswordAnswer.HOOK_REFUSED:
                raise KratosIncompatible(_FAULTS[result.answer])
            raise PasswordRejected(violations=violations(result.rules))
        case PasswordAnswer.HOOK_NOT_NOW:
            await _give_back(deps, leased)
            raise SignupBusy
        case PasswordAnswer.HOOK_UNKNOWN_FLOW:
            await _give_back(deps, leased)
            raise KratosIncompatible(FOREIGN_HOOK)
        case PasswordAnswer.TAKEN:
            return await _look_up(deps, leased, None)
        case _:
            # Only the refusals above say for certain that nothing is stored.
            away = result.answer is PasswordAnswer.HOOK_AWAY
            kind = KratosUnavailable if away else KratosIncompatible
            return await _look_up(deps, leased, kind(_FAULTS[result.answer]))


async def _give_back(
    deps: Dependencies, leased: Leased, *, unapproved: bool = False
) -> None:
    """End a lease under which Kratos stored nothing; the attempt is not counted."""
    changes = transitions.password_uncounted(leased.before)
    await deps.ledger.change(leased.record, unapproved=unapproved, **changes)


async def _created(
    deps: Dependencies, leased: Leased, result: PasswordResult
) -> Record:
    """Finish if our hook approved the account that Kratos stored, else delete it.

    The row tells: the grant of the lease clears ``approved_until``, and the hook sets
    it. An approved account is this sign-up's, whatever the mark on it says.
    """
    stored = leased.stored = result.identity_id
    if stored is None:
        raise AssertionError("an account is stored, and it has an id")
    found = await deps.ledger.find(leased.record.signup_id)
    if found is None or found.record.epoch != leased.record.epoch:
        if found is None or found.record.identity_id != stored:
            deps.log.error("account_left", identity_id=str(stored), why=OVERTAKEN)
        raise SignupBusy
    record = found.record
    if record.approved_until:
        if not result.verified:
            deps.hook_proof.revoke()
            deps.log.error("account_unverified", identity_id=str(stored), why=OVERRULED)
        mark = make_mark(record.signup_id, record.flow_digest)
        return await complete(deps, record, stored, mark)
    if (finished := await conclude_stored(deps, record, stored)) is not None:
        return finished
    deps.hook_proof.revoke()
    await _give_back(deps, leased)
    raise KratosIncompatible(FAULTS[result.answer])


async def _look_up(
    deps: Dependencies, leased: Leased, trouble: SignupdError | None
) -> Record:
    """Look the address up, because it is not known what Kratos did.

    If there is no account and our hook approved nothing under this lease, Kratos cannot
    store one later. If the hook did approve, it may still be about to. Without
    ``trouble`` Kratos stored nothing, because the address is taken: by an identity that
    the look-up finds, or as the verification or recovery address of another.
    """
    record = leased.record
    account = await deps.kratos.admin.find_identity(leased.contents.address)
    if account is None:
        if trouble is None:
            signup_id = str(record.signup_id)
            deps.log.info("taken_otherwise", signup_id=signup_id, why=TAKEN_OTHERWISE)
            changes = transitions.already_registered(deps.ledger.now(), verified=False)
            return await move(deps, record, Event.ALREADY_REGISTERED, changes)
        with contextlib.suppress(SignupBusy):
            await _give_back(deps, leased, unapproved=True)
        raise trouble
    finished = await conclude_password(deps, record, account)
    ours = make_mark(record.signup_id, record.flow_digest)
    if finished.state is State.COMPLETED and account.mark != ours:
        raise PasswordAlreadySet  # by another attempt, with its password
    return finished
