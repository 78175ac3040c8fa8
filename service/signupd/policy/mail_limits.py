"""Mail limits over all sign-ups, by address and by client.

The first mail of a sign-up is refused if a bucket is empty. A further one is only
counted, so that a stranger who uses up the mails of an address cannot stop a sign-up.
"""

import contextlib
import ipaddress
from collections.abc import AsyncIterator
from typing import Final

from signupd.errors import LedgerUnavailable, SignupdError
from signupd.ledger.buckets import Buckets, Debit, Debited
from signupd.policy.rules import Rules
from signupd.sealing import KeyRing

# One subscriber usually has all addresses of a network of this size (RFC 6177, 2).
_IPV6_PREFIX: Final = 64

# A mail in each of its buckets, as long as it may have to be given back.
Counted = list[Debited]


def client_of(keys: KeyRing, client_ip: str) -> str:
    """Return a digest of a client's network, in hex; empty if no client is given.

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


class MailLimits:
    """Counts mails in the buckets of addresses and clients.

    Counting raises ``LedgerUnavailable`` if the ledger does not answer.

    Args:
        buckets: Where mails are counted.
        rules: How many mails a bucket holds, and how fast it fills.
    """

    def __init__(self, buckets: Buckets, rules: Rules) -> None:
        self._buckets = buckets
        self._rules = rules

    @contextlib.asynccontextmanager
    async def first_mail(
        self, address_digest: bytes, client: str
    ) -> AsyncIterator[Counted]:
        """Count a mail of StartSignup; give it back on an error before it is sent.

        Args:
            address_digest: Keyed digest of the canonical address.
            client: As ``client_of`` names it.

        Raises:
            SendLimitReached: Too many mails lately; with the time to wait.
        """
        debits = self._draws(address_digest, client, refusable=True)
        counted = await self._buckets.debit_all(debits)
        try:
            yield counted
        except SignupdError:
            await self.refund(counted)
            raise

    async def further_mail(self, address_digest: bytes, client: str) -> Counted:
        """Count a further mail of a sign-up, without refusing it."""
        debits = self._draws(address_digest, client, refusable=False)
        return await self._buckets.debit_each(debits)

    async def refund(self, counted: Counted) -> None:
        """Give back a mail that was certainly not sent.

        If the ledger does not answer the mail stays counted, which is safe.
        """
        with contextlib.suppress(LedgerUnavailable):
            await self._buckets.refund(counted)

    def _draws(
        self, address_digest: bytes, client: str, *, refusable: bool
    ) -> list[Debit]:
        limits = [(address_digest, self._rules.per_address)]
        if client:
            limits.append((bytes.fromhex(client), self._rules.per_client))
        return [
            Debit(digest, limit.refill, limit.room if refusable else limit.room_in_debt)
            for digest, limit in limits
        ]
