"""What a row keeps sealed or digested, so that the ledger holds nothing readable.

The contents and the masked address are sealed; addresses, flows and codes are keyed
digests; passwords are salted, keyed digests inside a seal. A fast HMAC is enough for
passwords: all but the finished attempt's go when the sign-up is final, and that one
after a day.
"""

import json
import os
import uuid
from dataclasses import asdict, dataclass
from typing import Any, Final

from signupd.ledger.record import Record
from signupd.sealing import KeyRing, digests_equal

_SALT_BYTES: Final = 16


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


def seal_contents(keys: KeyRing, signup_id: uuid.UUID, contents: Contents) -> bytes:
    """Seal the contents, bound to their sign-up."""
    plain = json.dumps(asdict(contents), separators=(",", ":")).encode()
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
    """Return ``sealed_passwords`` with the password of one more attempt.

    The attempt's number is the one in the account's mark.
    """
    salt = os.urandom(_SALT_BYTES)
    entry = salt + _password_digest(keys, record, salt, password)
    known = {**_passwords(keys, record), str(attempt): entry.hex()}
    return _seal_passwords(keys, record, known)


def only_attempt(keys: KeyRing, record: Record, attempt: int) -> bytes | None:
    """Keep one attempt's password and forget the others.

    If that one is not known, all are kept, because it is one of them and a repeat must
    be answered truthfully.
    """
    known = _passwords(keys, record)
    name = str(attempt)
    kept = {name: known[name]} if name in known else known
    return _seal_passwords(keys, record, kept) if kept else None


def knows_password(keys: KeyRing, record: Record, password: str) -> bool:
    """Return whether a password is the one that a completed row keeps."""
    for entry in map(bytes.fromhex, _passwords(keys, record).values()):
        salt, digest = entry[:_SALT_BYTES], entry[_SALT_BYTES:]
        if digests_equal(digest, _password_digest(keys, record, salt, password)):
            return True
    return False


def _password_digest(
    keys: KeyRing, record: Record, salt: bytes, password: str
) -> bytes:
    return keys.digest(b"password", record.signup_id.bytes, salt, password.encode())


def _passwords(keys: KeyRing, record: Record) -> dict[str, str]:
    """Open what a row knows of its passwords: salt and digest in hex, by attempt."""
    if record.sealed_passwords is None:
        return {}
    context = _bound_to(b"passwords", record.signup_id)
    passwords: dict[str, str] = json.loads(keys.open(record.sealed_passwords, context))
    return passwords


def _seal_passwords(keys: KeyRing, record: Record, passwords: dict[str, str]) -> bytes:
    context = _bound_to(b"passwords", record.signup_id)
    return keys.seal(json.dumps(passwords).encode(), context)
