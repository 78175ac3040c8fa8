"""From a continuation token to its sign-up."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from signupd.errors import LedgerUnavailable, SignupdError, TokenInvalid
from signupd.ledger.record import State
from signupd.sealing import SealBroken
from signupd.signup.settle import settle

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator

    from signupd.ledger.ledger import Found
    from signupd.sealing import Step
    from signupd.signup.deps import Deps


@contextlib.asynccontextmanager
async def signup_of(deps: Deps, token: str) -> AsyncIterator[tuple[Found, Step]]:
    """Read the sign-up a token is for, settled, and the step the token proves.

    Whatever goes wrong inside, the error leaves with the sign-up as it stands then.

    Raises:
        TokenInvalid: Not one of our tokens, or its sign-up is no longer kept, or no
            longer readable since its key was forgotten.
        KratosUnavailable, KratosIncompatible: A call died at work on this sign-up, and
            Kratos cannot say what became of it.
    """
    signup_id, step = deps.keys.open_token(token)
    found = await deps.ledger.find(signup_id)
    if found is None or found.record.state is State.STARTING:
        raise TokenInvalid
    try:
        yield await settle(deps, found), step
    except SignupdError as error:
        await show(deps, signup_id, error)
        raise
    except SealBroken as error:
        deps.log.exception("signup_unreadable", signup_id=str(signup_id))
        raise TokenInvalid from error


async def show_by_token(deps: Deps, token: str, error: SignupdError) -> None:
    """Add to an error from outside a step how its sign-up stands."""
    if error.signup is None:
        with contextlib.suppress(TokenInvalid):
            await show(deps, deps.keys.open_token(token)[0], error)


async def show(deps: Deps, signup_id: uuid.UUID, error: SignupdError) -> None:
    """Add to an error how its sign-up stands now, if the ledger tells."""
    with contextlib.suppress(LedgerUnavailable, SealBroken):
        found = await deps.ledger.find(signup_id)
        if found is not None and found.record.state is not State.STARTING:
            error.signup = deps.view(found.record, found.now)
