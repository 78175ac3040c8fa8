"""SetPassword: Kratos makes the account, whole, in one call that asks us first."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

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
from signupd.kratos.outcomes import PasswordAnswer, PasswordResult
from signupd.ledger.ledger import RETRY_SECONDS
from signupd.ledger.record import Record, State
from signupd.sealing import Step
from signupd.signup import transitions
from signupd.signup.address import Address
from signupd.signup.approve import flow_digest
from signupd.signup.attempts import knows_password, with_password
from signupd.signup.contents import Contents, open_contents
from signupd.signup.deps import Answer
from signupd.signup.find import signup_of
from signupd.signup.gate import FAULTS
from signupd.signup.password import check_password, violations
from signupd.signup.settle import (
    conclude_password,
    look_up,
    made_by,
    refuse_late,
)

if TYPE_CHECKING:
    import uuid

    from signupd.kratos.outcomes import Identity
    from signupd.ledger.ledger import Found
    from signupd.signup.deps import Deps

FOREIGN_HOOK = (
    "Kratos asked another server about a password: do all servers behind the hook's "
    "URL share this one's ledger?"
)
CHANGED_SCHEMA = "Kratos refuses traits that it took before: has its schema changed?"


async def set_password(deps: Deps, token: str, password: str) -> Answer:
    """Have Kratos make the account with this password.

    Args:
        deps: The neighbours.
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
    async with signup_of(deps, token) as (found, step):
        if step is not Step.PASSWORD:
            raise StepMismatch
        refuse_late(found)
        record = found.record
        if record.state is not State.PASSWORD_REQUIRED:
            return _repeat(deps, found, password)
        if record.password_attempts >= deps.rules.password_attempts:
            raise PasswordAttemptsExhausted
        contents = open_contents(deps.keys, record)
        check_password(password, Address(contents.address), deps.rules)
        flow_id = await deps.kratos.open_registration()
        record = await _grant(deps, record, flow_id, password)
        return await _submit(deps, record, contents, flow_id, password)


def _repeat(deps: Deps, found: Found, password: str) -> Answer:
    """Answer a repeat truthfully: whose password it was that made the account."""
    record, view = found.record, deps.view(found.record, found.now)
    if record.state is State.ALREADY_REGISTERED:
        return Answer("", view)
    if record.state is not State.COMPLETED or record.sealed_passwords is None:
        raise StepMismatch
    if not knows_password(deps.keys, record, password):
        raise PasswordAlreadySet
    return Answer("", view)


async def _grant(deps: Deps, record: Record, flow_id: str, password: str) -> Record:
    # The attempt's number is the epoch that the grant makes: never used twice.
    attempt = record.epoch + 1
    changes = transitions.setting(
        record,
        deps.ledger.now(),
        deps.rules,
        flow_digest(deps.keys, flow_id),
        with_password(deps.keys, record, attempt, password),
    )
    return await deps.ledger.change(record, unapproved=True, **changes)


async def _submit(
    deps: Deps, record: Record, contents: Contents, flow_id: str, password: str
) -> Answer:
    """Post the password under the row's lease, and write down what came of it."""
    try:
        result = await deps.kratos.submit_password(flow_id, contents.traits, password)
    except KratosUnreached:
        await deps.ledger.change(record, **transitions.password_uncounted(record))
        raise
    except KratosUnavailable as error:
        return await _look(deps, record, error)
    match result.answer:
        case PasswordAnswer.REFUSED:
            await _refused(deps, record, result)
        case PasswordAnswer.HOOK_NOT_NOW:
            await _give_back(deps, record)
            raise SignupBusy(retry_after_seconds=RETRY_SECONDS)
        case PasswordAnswer.HOOK_UNKNOWN_FLOW:
            await _incompatible(deps, record, FOREIGN_HOOK)
        case PasswordAnswer.TRAITS_REFUSED:
            await _incompatible(deps, record, CHANGED_SCHEMA)
        case PasswordAnswer.METHOD_OFF:
            await _incompatible(deps, record, FAULTS[result.answer])
        case PasswordAnswer.UNCLEAR:
            fault = KratosIncompatible(FAULTS[result.answer])
            return await _look(deps, record, fault)
    return await _created(deps, record, contents, result)


async def _refused(deps: Deps, record: Record, result: PasswordResult) -> NoReturn:
    await deps.ledger.change(record, **transitions.password_refused())
    raise PasswordRejected(violations=violations([r.value for r in result.rules]))


async def _incompatible(deps: Deps, record: Record, why: str) -> NoReturn:
    await _give_back(deps, record)
    raise KratosIncompatible(why)


async def _give_back(deps: Deps, record: Record) -> None:
    """End a lease under which Kratos is known to have stored nothing."""
    await deps.ledger.change(record, **transitions.password_uncounted(record))


async def _created(
    deps: Deps, record: Record, contents: Contents, result: PasswordResult
) -> Answer:
    """An account is stored. Finish if it is the one we agreed to, else delete it."""
    account = await _look_up(deps, record)
    complete = (
        account is not None
        and account.id == result.identity_id
        and made_by(record, account)
        and contents.address in account.verified
    )
    if account is None or not complete:
        deps.gate.distrust()
        await _delete_ghost(deps, record, result)
        await _incompatible(deps, record, FAULTS[PasswordAnswer.CREATED])
    return await _finish(deps, record, account)


async def _delete_ghost(deps: Deps, record: Record, result: PasswordResult) -> None:
    """Delete what Kratos stored past us: the account its answer to our POST names."""
    try:
        if result.identity_id is not None:
            await deps.kratos.delete_identity(result.identity_id)
    except SignupdError:
        await deps.ledger.change(record, **transitions.undecided())
        raise


async def _finish(deps: Deps, record: Record, account: Identity) -> Answer:
    record = await conclude_password(deps, record, account)
    if record.state is State.COMPLETED:
        await _end_sessions(deps, account.id)
    deps.log.info(
        "signup_finished", signup_id=str(record.signup_id), state=record.state.value
    )
    return Answer("", deps.view(record))


async def _end_sessions(deps: Deps, identity_id: uuid.UUID) -> None:
    """End the session that Kratos stores with the account; nobody holds its token."""
    try:
        await deps.kratos.end_sessions(identity_id)
    except SignupdError as error:
        deps.log.warning("session_left", identity_id=str(identity_id), why=error.detail)


async def _look_up(deps: Deps, record: Record) -> Identity | None:
    """Look the address up; leave the row to be settled where Kratos cannot say."""
    try:
        return await look_up(deps, record)
    except SignupdError:
        await deps.ledger.change(record, **transitions.undecided())
        raise


async def _look(deps: Deps, record: Record, trouble: SignupdError) -> Answer:
    """Not known what Kratos did: what stands at the address tells.

    Nothing there settles it at once where our hook agreed to nothing under this lease,
    since Kratos cannot store without. Else it may still be about to.
    """
    account = await _look_up(deps, record)
    if account is not None:
        return await _finish(deps, record, account)
    try:
        changes = transitions.password_uncounted(record)
        await deps.ledger.change(record, unapproved=True, **changes)
    except SignupBusy:
        await deps.ledger.change(record, **transitions.undecided())
    raise trouble
