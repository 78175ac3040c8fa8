"""From a continuation token to its sign-up."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from signupd.errors import LedgerUnavailable, SignupdError, TokenInvalid
from signupd.ledger.record import State
from signupd.signup.settle import settle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from signupd.ledger.ledger import Found
    from signupd.sealing import Step
    from signupd.signup.deps import Deps


@contextlib.asynccontextmanager
async def signup_of(deps: Deps, token: str) -> AsyncIterator[tuple[Found, Step]]:
    """Read the sign-up a token is for, settled, and the step the token proves.

    Whatever goes wrong inside, the error leaves with the sign-up as it stands then.

    Raises:
        TokenInvalid: Not one of our tokens, or its sign-up is no longer kept.
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
        with contextlib.suppress(LedgerUnavailable):
            latest = await deps.ledger.find(signup_id) or found
            error.signup = deps.view(latest.record, latest.now)
        raise
