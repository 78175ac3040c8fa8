"""The part of a sign-up that is kept sealed."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import uuid

    from signupd.ledger.record import Record
    from signupd.sealing import KeyRing


@dataclass(frozen=True, slots=True)
class Contents:
    """What Kratos is told at every step.

    Args:
        address: The canonical address.
        traits: All traits, the address among them.
        locale: As the caller gave it; may be empty.
        flow_id: The Kratos flow of the newest code mail; empty when it is used up.
        pending_flow_id: The flow that a mail is being sent by; empty when none is.
        resends: The request ids of the mails asked for after the first, each made its
            caller's own; empty where one had none.
        stored_id: An account that an answer to our own POST named and that is still to
            be looked at: ours, or stored past us and to be deleted.
        client: Digest of the client that asked for it, in hex; may be empty.
    """

    address: str
    traits: dict[str, Any]
    locale: str
    flow_id: str
    pending_flow_id: str = ""
    resends: tuple[str, ...] = ()
    stored_id: str = ""
    client: str = ""

    def __repr__(self) -> str:
        """Show nothing of it: it is kept sealed for a reason."""
        return "Contents(...)"


_NAMES: Final = tuple(field.name for field in fields(Contents))


def seal_contents(keys: KeyRing, signup_id: uuid.UUID, contents: Contents) -> bytes:
    """Seal the contents, bound to their sign-up."""
    values = {name: getattr(contents, name) for name in _NAMES}
    plain = json.dumps(values, separators=(",", ":")).encode()
    return keys.seal(plain, _context(b"contents", signup_id))


def open_contents(keys: KeyRing, record: Record) -> Contents:
    """Open the contents of a sign-up that is not final.

    Raises:
        SealBroken: The key is gone, or the row was tampered with.
    """
    sealed = record.sealed or b""
    context = _context(b"contents", record.signup_id)
    plain = json.loads(keys.open(sealed, context))
    return Contents(**{**plain, "resends": tuple(plain["resends"])})


def seal_mask(keys: KeyRing, signup_id: uuid.UUID, masked: str) -> bytes:
    """Seal the masked address; it outlives the contents."""
    return keys.seal(masked.encode(), _context(b"mask", signup_id))


def open_mask(keys: KeyRing, signup_id: uuid.UUID, sealed: bytes) -> str:
    """Open the masked address of a sign-up.

    Raises:
        SealBroken: The key is gone, or the row was tampered with.
    """
    return keys.open(sealed, _context(b"mask", signup_id)).decode()


def _context(column: bytes, signup_id: uuid.UUID) -> bytes:
    return b"signups." + column + signup_id.bytes
