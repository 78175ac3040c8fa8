"""CheckPassword: what SetPassword would refuse by our own rules."""

from signupd.errors import StepMismatch
from signupd.ledger.record import State
from signupd.policy.password import Judgement
from signupd.sealing import Step, open_contents
from signupd.signup import transitions
from signupd.signup.deps import Dependencies
from signupd.signup.preconditions import read_signup


async def check_password(deps: Dependencies, token: str, password: str) -> Judgement:
    """Judge a password, by a PASSWORD token; this asks Kratos and changes nothing.

    Raises:
        SignupdError: One of the RPC's reasons, as its .proto file explains.
    """
    found, step = await read_signup(deps, token)
    record = found.record
    if step is not Step.PASSWORD:
        raise StepMismatch
    transitions.demand_live(record, found.now)
    if record.state is not State.PASSWORD_REQUIRED:
        raise StepMismatch
    address = open_contents(deps.keys, record).address
    return deps.passwords.check(record.signup_id, password, address)
