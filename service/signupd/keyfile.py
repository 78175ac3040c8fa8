"""The key file beside a SQLite ledger, made on first use so that nobody must."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import tempfile
from typing import TYPE_CHECKING, Final

from signupd.errors import SignupdError
from signupd.sealing import KEY_BYTES, KeyRing

if TYPE_CHECKING:
    from pathlib import Path

NAME: Final = "signupd.keys"


class KeyFileError(SignupdError):
    """The key file cannot be used. The message names the file, and no key."""

    reason = "INTERNAL"


def ring_beside(ledger: Path) -> KeyRing:
    """Read the key ring kept beside a ledger's file, or make it.

    Args:
        ledger: The SQLite file; its folder must exist.

    Raises:
        KeyFileError: The file cannot be read or written, is open to others, or does
            not hold what it should.
    """
    path = ledger.parent / NAME
    try:
        if not path.exists():
            _make(path)
        if path.stat().st_mode & 0o077:
            raise KeyFileError(f"{path} can be read by others: chmod 600 it")
        kept = json.loads(path.read_text())
        keys = [base64.b64decode(key, validate=True) for key in kept["token_keys"]]
        return KeyRing(keys, base64.b64decode(kept["digest_key"], validate=True))
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise KeyFileError(f"{path} does not hold keys") from error


def _make(path: Path) -> None:
    """Write fresh keys, whole or not at all; another process may be doing the same."""
    keys = [base64.b64encode(os.urandom(KEY_BYTES)).decode() for _ in range(2)]
    text = json.dumps({"token_keys": keys[:1], "digest_key": keys[1]})
    # Readable by its owner only, from the first moment.
    descriptor, draft = tempfile.mkstemp(prefix=f"{NAME}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        # The first one there wins; both then read the same keys.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)  # noqa: PTH108 - mkstemp gives a string
