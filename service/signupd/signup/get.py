"""GetSignup: the state of a sign-up. It changes only what a dead call has left."""

from datetime import UTC, datetime, timedelta
from typing import Final

from signupd.errors import KratosIncompatible, KratosUnavailable
from signupd.kratos.outcomes import Delivery
from signupd.ledger.record import Record, State
from signupd.policy.rules import SECOND
from signupd.signup.deps import Dependencies, StepResult
from signupd.signup.preconditions import open_signup
from signupd.signup.sealed import open_contents
from signupd.signup.transitions import state_shown

# The clocks of Kratos' database and of the ledger may differ a little.
CLOCK_SKEW: Final = timedelta(seconds=5)


async def get_signup(deps: Dependencies, token: str) -> StepResult:
    """Return the state of a sign-up, and a token of the same step as the given one.

    Raises:
        TokenInvalid: Not one of our tokens, or its sign-up is no longer kept.
        KratosUnavailable, KratosIncompatible: A call died at work on this sign-up, and
            Kratos cannot say what became of it.
    """
    found, step = await open_signup(deps, token)
    record, now = found.record, found.now
    delivery = None
    if state_shown(record, now) is State.CODE_REQUIRED:
        delivery = await _delivery(deps, record)
    return deps.result(record, step, now, delivery)


async def _delivery(deps: Dependencies, record: Record) -> Delivery | None:
    """Ask the courier; if it cannot say, the answer is given without it."""
    address = open_contents(deps.keys, record).address
    sent = datetime.fromtimestamp(record.send_time / SECOND, UTC)
    try:
        return await deps.kratos.admin.code_delivery(address, sent - CLOCK_SKEW)
    except (KratosUnavailable, KratosIncompatible) as error:
        deps.log.warning("courier_not_asked", why=error.detail)
        return None
