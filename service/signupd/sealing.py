"""The key ring, and what a row keeps sealed or digested: nothing readable.

Sealing is AES-256-GCM-SIV (RFC 8452), chosen over GCM because a repeated nonce then
reveals no more than that two plaintexts are equal. Every use has a key of its own,
derived with HKDF (RFC 5869) from the ring's keys, and every sealed text is bound to a
context that it must be opened in. What opens a seal raises ``SealBroken`` if the key is
gone, or the text was tampered with.

Addresses, flows and codes are keyed digests; passwords are salted, keyed digests inside
a seal. A fast HMAC is enough for passwords: all but the finished attempt's go when the
sign-up is final, and that one after a day.
"""

import base64
import enum
import hmac
import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from signupd.errors import TokenInvalid
from signupd.ledger.record import Record

KEY_BYTES: Final = 32
_VERSION: Final = b"\x01"
_KEY_ID_BYTES: Final = 4
HEAD_BYTES: Final = len(_VERSION) + _KEY_ID_BYTES  # says which key opens the rest
_NONCE_BYTES: Final = 12
_SALT_BYTES: Final = 16


class Step(enum.IntEnum):
    """What a continuation token is good for."""

    CODE = 1
    PASSWORD = 2


class SealBroken(Exception):
    """The text was not sealed by this ring in this context."""


class KeyRing:
    """Seals under the first key, opens under any, digests under one that stays.

    Args:
        keys: Keys of 32 bytes. The first seals; all of them open.
        digest_key: One key of 32 bytes for look-up digests. It must outlive rotations
            of ``keys``, or addresses and request ids are no longer found.

    Raises:
        ValueError: A key has another length, or there is none.
    """

    def __init__(self, keys: Sequence[bytes], digest_key: bytes) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in (*keys, digest_key)):
            raise ValueError(f"keys must be {KEY_BYTES} bytes long, and at least one")
        heads = [_VERSION + _derive(key, b"key id")[:_KEY_ID_BYTES] for key in keys]
        ciphers = [AESGCMSIV(_derive(key, b"seal")) for key in keys]
        self._ciphers = dict(zip(reversed(heads), reversed(ciphers), strict=True))
        self._sealing_head, self._sealing_cipher = heads[0], ciphers[0]
        # Copied for each digest, which is cheaper than a new key setup.
        self._mac = hmac.new(_derive(digest_key, b"digest"), digestmod="sha256")

    @property
    def heads(self) -> frozenset[bytes]:
        """The first bytes of everything this ring can open: version and key id."""
        return frozenset(self._ciphers)

    def __repr__(self) -> str:
        """Name the ring's size and nothing else."""
        return f"KeyRing({len(self._ciphers)} keys)"

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Encrypt and authenticate, bound to a context that opening must give again.

        Version, key id, nonce and ciphertext are 33 bytes longer than the plaintext.
        """
        head, nonce = self._sealing_head, os.urandom(_NONCE_BYTES)
        text = self._sealing_cipher.encrypt(nonce, plaintext, head + context)
        return head + nonce + text

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Undo ``seal``; SealBroken for another key or context, or altered text."""
        head, rest = sealed[:HEAD_BYTES], sealed[HEAD_BYTES:]
        nonce, text = rest[:_NONCE_BYTES], rest[_NONCE_BYTES:]
        cipher = self._ciphers.get(head)
        if cipher is None:
            raise SealBroken
        try:
            return cipher.decrypt(nonce, text, head + context)
        except (InvalidTag, ValueError) as error:
            raise SealBroken from error

    def seal_token(self, signup_id: uuid.UUID, step: Step) -> str:
        """Make a token: 67 characters of unpadded base64url (RFC 4648, section 5)."""
        sealed = self.seal(signup_id.bytes + bytes([step]), b"continuation token")
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open_token(self, token: str) -> tuple[uuid.UUID, Step]:
        """Read a token, or raise TokenInvalid: for any reason, always the same."""
        try:
            padded = token + "=" * (-len(token) % 4)
            sealed = base64.b64decode(padded, b"-_", validate=True)
            plain = self.open(sealed, b"continuation token")
            proved = uuid.UUID(bytes=plain[:16]), Step(plain[16])
        except (SealBroken, ValueError) as error:
            raise TokenInvalid from error
        # One text for one value (RFC 4648, section 3.5).
        if base64.urlsafe_b64encode(sealed).rstrip(b"=").decode() != token:
            raise TokenInvalid
        return proved

    def digest(self, purpose: bytes, *parts: bytes) -> bytes:
        """Make a keyed digest (HMAC-SHA-256, 32 bytes) of the parts, for one purpose.

        Lengths are part of the digest, so that no two lists of parts run together.
        """
        mac = self._mac.copy()
        for part in (purpose, *parts):
            mac.update(len(part).to_bytes(4, "big") + part)
        return mac.digest()


def digests_equal(one: bytes, other: bytes) -> bool:
    """Compare two digests in constant time."""
    return hmac.compare_digest(one, other)


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
    """Open the contents of a sign-up that is not final.

    The next release may seal more; what this one does not know is left out.
    """
    sealed = record.sealed or b""
    context = _bound_to(b"contents", record.signup_id)
    plain = json.loads(keys.open(sealed, context))
    known = {name: plain[name] for name in Contents.__slots__ if name in plain}
    return Contents(**{**known, "resends": tuple(plain["resends"])})


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


def hook_signature(keys: KeyRing, flow_id: str, address: str) -> str:
    """Sign what Kratos sent our password hook, as a server with the same keys does."""
    return keys.digest(b"hook", flow_id.encode(), address.encode()).hex()


def code_digest(keys: KeyRing, record: Record, code: str) -> bytes:
    """Digest a code as submitted: undecided yet, or the one that proved the mailbox."""
    return keys.digest(b"code", record.signup_id.bytes, code.encode())


def refused_code_digest(keys: KeyRing, record: Record, code: str) -> bytes:
    """Digest a code as one that Kratos is known to have refused."""
    return keys.digest(b"refused code", record.signup_id.bytes, code.encode())


def with_password(
    keys: KeyRing, record: Record, attempt: uuid.UUID, password: str
) -> bytes:
    """Return ``sealed_passwords`` with the password of one more attempt.

    An attempt is named by the mark that its account would have.
    """
    salt = os.urandom(_SALT_BYTES)
    entry = salt + _password_digest(keys, record, salt, password)
    known = {**_passwords(keys, record), str(attempt): entry.hex()}
    return _seal_passwords(keys, record, known)


def only_attempt(keys: KeyRing, record: Record, attempt: uuid.UUID) -> bytes:
    """Keep one attempt's password and forget the others.

    A ledger restored from a backup may not know it. Then none of those that it knows is
    the account's.
    """
    known = _passwords(keys, record)
    kept = {name: entry for name, entry in known.items() if name == str(attempt)}
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


def _derive(key: bytes, use: bytes) -> bytes:
    """Derive the key of one use (RFC 5869)."""
    return HKDF(
        algorithm=hashes.SHA256(),
        length=KEY_BYTES,
        salt=None,
        info=b"kratos-signup v1 " + use,
    ).derive(key)
