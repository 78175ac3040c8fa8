"""Digests by which a repeated code or password is known again.

A fast HMAC is enough for passwords here: the digests are salted, keyed and sealed, all
but the finished attempt's go when the sign-up is final, and that one after a day.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from signupd.sealing import DIGEST_BYTES, digests_equal

if TYPE_CHECKING:
    import uuid

    from signupd.ledger.record import Record
    from signupd.sealing import KeyRing

_ATTEMPT_BYTES: Final = 4
_SALT_BYTES: Final = 16
_ENTRY_BYTES: Final = _ATTEMPT_BYTES + _SALT_BYTES + DIGEST_BYTES


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

    Where that one is not known, all are kept: a repeat of any call must be told the
    truth, and it is one of them.
    """
    entries = _entries(keys, record)
    kept = [entry for entry in entries if _attempt_of(entry) == attempt] or entries
    return _seal(keys, record, b"".join(kept)) if kept else None


def knows_password(keys: KeyRing, record: Record, password: str) -> bool:
    """Tell whether a password is the one that a completed row keeps."""
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
