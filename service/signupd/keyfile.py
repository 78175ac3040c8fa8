"""The key ring: from the settings or a key file, and whether it is the ledger's."""

import base64
import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Final

from signupd.errors import SignupdError
from signupd.ledger.database import sqlite_file
from signupd.ledger.ledger import Ledger
from signupd.sealing import KEY_BYTES, KeyRing
from signupd.settings import Settings, SettingsInvalidError

NAME: Final = "signupd.keys"
_NOT_ITS_KEY: Final = (
    "SIGNUPD_DIGEST_KEY: is not the key that this ledger began with (with SQLite, if "
    f"unset, it is digest_key in {NAME}); set that key, or the LEDGER_URL that belongs "
    "to this one. "
    "If the key is lost, see A lost DIGEST_KEY in docs/operations.md"
)


class KeyFileError(SignupdError, reason="INTERNAL"):
    """The key file cannot be used. The message names the file, and no key."""


def new_key() -> str:
    """Make a key, in the notation of the settings: base64 of 32 random bytes."""
    return base64.b64encode(os.urandom(KEY_BYTES)).decode()


def key_ring(settings: Settings, *, make: bool = True) -> KeyRing:
    """Make the key ring from the settings, or as ``ring_beside`` the ledger."""
    if settings.digest_key is not None:
        keys = [key.get_secret_value() for key in settings.token_keys]
        return KeyRing(keys, settings.digest_key.get_secret_value())
    ledger = sqlite_file(settings.ledger_url)
    if ledger is None:
        raise AssertionError("the settings demand keys with any other database")
    return ring_beside(ledger, make=make)


def ring_beside(ledger: Path, *, make: bool = True) -> KeyRing:
    """Read the key ring from the key file beside a ledger; make a missing one.

    One that is unfit, or that others can read, is a KeyFileError.
    """
    path = ledger.parent / NAME
    try:
        if make and not path.exists():
            text = json.dumps({"token_keys": [new_key()], "digest_key": new_key()})
            # Another process may have just created it; both then read the same keys.
            with contextlib.suppress(FileExistsError):
                write_private(path, text)
        if path.stat().st_mode & 0o077:
            raise KeyFileError(f"{path} can be read by others: chmod 600 it")
        kept = json.loads(path.read_text())
        keys = [base64.b64decode(key, validate=True) for key in kept["token_keys"]]
        return KeyRing(keys, base64.b64decode(kept["digest_key"], validate=True))
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise KeyFileError(f"{path} does not hold keys") from error


async def demand_digest_key(ledger: Ledger, keys: KeyRing, *, add: bool) -> None:
    """Demand the digest key that the ledger began with, or SettingsInvalidError.

    With another key no address, flow or password in its rows is recognised. With
    ``add`` a ledger without a key keeps this one: a new ledger, or one of revision 0001
    that was migrated.
    """
    if not await ledger.has_key(keys.digest(b"digest key"), add=add):
        raise SettingsInvalidError([_NOT_ITS_KEY])


def write_private(path: Path, text: str) -> None:
    """Create a file that only its owner can read, whole or not at all.

    One that exists is left as it is, and raises FileExistsError.
    """
    # mkstemp creates a file with mode 0600.
    descriptor, draft = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        os.unlink(draft)  # noqa: PTH108 - mkstemp gives a string
