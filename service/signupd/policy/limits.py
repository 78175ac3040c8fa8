"""Limits over all sign-ups: mails by address and by client, wrong codes by address.

The first mail of a sign-up is refused if a bucket is empty. A further one is only
counted, so that a stranger who uses up the mails of an address cannot stop a sign-up.

The last mail of an address is kept for a client that has not asked for it within the
time in which its mails come back. Further mails do not touch it. Calls without a client
count as one.
"""

import contextlib
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from signupd.errors import LedgerUnavailable, SendLimitReached, SignupdError
from signupd.ledger import buckets
from signupd.ledger.buckets import Debit, Debited, Limit
from signupd.ledger.database import Database, Steps, Values
from signupd.policy.rules import SECOND, Rules
from signupd.sealing import KeyRing

# One subscriber usually has all addresses of a network of this size (RFC 6177, 2).
_IPV6_PREFIX: Final = 64
# The most that RetryInfo is blurred by, so that a stranger does not know the moment at
# which a mail comes back.
_BLUR: Final = 1 / 3


def client_of(keys: KeyRing, client_ip: str) -> str:
    """Return a digest of a client's network, in hex; empty if no client is given."""
    if not client_ip:
        return ""
    ip = ipaddress.ip_address(client_ip)
    network = ip.packed if ip.version == 4 else ip.packed[: _IPV6_PREFIX // 8]  # noqa: PLR2004 - the protocol's own number
    return keys.digest(b"client", network).hex()


@dataclass(frozen=True, slots=True)
class Counted:
    """A mail in each of its buckets, as long as it may have to be given back.

    ``note`` tells that the client has asked; None if it had before. ``guessed`` means
    that too many wrong codes were tried for the address.
    """

    debited: list[Debited]
    note: Values | None = None
    guessed: bool = False


class Limits:
    """Counts mails and wrong codes.

    Every method but ``refund`` raises ``LedgerUnavailable`` if the ledger does not
    answer. Addresses are keyed digests, clients as ``client_of`` names them. ``chance``
    returns a random number from 0 to 1.
    """

    def __init__(
        self,
        database: Database,
        keys: KeyRing,
        rules: Rules,
        chance: Callable[[], float],
    ) -> None:
        self._database = database
        self._keys = keys
        self._rules = rules
        self._chance = chance
        whole = rules.per_address
        self._common = Limit(max(1, whole.size - 1), whole.refill)
        self._kept = Limit(1, whole.refill) if whole.size > 1 else None

    @contextlib.asynccontextmanager
    async def first_mail(self, address: bytes, client: str) -> AsyncIterator[Counted]:
        """Count a mail of StartSignup, or raise SendLimitReached with the time to wait.

        It is given back on an error before it is sent.
        """
        counted = await self._database.transact(self._first_mail(address, client))
        if isinstance(counted, int):
            wait = counted / SECOND * (1 + _BLUR * self._chance())
            raise SendLimitReached(retry_after_seconds=wait)
        try:
            yield counted
        except SignupdError:
            await self.refund(counted)
            raise

    async def further_mail(self, address: bytes, client: str) -> Counted:
        """Count a further mail of a sign-up, without refusing it."""
        return await self._database.transact(self._further_mail(address, client))

    async def refund(self, counted: Counted) -> None:
        """Give back a mail that was certainly not sent.

        If the ledger does not answer the mail stays counted, which is safe.
        """
        with contextlib.suppress(LedgerUnavailable):
            await self._database.transact(buckets.refund(counted.debited))
            if counted.note is not None:
                # By itself: all transactions take their rows in one order.
                await self._database.transact(buckets.unask(counted.note))

    async def wrong_code(self, address: bytes) -> None:
        """Count a wrong code; beyond the limit up to as many again."""
        debit = _unrefused(self._codes(address), self._rules.wrong_codes)
        await self._database.transact(buckets.debit_each([debit]))

    def proved(self, address: bytes) -> Awaitable[None]:
        """Forget the wrong codes of an address that was proved."""
        return self._database.transact(buckets.fill(self._codes(address)))

    def _further_mail(self, address: bytes, client: str) -> Steps[Counted]:
        debits = [_unrefused(d.digest, d.limit) for d in self._debits(address, client)]
        debited = yield from buckets.debit_each(debits)
        yield from self._ask(address, client)
        return Counted(debited)

    def _ask(self, address: bytes, client: str) -> Steps[Values | None]:
        """Note that a client has asked for mail to an address; None if it had before.

        Resends count. Without them a client that spreads its resends would be a
        newcomer again in time for the mail that is kept.
        """
        note = self._keys.digest(b"asked", address, client.encode())
        return (yield from buckets.ask(note, self._rules.per_address.whole))

    def _first_mail(self, address: bytes, client: str) -> Steps[Counted | int]:
        """Count a mail, or return the microseconds to wait."""
        debits = self._debits(address, client)
        debited = yield from buckets.debit_all(debits)
        if isinstance(debited, int) and client and (yield from buckets.wait(debits[0])):
            return debited  # a client without mails leaves no rows of addresses
        noted = yield from self._ask(address, client)
        if isinstance(debited, int) and self._kept is not None and noted:
            digest = self._keys.digest(b"kept", address)
            kept = [*debits[:-1], Debit(digest, self._kept)]
            debited = yield from buckets.debit_all(kept)
            if not isinstance(debited, int):
                # It is a mail of the address too, so that no more go in all.
                common = [_unrefused(address, self._common)]
                debited[-1:-1] = yield from buckets.debit_each(common)
        if isinstance(debited, int):
            return debited
        codes = Debit(self._codes(address), self._rules.wrong_codes)
        wait = yield from buckets.wait(codes)
        return Counted(debited, noted, guessed=wait > 0)

    def _debits(self, address: bytes, client: str) -> list[Debit]:
        """Name the buckets of a mail; the client's first, in every transaction."""
        debits = [Debit(address, self._common)]
        if client:
            debits.insert(0, Debit(bytes.fromhex(client), self._rules.per_client))
        return debits

    def _codes(self, address: bytes) -> bytes:
        return self._keys.digest(b"wrong codes", address)


def _unrefused(digest: bytes, limit: Limit) -> Debit:
    """Make a debit that is counted, down to a debt as deep as the bucket."""
    return Debit(digest, limit, leaves=-limit.size)
