"""GetSignup: how a sign-up stands. It changes nothing but what a dead call left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from signupd.errors import KratosIncompatible, KratosUnavailable
from signupd.ledger.record import State
from signupd.signup.contents import open_contents
from signupd.signup.deps import Answer
from signupd.signup.find import signup_of
from signupd.signup.rules import SECOND
from signupd.signup.transitions import state_shown

if TYPE_CHECKING:
    from signupd.kratos.outcomes import Delivery
    from signupd.ledger.record import Record
    from signupd.signup.deps import Deps

# Kratos' database and the ledger may tell the time a little differently.
CLOCK_SKEW: Final = timedelta(seconds=5)


async def get_signup(deps: Deps, token: str) -> Answer:
    """Tell how a sign-up stands.

    Args:
        deps: The neighbours.
        token: A token of either step.

    Returns:
        A token of the step that the given one is for, empty when the state is final.

    Raises:
        TokenInvalid: Not one of our tokens, or its sign-up is no longer kept.
        KratosUnavailable, KratosIncompatible: A call died at work on this sign-up, and
            Kratos cannot say what became of it.
    """
    async with signup_of(deps, token) as (found, step):
        record, now = found.record, found.now
        delivery = None
        if state_shown(record, now) is State.CODE_REQUIRED:
            delivery = await _delivery(deps, record)
        view = deps.view(record, now, delivery)
        if view.state.final:
            return Answer("", view)
        return Answer(deps.keys.seal_token(record.signup_id, step), view)


async def _delivery(deps: Deps, record: Record) -> Delivery | None:
    """Ask the courier; its silence is no reason to say nothing of the sign-up."""
    address = open_contents(deps.keys, record).address
    sent = datetime.fromtimestamp(record.send_time / SECOND, UTC)
    try:
        return await deps.kratos.admin.code_delivery(address, sent - CLOCK_SKEW)
    except (KratosUnavailable, KratosIncompatible) as error:
        deps.log.warning("courier_not_asked", why=error.detail)
        return None
