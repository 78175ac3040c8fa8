"""The key ring: continuation tokens, sealed columns and keyed digests.

Sealing is AES-256-GCM-SIV (RFC 8452), chosen over GCM because a repeated nonce then
reveals no more than that two plaintexts are equal. Every use has a key of its own,
derived with HKDF (RFC 5869) from the ring's keys, and every sealed text is bound to a
context that it must be opened in.
"""

import base64
import binascii
import enum
import hmac
import os
import uuid
from collections.abc import Sequence
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from signupd.errors import TokenInvalid

KEY_BYTES: Final = 32
_VERSION: Final = b"\x01"
_KEY_ID_BYTES: Final = 4
HEAD_BYTES: Final = len(_VERSION) + _KEY_ID_BYTES  # says which key opens the rest
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_TOKEN_BYTES: Final = HEAD_BYTES + _NONCE_BYTES + 16 + 1 + _TAG_BYTES
_TOKEN_CHARS: Final = -(-_TOKEN_BYTES * 4 // 3)


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
            plain = self.open(_decode(token), b"continuation token")
            return uuid.UUID(bytes=plain[:16]), Step(plain[16])
        except (SealBroken, ValueError) as error:
            raise TokenInvalid from error

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


def _decode(token: str) -> bytes:
    """Decode strictly: one text for one value (RFC 4648, section 3.5)."""
    if len(token) != _TOKEN_CHARS or not token.isascii():
        raise SealBroken
    try:
        sealed = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
    except binascii.Error as error:
        raise SealBroken from error
    if base64.urlsafe_b64encode(sealed).rstrip(b"=").decode() != token:
        raise SealBroken
    return sealed


def _derive(key: bytes, use: bytes) -> bytes:
    """Derive the key of one use (RFC 5869)."""
    return HKDF(
        algorithm=hashes.SHA256(),
        length=KEY_BYTES,
        salt=None,
        info=b"kratos-signup v1 " + use,
    ).derive(key)
