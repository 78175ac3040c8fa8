"""What rows are found by: keyed digests, so that the ledger holds nothing readable."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signupd.sealing import KeyRing


def address_digest(keys: KeyRing, address: str) -> bytes:
    """Digest an address in canonical form."""
    return keys.digest(b"address", address.encode())


def flow_digest(keys: KeyRing, flow_id: str) -> bytes:
    """Digest a Kratos flow's id, to find the lease that uses it."""
    return keys.digest(b"flow", flow_id.encode())
