"""From a continuation token to its sign-up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from signupd.errors import SignupBusy, TokenInvalid
from signupd.ledger.ledger import Found, RecordMovedError
from signupd.ledger.record import Record, State

if TYPE_CHECKING:
    from signupd.sealing import Step
    from signupd.signup.deps import Deps

BUSY_RETRY_SECONDS = 1.0


async def find(deps: Deps, token: str) -> tuple[Found, Step]:
    """Read the sign-up a token is for, and the step it proves.

    Raises:
        TokenInvalid: Not one of our tokens, or its sign-up is no longer kept.
    """
    signup_id, step = deps.keys.open_token(token)
    found = await deps.ledger.find(signup_id)
    if found is None or found.record.state is State.STARTING:
        raise TokenInvalid
    return found, step


async def change(deps: Deps, record: Record, **values: Any) -> Record:
    """Change a row as read; whoever was faster makes this call a busy one.

    Raises:
        SignupBusy: The row has moved since.
    """
    try:
        return await deps.ledger.change(record, unapproved=True, **values)
    except RecordMovedError as error:
        raise busy(deps, record) from error


def busy(deps: Deps, record: Record) -> SignupBusy:
    """Make the error for a row that another call is at work on."""
    return SignupBusy(signup=deps.view(record), retry_after_seconds=BUSY_RETRY_SECONDS)
