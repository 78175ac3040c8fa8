"""GetSignup and CheckPassword, which move no sign-up on."""

from signupd.errors import StepMismatch
from signupd.ledger.record import State
from signupd.policy.password import Judgement
from signupd.sealing import Step, open_contents
from signupd.signup.deps import Dependencies, StepResult
from signupd.signup.outcomes import step_result
from signupd.signup.preconditions import open_signup, read_signup
from signupd.signup.transitions import demand_live, state_shown


async def get_signup(deps: Dependencies, token: str) -> StepResult:
    """Return the state of a sign-up, and a token of the same step as the given one.

    It changes only what a dead call left.
    """
    found, step = await open_signup(deps, token)
    record, now = found.record, found.now
    delivery = None
    if state_shown(record, now) is State.CODE_REQUIRED:
        address = open_contents(deps.keys, record).address
        delivery = await deps.courier.delivery(
            record.signup_id, address, record.send_time
        )
    return step_result(deps, record, step, now, delivery)


async def check_password(deps: Dependencies, token: str, password: str) -> Judgement:
    """Judge a password, by a PASSWORD token: what would SetPassword refuse by itself?

    This asks Kratos and changes nothing.
    """
    found, step = await read_signup(deps, token)
    record = found.record
    if step is not Step.PASSWORD:
        raise StepMismatch
    demand_live(record, found.now)
    if record.state is not State.PASSWORD_REQUIRED:
        raise StepMismatch
    address = open_contents(deps.keys, record).address
    return deps.passwords.check(record.signup_id, password, address)
