"""SetPassword: Kratos makes the whole account in one call that asks us first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from signupd.address import Address
from signupd.errors import (
    KratosIncompatible,
    KratosUnreached,
    PasswordAlreadySet,
    PasswordAttemptsExhausted,
    PasswordRejected,
    SignupBusy,
    SignupdError,
    StepMismatch,
)
from signupd.kratos.hook_proof import FAULTS
from signupd.kratos.outcomes import PasswordAnswer, PasswordResult
from signupd.ledger.record import Record, State
from signupd.policy.password import check_password, violations
from signupd.policy.rules import PASSWORDS_KEPT
from signupd.sealing import Step
from signupd.signup import transitions
from signupd.signup.deps import StepResult
from signupd.signup.outcomes import (
    conclude_password,
    delete_unapproved,
    is_whole,
    made_by,
    note_stored_identity,
)
from signupd.signup.preconditions import check_not_expired, check_open, open_signup
from signupd.signup.sealed import (
    Contents,
    flow_digest,
    knows_password,
    open_contents,
    with_password,
)

if TYPE_CHECKING:
    import uuid

    from signupd.kratos.identity import Identity
    from signupd.ledger.ledger import Snapshot
    from signupd.signup.deps import Dependencies

FOREIGN_HOOK: Final = (
    "Kratos asked another server about a password: do all servers behind the hook's "
    "URL share this one's ledger?"
)
_FAULTS: Final = FAULTS | {
    PasswordAnswer.TRAITS_REFUSED: (
        "Kratos refuses traits that it took before: has its schema changed?"
    ),
}


@dataclass(frozen=True, slots=True)
class Attempt:
    """A password on its way: the row before and under its lease, and its contents."""

    before: Record
    record: Record
    contents: Contents


async def set_password(deps: Dependencies, token: str, password: str) -> StepResult:
    """Make the account with this password.

    Args:
        deps: What the step works with.
        token: A PASSWORD token.
        password: Exactly as received.

    Returns:
        COMPLETED, or ALREADY_REGISTERED where the address was taken meanwhile.

    Raises:
        PasswordRejected: With one violation per rule. What is refused here costs no
            attempt, what Kratos refuses does.
        TokenInvalid, StepMismatch, SignupExpired, SignupCancelled, SignupBusy,
        PasswordAlreadySet, PasswordAttemptsExhausted, KratosUnavailable,
        KratosIncompatible: As their names say.
    """
    found, step = await open_signup(deps, token)
    if step is not Step.PASSWORD:
        raise StepMismatch
    check_open(found)
    record = found.record
    if record.state is not State.PASSWORD_REQUIRED:
        return _repeat(deps, found, password)
    if record.password_attempts >= deps.rules.password_attempts:
        raise PasswordAttemptsExhausted
    contents = open_contents(deps.keys, record)
    check_password(password, Address(contents.address), deps.rules)
    flow_id = await deps.kratos.public.open_registration()
    leased = await _grant(deps, record, flow_id, password)
    attempt = Attempt(record, leased, contents)
    return await _submit(deps, attempt, flow_id, password)


def _repeat(deps: Dependencies, found: Snapshot, password: str) -> StepResult:
    """Answer a repeat: did this password make the account?"""
    record, view = found.record, deps.view(found.record, found.now)
    if record.state is State.ALREADY_REGISTERED:
        return StepResult("", view)
    old = found.now - record.state_time >= PASSWORDS_KEPT
    if record.state is not State.COMPLETED or old or record.sealed_passwords is None:
        raise StepMismatch
    if not knows_password(deps.keys, record, password):
        raise PasswordAlreadySet
    return StepResult("", view)


async def _grant(
    deps: Dependencies, record: Record, flow_id: str, password: str
) -> Record:
    # The attempt's number is the epoch that the grant makes: never used twice.
    attempt = record.epoch + 1
    changes = transitions.setting(
        record,
        check_not_expired(deps, record),
        deps.rules,
        flow_digest(deps.keys, flow_id),
        with_password(deps.keys, record, attempt, password),
    )
    return await deps.ledger.change(record, unapproved=True, **changes)


async def _submit(
    deps: Dependencies, attempt: Attempt, flow_id: str, password: str
) -> StepResult:
    """Post the password under the row's lease, and write down what came of it."""
    traits = attempt.contents.traits
    try:
        result = await deps.kratos.public.submit_password(flow_id, traits, password)
    except KratosUnreached:
        await _give_back(deps, attempt)
        raise
    except SignupdError as error:
        return await _look(deps, attempt, error)
    match result.answer:
        case PasswordAnswer.CREATED:
            return await _created(deps, attempt, result)
        case PasswordAnswer.REFUSED:
            changes = transitions.password_refused(attempt.before)
            await deps.ledger.change(attempt.record, **changes)
            broken = [rule.value for rule in result.rules]
            raise PasswordRejected(violations=violations(broken))
        case PasswordAnswer.HOOK_NOT_NOW:
            await _give_back(deps, attempt)
            raise SignupBusy
        case PasswordAnswer.HOOK_UNKNOWN_FLOW:
            await _give_back(deps, attempt)
            raise KratosIncompatible(FOREIGN_HOOK)
        case _:
            # Only the refusals above say for certain that nothing is stored.
            fault = KratosIncompatible(_FAULTS[result.answer])
            return await _look(deps, attempt, fault)


