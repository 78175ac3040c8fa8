"""What a row keeps sealed or digested, so that the ledger holds nothing readable.

The contents and the masked address are sealed; addresses, flows and codes are keyed
digests; passwords are salted, keyed digests inside a seal. A fast HMAC is enough for
passwords: all but the finished attempt's go when the sign-up is final, and that one
after a day. What opens a seal raises ``SealBroken`` if the key is gone, or the row was
tampered with.
"""

import json
import os
import uuid
from dataclasses import asdict, dataclass
from typing import Any, Final

from signupd.ledger.record import Record
from signupd.sealing import KeyRing, digests_equal

_SALT_BYTES: Final = 16
_ATTEMPT_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Contents:
    """What every step sends to Kratos. All texts but the address may be empty."""

    address: str  # canonical
    traits: dict[str, Any]  # all, the address among them
    locale: str  # as the caller gave it
    flow_id: str  # the Kratos flow of the newest code mail, unless it is used up
    pending_flow_id: str = ""  # the flow that a mail is being sent by
    # The request ids of the mails asked for after the first, each its caller's own.
    resends: tuple[str, ...] = ()
    # An account that an answer to our own POST named, left to recovery: it is ours if
    # the row has an approval, else it was stored past us and is to be deleted.
    stored_id: str = ""
    client: str = ""  # digest of the client that asked for it, in hex

    def __repr__(self) -> str:
        """Show no contents, which the ledger keeps sealed."""
        return "Contents(...)"


def seal_contents(keys: KeyRing, signup_id: uuid.UUID, contents: Contents) -> bytes:
    """Seal the contents, bound to their sign-up."""
    plain = json.dumps(asdict(contents), separators=(",", ":")).encode()
    return keys.seal(plain, _bound_to(b"contents", signup_id))


def open_contents(keys: KeyRing, record: Record) -> Contents:
    """Open the contents of a sign-up that is not final."""
    sealed = record.sealed or b""
    context = _bound_to(b"contents", record.signup_id)
    plain = json.loads(keys.open(sealed, context))
    return Contents(**{**plain, "resends": tuple(plain["resends"])})


def seal_mask(keys: KeyRing, signup_id: uuid.UUID, masked: str) -> bytes:
    """Seal the masked address; it outlives the contents."""
    return keys.seal(masked.encode(), _bound_to(b"mask", signup_id))


def open_mask(keys: KeyRing, signup_id: uuid.UUID, sealed: bytes) -> str:
    """Open the masked address of a sign-up."""
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


def attempt_of(flow_digest: bytes | None) -> str:
    """Name an attempt to set a password, as the account's mark does, by its flow.

    Kratos' flow ids are random, so a name never comes again, not even where a ledger
    was restored from a backup.
    """
    return (flow_digest or b"")[:_ATTEMPT_BYTES].hex()


def with_password(keys: KeyRing, record: Record, attempt: str, password: str) -> bytes:
    """Return ``sealed_passwords`` with the password of one more attempt."""
    salt = os.urandom(_SALT_BYTES)
    entry = salt + _password_digest(keys, record, salt, password)
    known = {**_passwords(keys, record), attempt: entry.hex()}
    return _seal_passwords(keys, record, known)


def only_attempt(keys: KeyRing, record: Record, attempt: str) -> bytes:
    """Keep one attempt's password and forget the others.

    A ledger restored from a backup may not know it. Then none of those that it knows is
    the account's.
    """
    known = _passwords(keys, record)
    kept = {name: entry for name, entry in known.items() if name == attempt}
    return _seal_passwords(keys, record, kept)


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
