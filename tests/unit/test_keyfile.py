"""The key file beside a SQLite ledger."""

import base64
import json
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from signupd.keyfile import KeyFileError, ring_beside
from signupd.sealing import KeyRing, Step

SIGNUP_ID = uuid.UUID("11111111-1111-4111-8111-111111111111")
KEY = base64.b64encode(b"k" * 32).decode()
GOOD = json.dumps({"token_keys": [KEY], "digest_key": KEY})


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """Name a ledger's file."""
    return tmp_path / "signupd.db"


@pytest.fixture
def keys(tmp_path: Path) -> Callable[[str], Path]:
    """Write a key file of one's own."""

    def write(text: str) -> Path:
        path = tmp_path / "signupd.keys"
        path.touch(mode=0o600)
        path.write_text(text)
        return path

    return write


def same(one: KeyRing, other: KeyRing) -> bool:
    """Tell whether two rings have the same keys."""
    token = one.seal_token(SIGNUP_ID, Step.CODE)
    alike = one.digest(b"x") == other.digest(b"x")
    return alike and (SIGNUP_ID, Step.CODE) == other.open_token(token)


def test_made_and_kept(ledger: Path) -> None:
    """Keys are made on first use, and read from then on."""
    assert same(ring_beside(ledger), ring_beside(ledger))
    assert ["signupd.keys"] == [path.name for path in ledger.parent.iterdir()]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o610, 0o601, 0o644])
def test_open_to_others(ledger: Path, keys: Callable[[str], Path], mode: int) -> None:
    """A file that is open to others in any way is refused, and left as it is."""
    path = keys(GOOD)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        ring_beside(ledger)

    assert GOOD == path.read_text()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        "{}",
        json.dumps({"token_keys": [KEY]}),
        json.dumps({"digest_key": KEY}),
        json.dumps({"token_keys": [], "digest_key": KEY}),
        json.dumps({"token_keys": KEY, "digest_key": KEY}),
        json.dumps({"token_keys": [KEY[:-8]], "digest_key": KEY}),
        json.dumps({"token_keys": ["hunter2"], "digest_key": KEY}),
        json.dumps({"token_keys": [None], "digest_key": KEY}),
        json.dumps({"token_keys": [KEY], "digest_key": 3}),
    ],
)
def test_no_keys(ledger: Path, keys: Callable[[str], Path], text: str) -> None:
    """A file that does not hold keys is refused and never overwritten."""
    path = keys(text)
    with pytest.raises(KeyFileError) as caught:
        ring_beside(ledger)

    assert f"{path} does not hold keys" == str(caught.value)
    assert text == path.read_text()


def test_no_folder(tmp_path: Path) -> None:
    """Without its folder there is no file; the message says which."""
    with pytest.raises(KeyFileError, match="No such file"):
        ring_beside(tmp_path / "none" / "signupd.db")


def test_race(ledger: Path) -> None:
    """Of many that make the file at once all read the same keys."""
    start = threading.Barrier(8)

    def read(_number: int) -> KeyRing:
        start.wait()
        return ring_beside(ledger)

    with ThreadPoolExecutor(8) as pool:
        rings = list(pool.map(read, range(8)))

    assert all(same(rings[0], ring) for ring in rings)
    assert ["signupd.keys"] == [path.name for path in ledger.parent.iterdir()]
