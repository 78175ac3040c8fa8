"""What our password hook decides: which account Kratos may store."""

import enum
import uuid

from signupd.kratos.identity import make_mark
from signupd.sealing import address_digest, flow_digest
from signupd.signup.deps import Dependencies


class HookRefusal(enum.Enum):
    """Why an account may not be stored."""

    UNKNOWN_FLOW = enum.auto()  # no sign-up here sets a password by it
    NOT_NOW = enum.auto()  # one did, but its lease is over


async def approve(
    deps: Dependencies, flow_id: str, address: str
) -> uuid.UUID | HookRefusal:
    """Approve an account if a live lease of a sign-up asks for exactly this one.

    The flow is the one by which Kratos would store the account. The address is the
    account's, in any letter case. The answer is the account's mark.

    Raises:
        LedgerUnavailable: Then the answer must be no.
    """
    digest = flow_digest(deps.keys, flow_id)
    address_digested = address_digest(deps.keys, address.lower())
    signup_id = await deps.ledger.approve(
        digest, address_digested, span=deps.rules.approval
    )
    if signup_id is not None:
        return make_mark(signup_id, digest)
    if await deps.ledger.knows_flow(digest, address_digested):
        return HookRefusal.NOT_NOW
    return HookRefusal.UNKNOWN_FLOW
