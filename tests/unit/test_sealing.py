"""The key ring: tokens and their forgeries, columns, rotation, digests."""

import base64
import json
import uuid
from dataclasses import dataclass

import pytest
from signupd.errors import TokenInvalid
from signupd.sealing import (
    Contents,
    KeyRing,
    SealBroken,
    Step,
    knows_password,
    only_attempt,
    open_contents,
    seal_contents,
    with_password,
)

from tests.unit.samples import OTHER_ID, RING, SIGNUP_ID, row

TOKEN = RING.seal_token(SIGNUP_ID, Step.CODE)
# Sealed by RING when this test was written.
OLD_TOKEN = "AdcwD60hBiJVLamDDtGJV-zufasfZav-cSxJvnUgnUC2l432mxAf5grtkUZwdQeWVgk"
OLD_DIGEST = "260ea52a8c4bb86b82355b0e3e101e23e05a5672f36e1a41a0e833428008ebc6"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
STEP_BYTE = 17 + 16  # behind version, key id, nonce and the id of the sign-up


def raw(token: str) -> bytes:
    """Decode a token."""
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


def text(sealed: bytes) -> str:
    """Encode a token."""
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def opens(token: str, ring: KeyRing = RING) -> bool:
    """Tell whether a token is taken for one of the ring's."""
    try:
        ring.open_token(token)
    except TokenInvalid:
        return False
    return True


def flipped(sealed: bytes, bit: int) -> bytes:
    """Flip one bit."""
    number = int.from_bytes(sealed, "big") ^ (1 << bit)
    return number.to_bytes(len(sealed), "big")


def with_another_step(sealed: bytes) -> bytes:
    """Move the byte of the step from another token; encrypted it may be the same."""
    while True:
        other = raw(RING.seal_token(SIGNUP_ID, Step.PASSWORD))
        step = other[STEP_BYTE : STEP_BYTE + 1]
        moved = sealed[:STEP_BYTE] + step + sealed[STEP_BYTE + 1 :]
        if moved != sealed:
            return moved


def standard_alphabet() -> str:
    """Write a token with plus and slash, where url-safe base64 has others."""
    while True:
        token = RING.seal_token(SIGNUP_ID, Step.CODE)
        if set("-_") & set(token):
            return token.replace("-", "+").replace("_", "/")


FORGERIES = {
    "empty": "",
    "one character": "A",
    "one character short": TOKEN[:-1],
    "one byte short": text(raw(TOKEN)[:-1]),
    "head alone": text(raw(TOKEN)[:17]),
    "one byte long": text(raw(TOKEN) + b"\0"),
    "characters added": TOKEN + "AAAA",
    "twice": TOKEN + TOKEN,
    "padded": TOKEN + "=",
    "padded within its length": TOKEN[:-1] + "=",
    "space before": " " + TOKEN,
    "line break behind": TOKEN + "\n",
    "line break within": TOKEN[:-1] + "\n",
    "standard alphabet": standard_alphabet(),
    "unicode": "é" * len(TOKEN),
    "unicode digits": "\u0661" * len(TOKEN),
    "fullwidth letter": "\uff21" + TOKEN[1:],
    "NUL": "\0" * len(TOKEN),
    "zeros": "A" * len(TOKEN),
    "version of the past": text(b"\x00" + raw(TOKEN)[1:]),
    "version to come": text(b"\x02" + raw(TOKEN)[1:]),
    "unknown key id": text(raw(TOKEN)[:1] + b"\0\0\0\0" + raw(TOKEN)[5:]),
    "another nonce": text(raw(TOKEN)[:5] + bytes(12) + raw(TOKEN)[17:]),
    "step of another token": text(with_another_step(raw(TOKEN))),
    "body of another sign-up": text(
        raw(TOKEN)[:17] + raw(RING.seal_token(OTHER_ID, Step.CODE))[17:]
    ),
    "a column": text(RING.seal(SIGNUP_ID.bytes + b"\x01", b"signups.contents")),
    "no such step": text(RING.seal(SIGNUP_ID.bytes + b"\x03", b"continuation token")),
    "other ring": KeyRing([b"x" * 32], b"d" * 32).seal_token(SIGNUP_ID, Step.CODE),
}


@pytest.mark.parametrize("step", Step)
def test_token_opens(step: Step) -> None:
    """A token gives back its sign-up and its step; it has 67 url-safe characters."""
    token = RING.seal_token(SIGNUP_ID, step)

    assert (SIGNUP_ID, step) == RING.open_token(token)
    assert 67 == len(token)
    assert {*token} <= {*ALPHABET}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_forgery_is_refused(forgery: str) -> None:
    """No token but one of ours opens, and the refusal does not say why."""
    with pytest.raises(TokenInvalid) as refusal:
        RING.open_token(FORGERIES[forgery])

    assert "" == refusal.value.detail
    assert () == refusal.value.violations


