"""What a row keeps sealed or digested, so that the ledger holds nothing readable.

The contents and the masked address are sealed; addresses, flows and codes are keyed
digests; passwords are salted, keyed digests inside a seal. A fast HMAC is enough for
passwords: all but the finished attempt's go when the sign-up is final, and that one
after a day.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from signupd.sealing import DIGEST_BYTES, digests_equal

if TYPE_CHECKING:
    import uuid

    from signupd.ledger.record import Record
    from signupd.sealing import KeyRing

_ATTEMPT_BYTES: Final = 4
_SALT_BYTES: Final = 16
_ENTRY_BYTES: Final = _ATTEMPT_BYTES + _SALT_BYTES + DIGEST_BYTES


@dataclass(frozen=True, slots=True)
class Contents:
    """What every step sends to Kratos.

    Args:
        address: The canonical address.
        traits: All traits, the address among them.
        locale: As the caller gave it; may be empty.
        flow_id: The Kratos flow of the newest code mail; empty when it is used up.
        pending_flow_id: The flow that a mail is being sent by; empty when none is.
        resends: The request ids of the mails asked for after the first, each made its
            caller's own; empty if one had none.
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
    return keys.seal(plain, _bound_to(b"contents", signup_id))


def open_contents(keys: KeyRing, record: Record) -> Contents:
    """Open the contents of a sign-up that is not final.

    Raises:
        SealBroken: The key is gone, or the row was tampered with.
    """
    sealed = record.sealed or b""
    context = _bound_to(b"contents", record.signup_id)
    plain = json.loads(keys.open(sealed, context))
    return Contents(**{**plain, "resends": tuple(plain["resends"])})


def seal_mask(keys: KeyRing, signup_id: uuid.UUID, masked: str) -> bytes:
    """Seal the masked address; it outlives the contents."""
    return keys.seal(masked.encode(), _bound_to(b"mask", signup_id))


def open_mask(keys: KeyRing, signup_id: uuid.UUID, sealed: bytes) -> str:
    """Open the masked address of a sign-up.

    Raises:
        SealBroken: The key is gone, or the row was tampered with.
    """
    return keys.open(sealed, _bound_to(b"mask", signup_id)).decode()


def _bound_to(column: bytes, signup_id: uuid.UUID) -> bytes:
    return b"signups." + column + signup_id.bytes


def address_digest(keys: KeyRing, address: str) -> bytes:
    """Digest an address in canonical form."""
    return keys.digest(b"address", address.encode())


def flow_digest(keys: KeyRing, flow_id: str) -> bytes:
    """Digest a Kratos flow's id, to find the lease that uses it."""
    return keys.digest(b"flow", flow_id.encode())


def code_digest(keys: KeyRing, record: Record, code: str) -> bytes:
    """Digest a code as submitted: undecided yet, or the one that proved the mailbox."""
    return keys.digest(b"code", record.signup_id.bytes, code.encode())


def refused_code_digest(keys: KeyRing, record: Record, code: str) -> bytes:
    """Digest a code as one that Kratos is known to have refused."""
    return keys.digest(b"refused code", record.signup_id.bytes, code.encode())


def with_password(keys: KeyRing, record: Record, attempt: int, password: str) -> bytes:
    """Add an attempt's password to those a row knows.

    Args:
        keys: The key ring.
        record: The row.
        attempt: The attempt's number, as in the account's mark.
        password: Exactly as received.

    Returns:
        The row's new ``sealed_passwords``.

    Raises:
        SealBroken: The key is gone, or the row was tampered with.
    """
    salt = os.urandom(_SALT_BYTES)
    entry = attempt.to_bytes(_ATTEMPT_BYTES, "big") + salt
    entry += _password_digest(keys, record.signup_id, salt, password)
    return _seal(keys, record, b"".join([*_entries(keys, record), entry]))


def only_attempt(keys: KeyRing, record: Record, attempt: int) -> bytes | None:
    """Keep one attempt's password and forget the others.

    If that one is not known, all are kept, because it is one of them and a repeat must
    be answered truthfully.
    """
    entries = _entries(keys, record)
    kept = [entry for entry in entries if _attempt_of(entry) == attempt] or entries
    return _seal(keys, record, b"".join(kept)) if kept else None


def knows_password(keys: KeyRing, record: Record, password: str) -> bool:
    """Return whether a password is the one that a completed row keeps."""
    for entry in _entries(keys, record):
        salt = entry[_ATTEMPT_BYTES : _ATTEMPT_BYTES + _SALT_BYTES]
        digest = _password_digest(keys, record.signup_id, salt, password)
        if digests_equal(digest, entry[_ATTEMPT_BYTES + _SALT_BYTES :]):
            return True
    return False


def _password_digest(
    keys: KeyRing, signup_id: uuid.UUID, salt: bytes, password: str
) -> bytes:
    return keys.digest(b"password", signup_id.bytes, salt, password.encode())


def _entries(keys: KeyRing, record: Record) -> list[bytes]:
    if record.sealed_passwords is None:
        return []
    plain = keys.open(record.sealed_passwords, _context(record))
    return [
        plain[start : start + _ENTRY_BYTES]
        for start in range(0, len(plain), _ENTRY_BYTES)
    ]


def _attempt_of(entry: bytes) -> int:
    return int.from_bytes(entry[:_ATTEMPT_BYTES], "big")


def _seal(keys: KeyRing, record: Record, plain: bytes) -> bytes:
    return keys.seal(plain, _context(record))


def _context(record: Record) -> bytes:
    return b"signups.passwords" + record.signup_id.bytes
