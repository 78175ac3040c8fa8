"""What must hold before a step begins: a good token, a live sign-up, no other work."""

from signupd.errors import StepMismatch, TokenInvalid
from signupd.ledger.ledger import Snapshot
from signupd.ledger.record import State
from signupd.sealing import Step
from signupd.signup import transitions
from signupd.signup.deps import Dependencies
from signupd.signup.recovery import settle


async def read_signup(deps: Dependencies, token: str) -> tuple[Snapshot, Step]:
    """Read the sign-up of a token as it stands, and the step that the token proves.

    Raises:
        TokenInvalid: The token is not one of ours, or its sign-up is no longer kept.
    """
    signup_id, step = deps.keys.open_token(token)
    found = await deps.ledger.find(signup_id)
    if found is None or found.record.state is State.STARTING:
        raise TokenInvalid
    return found, step


async def open_signup(deps: Dependencies, token: str) -> tuple[Snapshot, Step]:
    """Read the sign-up of a token, settled, and the step that the token proves.

    Raises:
        TokenInvalid: As ``read_signup``.
        KratosUnavailable, KratosIncompatible: An earlier call died at work on this
            sign-up, and Kratos cannot say what became of it.
        SealBroken: The row's key is gone, or the row was tampered with.
    """
    found, step = await read_signup(deps, token)
    if transitions.needs_recovery(found.record, found.now):
        found = await settle(deps, found)
    return found, step


async def open_step(deps: Dependencies, token: str, step: Step) -> Snapshot:
    """Read the sign-up of a token for a step that works on it.

    Raises:
        StepMismatch: The token is for another step. Besides all that ``open_signup``
            and ``demand_open`` raise.
    """
    found, proved = await open_signup(deps, token)
    if proved is not step:
        raise StepMismatch
    transitions.demand_open(found.record, found.now)
    return found
