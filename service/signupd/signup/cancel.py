"""CancelSignup: the sign-up ends. There is nothing in Kratos to undo."""

from signupd.errors import StepMismatch
from signupd.ledger.record import FINAL, State
from signupd.signup import transitions
from signupd.signup.deps import Dependencies, StepResult
from signupd.signup.outcomes import move, step_result
from signupd.signup.preconditions import open_signup


async def cancel_signup(deps: Dependencies, token: str) -> StepResult:
    """End a sign-up that is under way, by a token of either step."""
    found, step = await open_signup(deps, token)
    record, now = found.record, found.now
    # Made first: a row whose key is not here must stay as it is.
    shown = step_result(deps, record, step, now)
    if record.state is State.CANCELLED:
        return shown
    transitions.demand_open(record, now)
    if record.state in FINAL:
        raise StepMismatch
    changes = transitions.ended(State.CANCELLED, now)
    event = transitions.Event.CANCELLED
    record = await move(deps, record, event, changes, unapproved=True)
    return step_result(deps, record, step)