def test_no_bit_may_differ() -> None:
    """A token with any one bit flipped is refused."""
    bits = range(len(raw(TOKEN)) * 8)

    assert [] == [bit for bit in bits if opens(text(flipped(raw(TOKEN), bit)))]


def test_spare_bits_of_the_last_character_count() -> None:
    """One value has one text: the two bits that base64 would ignore must be zero."""
    value = ALPHABET.index(TOKEN[-1])
    others = [TOKEN[:-1] + ALPHABET[value + spare] for spare in (1, 2, 3)]

    assert [raw(TOKEN)] * 3 == [raw(other) for other in others]
    assert [False] * 3 == [opens(other) for other in others]


def test_digests_do_not_rotate() -> None:
    """A digest depends on the digest key alone, so that rows are found again."""
    rotated = KeyRing([b"n" * 32, b"k" * 32], b"d" * 32)
    other = KeyRing([b"k" * 32], b"e" * 32)

    assert RING.digest(b"address", b"a") == rotated.digest(b"address", b"a")
    assert RING.digest(b"address", b"a") != other.digest(b"address", b"a")


def test_what_was_sealed_before_still_opens() -> None:
    """Tokens of now and of earlier versions open; digests stay the same."""
    assert (SIGNUP_ID, Step.CODE) == RING.open_token(TOKEN)
    assert (SIGNUP_ID, Step.CODE) == RING.open_token(OLD_TOKEN)
    assert OLD_DIGEST == RING.digest(b"address", b"anna@example.com").hex()


@dataclass(frozen=True, slots=True)
class NextContents(Contents):
    """What the next release may seal."""

    channel: str = "email"


def test_contents_of_the_next_release_open() -> None:
    """A server goes on with a row that a newer one has sealed more in."""
    seen = ("ann@example.com", {"email": "ann@example.com"}, "de", "flow")
    sealed = seal_contents(RING, SIGNUP_ID, NextContents(*seen))

    assert Contents(*seen) == open_contents(RING, row(sealed=sealed))


def test_digest_parts_do_not_run_together() -> None:
    """A digest is of a purpose and a list of parts, not of their concatenation."""
    lists = [(b"p", b"ab"), (b"p", b"a", b"b"), (b"pa", b"b"), (b"p", b"ab", b"")]
    digests = {RING.digest(*parts) for parts in lists}

    assert 4 == len(digests)
    assert {32} == {len(digest) for digest in digests}


@pytest.mark.parametrize("plain", [b"", b"x", b"x" * 8192])
def test_column_opens_in_its_context(plain: bytes) -> None:
    """What is sealed for a context opens there, 33 bytes longer than it was."""
    sealed = RING.seal(plain, b"signups.contents")

    assert plain == RING.open(sealed, b"signups.contents")
    assert 33 == len(sealed) - len(plain)


@pytest.mark.parametrize("context", [b"", b"signups.mask", b"signups.contents "])
def test_column_is_bound_to_its_context(context: bytes) -> None:
    """What is sealed for one column or row opens in no other."""
    sealed = RING.seal(b"x", b"signups.contents")

    with pytest.raises(SealBroken):
        RING.open(sealed, context)


def test_repr_shows_no_key() -> None:
    """A key ring in a log or a traceback tells its size and nothing else."""
    ring = KeyRing([b"secret-token-key" * 2, b"k" * 32], b"secret-digestkey" * 2)

    assert "KeyRing(2 keys)" == repr(ring)


@pytest.mark.parametrize(
    ("keys", "digest_key"),
    [
        ([], b"d" * 32),
        ([b""], b"d" * 32),
        ([b"k" * 31], b"d" * 32),
        ([b"k" * 33], b"d" * 32),
        ([b"k" * 32, b"k" * 16], b"d" * 32),
        ([b"k" * 32], b"d" * 31),
        ([b"k" * 32], b""),
    ],
)
def test_wrong_keys_are_refused(keys: list[bytes], digest_key: bytes) -> None:
    """A ring has at least one key, and each of its keys has 32 bytes."""
    with pytest.raises(ValueError, match="32 bytes"):
        KeyRing(keys, digest_key)


def test_equal_passwords_differ() -> None:
    """Equal passwords of one sign-up have different digests, and both are known."""
    attempts = [uuid.UUID(int=number) for number in (2, 3)]
    first = with_password(RING, row(), attempts[0], "plum-violin-harbor-42")
    tried = row(sealed_passwords=first)
    both = with_password(RING, tried, attempts[1], "plum-violin-harbor-42")
    plain = json.loads(RING.open(both, b"signups.passwords" + SIGNUP_ID.bytes))

    digests = [plain[str(attempt)][-64:] for attempt in attempts]
    assert digests[0] != digests[1]
    kept = [only_attempt(RING, row(sealed_passwords=both), one) for one in attempts]
    assert [True, True] == [
        knows_password(RING, row(sealed_passwords=one), "plum-violin-harbor-42")
        for one in kept
    ]