async def _give_back(deps: Dependencies, attempt: Attempt) -> None:
    """End a lease under which Kratos stored nothing; the attempt is not counted."""
    changes = transitions.password_uncounted(attempt.before)
    await deps.ledger.change(attempt.record, **changes)


async def _created(
    deps: Dependencies, attempt: Attempt, result: PasswordResult
) -> StepResult:
    """Finish if the stored account is the one we approved, else delete it."""
    stored = result.identity_id
    if stored is None:
        raise AssertionError("an account is stored, and it has an id")
    try:
        account = await deps.kratos.admin.find_identity(attempt.contents.address)
    except SignupdError:
        await note_stored_identity(deps, attempt.record, stored)
        raise
    if account is not None and account.id == stored and _complete(attempt, account):
        return await _finish(deps, attempt.record, account)
    deps.hook_proof.revoke()
    await delete_unapproved(deps, attempt.record, stored)
    await _give_back(deps, attempt)
    raise KratosIncompatible(FAULTS[result.answer])


def _complete(attempt: Attempt, account: Identity) -> bool:
    """Return whether this attempt made the account, and made it whole."""
    whole = is_whole(attempt.record, attempt.contents.address, account)
    return whole and _made_now(attempt, account)


def _made_now(attempt: Attempt, account: Identity) -> bool:
    """Return whether this attempt made the account, not an earlier one."""
    mark = account.mark
    ours = mark is not None and made_by(attempt.record, account)
    return ours and mark is not None and mark.attempt == attempt.record.epoch


async def _look(
    deps: Dependencies, attempt: Attempt, trouble: SignupdError
) -> StepResult:
    """Look the address up, because it is not known what Kratos did.

    If there is no account and our hook approved nothing under this lease, Kratos cannot
    store one later. If the hook did approve, it may still be about to.
    """
    account = await _look_up(deps, attempt)
    if account is not None:
        answer = await _finish(deps, attempt.record, account)
        if made_by(attempt.record, account) and not _made_now(attempt, account):
            raise PasswordAlreadySet  # by an attempt before, with its password
        return answer
    try:
        changes = transitions.password_uncounted(attempt.before)
        await deps.ledger.change(attempt.record, unapproved=True, **changes)
    except SignupBusy:
        await deps.ledger.change(attempt.record, **transitions.undecided())
    raise trouble


async def _look_up(deps: Dependencies, attempt: Attempt) -> Identity | None:
    """Look the address up; leave the row to recovery if Kratos cannot say."""
    try:
        return await deps.kratos.admin.find_identity(attempt.contents.address)
    except SignupdError:
        await deps.ledger.change(attempt.record, **transitions.undecided())
        raise


async def _finish(deps: Dependencies, record: Record, account: Identity) -> StepResult:
    record = await conclude_password(deps, record, account)
    if record.state is State.COMPLETED:
        await _end_sessions(deps, account.id)
    return StepResult("", deps.view(record))


async def _end_sessions(deps: Dependencies, identity_id: uuid.UUID) -> None:
    """End the session that Kratos stores with the account; its token is unused."""
    try:
        await deps.kratos.admin.end_sessions(identity_id)
    except SignupdError as error:
        deps.log.warning("session_left", identity_id=str(identity_id), why=error.detail)
