"""GetSignup: the state of a sign-up. It changes only what a dead call left."""

from signupd.ledger.record import State
from signupd.sealing import open_contents
from signupd.signup.deps import Dependencies, StepResult
from signupd.signup.outcomes import step_result
from signupd.signup.preconditions import open_signup
from signupd.signup.transitions import state_shown


async def get_signup(deps: Dependencies, token: str) -> StepResult:
    """Return the state of a sign-up, and a token of the same step as the given one."""
    found, step = await open_signup(deps, token)
    record, now = found.record, found.now
    delivery = None
    if state_shown(record, now) is State.CODE_REQUIRED:
        address = open_contents(deps.keys, record).address
        delivery = await deps.courier.delivery(
            record.signup_id, address, record.send_time
        )
    return step_result(deps, record, step, now, delivery)
