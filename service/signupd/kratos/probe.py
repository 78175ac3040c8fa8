"""The probe: a registration that our password hook must refuse.

It is for a random address under ``probe.invalid`` (RFC 6761 keeps that domain from ever
existing), leaves no account, and costs Kratos one password hash.
"""

from __future__ import annotations

import secrets
import uuid
from typing import TYPE_CHECKING, Any, Final

from signupd.errors import KratosUnavailable, SignupdError
from signupd.kratos.identity import ADDRESS_TRAIT
from signupd.kratos.outcomes import PasswordAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping

    import structlog

    from signupd.kratos.client import Kratos

REFUSED_BY_US: Final = frozenset(
    {PasswordAnswer.HOOK_UNKNOWN_FLOW, PasswordAnswer.HOOK_NOT_NOW}
)


async def probe(
    kratos: Kratos,
    log: structlog.typing.FilteringBoundLogger,
    traits: Mapping[str, Any],
) -> PasswordAnswer:
    """Try a registration that our hook must refuse, and clean up after it.

    Args:
        kratos: The adapter.
        log: What could not be cleaned up is named there.
        traits: What an identity of this schema has besides the address.

    Returns:
        What Kratos answered. CREATED also if an account was there after an unclear
        answer; it is deleted again.

    Raises:
        KratosIncompatible: Kratos opens no flow.
        KratosUnavailable: It did not answer; what it may have stored is deleted.
    """
    address = probe_address()
    flow_id = await kratos.public.open_registration()
    try:
        result = await kratos.public.submit_password(
            flow_id, {**traits, ADDRESS_TRAIT: address}, secrets.token_urlsafe(24)
        )
    except KratosUnavailable:
        await _clean_up(kratos, log, address)
        raise
    if result.answer not in (PasswordAnswer.CREATED, PasswordAnswer.UNCLEAR):
        return result.answer
    stored = await _clean_up(kratos, log, address)
    return PasswordAnswer.CREATED if stored else result.answer


def probe_address() -> str:
    """Make a random address that was never used."""
    return f"probe-{uuid.uuid4().hex}@probe.invalid"


async def _clean_up(
    kratos: Kratos, log: structlog.typing.FilteringBoundLogger, address: str
) -> bool:
    """Delete what the probe left; only it can know an address so random.

    Returns:
        Whether there was anything.
    """
    left = None
    try:
        left = await kratos.admin.find_identity(address)
        if left is not None:
            await kratos.admin.delete_identity(left.id)
    except SignupdError as error:
        log.warning("probe_left_behind", probe=address, why=error.detail)
    return left is not None
