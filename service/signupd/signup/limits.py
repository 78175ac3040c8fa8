"""Mails counted over all sign-ups: by the address they go to, by who asks for them.

A first mail is refused where a bucket is empty. A further one of a sign-up is counted
only: whoever uses up an address' mails must not be able to stop a sign-up under way.
"""

from __future__ import annotations

import contextlib
import ipaddress
from typing import TYPE_CHECKING, Final

from signupd.errors import LedgerUnavailable, SignupdError
from signupd.ledger.limits import Draw, Drawn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from signupd.sealing import KeyRing
    from signupd.signup.contents import Contents
    from signupd.signup.deps import Deps
    from signupd.signup.rules import Rules

# Whoever has one IPv6 address has as a rule all of its network's (RFC 6177, 2).
_IPV6_PREFIX: Final = 64

# A mail as it is counted; it may turn out not to have gone.
Counted = list[Drawn]


def client_of(keys: KeyRing, client_ip: str) -> str:
    """Name a client by a digest of its network, in hex; empty where none is given.

    Args:
        keys: The key ring.
        client_ip: In text form, or empty.
    """
    if not client_ip:
        return ""
    ip = ipaddress.ip_address(client_ip)
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    network = ip.packed if ip.version == 4 else ip.packed[: _IPV6_PREFIX // 8]  # noqa: PLR2004 - the protocol's own number
    return keys.digest(b"client", network).hex()


@contextlib.asynccontextmanager
async def first_mail(
    deps: Deps, address_digest: bytes, client: str
) -> AsyncIterator[Counted]:
    """Count a mail that StartSignup asks for; an error before it is sent gives it back.

    Args:
        deps: The neighbours.
        address_digest: Keyed digest of the canonical address.
        client: As ``client_of`` names it.

    Raises:
        SendLimitReached: Too many mails lately; with the time to wait.
    """
    draws = _draws(deps.rules, address_digest, client, refusable=True)
    counted = await deps.buckets.take(draws)
    try:
        yield counted
    except SignupdError:
        await uncount(deps, counted)
        raise


async def further_mail(
    deps: Deps, address_digest: bytes, contents: Contents
) -> Counted:
    """Count a further mail of a sign-up, without refusing it."""
    draws = _draws(deps.rules, address_digest, contents.client, refusable=False)
    return await deps.buckets.draw(draws)


async def uncount(deps: Deps, counted: Counted) -> None:
    """Give back a mail that is known not to have gone.

    With the ledger away it stays counted: that is the safe side.
    """
    with contextlib.suppress(LedgerUnavailable):
        await deps.buckets.give_back(counted)


def _draws(
    rules: Rules, address_digest: bytes, client: str, *, refusable: bool
) -> list[Draw]:
    limits = [(address_digest, rules.per_address)]
    if client:
        limits.append((bytes.fromhex(client), rules.per_client))
    return [
        Draw(digest, limit.refill, limit.room if refusable else limit.room_in_debt)
        for digest, limit in limits
    ]
