"""CancelSignup: the sign-up ends. There is nothing in Kratos to undo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from signupd.errors import StepMismatch
from signupd.ledger.record import State
from signupd.signup import transitions
from signupd.signup.preconditions import check_open, open_signup

if TYPE_CHECKING:
    from signupd.signup.deps import Dependencies, StepResult


async def cancel_signup(deps: Dependencies, token: str) -> StepResult:
    """End a sign-up that is under way.

    Args:
        deps: What the step works with.
        token: A token of either step.

    Raises:
        StepMismatch: It is complete, or the address already has an account.
        TokenInvalid, SignupExpired, SignupBusy: As their names say.
    """
    found, step = await open_signup(deps, token)
    record, now = found.record, found.now
    if record.state is State.CANCELLED:
        return deps.result(record, step, now)
    check_open(found)
    if record.state.final:
        raise StepMismatch
    changes = transitions.cancelled(now)
    record = await deps.ledger.change(record, unapproved=True, **changes)
    deps.note(transitions.Event.CANCELLED, record.signup_id, record.caller)
    return deps.result(record, step)
