"""Codes and passwords known again by their digests."""

from __future__ import annotations

import pytest
from signupd.sealing import KeyRing, SealBroken
from signupd.signup.sealed import (
    code_digest,
    knows_password,
    only_attempt,
    refused_code_digest,
    with_password,
)

from tests.unit.samples import OTHER_ID, RING, row

ROTATED = KeyRing([b"n" * 32, b"k" * 32], b"d" * 32)


def with_passwords(*passwords: str) -> bytes:
    """Seal the passwords of attempts 1, 2 and so on."""
    record = row()
    for attempt, password in enumerate(passwords, 1):
        sealed = with_password(RING, record, attempt, password)
        record = record._replace(sealed_passwords=sealed)
    assert record.sealed_passwords is not None
    return record.sealed_passwords


def test_code_is_known_again() -> None:
    """The same code on the same sign-up has the same digest, under rotation too."""
    assert code_digest(RING, row(), "123456") == code_digest(ROTATED, row(), "123456")


def test_code_digests_differ() -> None:
    """Other codes, other sign-ups and refused codes have other digests."""
    digests = {
        code_digest(RING, row(), "123456"),
        code_digest(RING, row(), "123457"),
        code_digest(RING, row(signup_id=OTHER_ID), "123456"),
        refused_code_digest(RING, row(), "123456"),
        refused_code_digest(RING, row(), "123457"),
    }

    assert 5 == len(digests)


def test_no_password_is_known_at_first() -> None:
    """A row without attempts knows no password."""
    assert not knows_password(RING, row(), "")


def test_password_is_known_again() -> None:
    """Each password tried is known, exactly as it was, under rotation too."""
    record = row(sealed_passwords=with_passwords("first", "second"))

    assert knows_password(RING, record, "first")
    assert knows_password(ROTATED, record, "second")
    assert not knows_password(RING, record, "third")
    assert not knows_password(RING, record, "First")
    assert not knows_password(RING, record, "first ")
    assert not knows_password(RING, record, "")


def test_finished_attempt_alone_is_kept() -> None:
    """When a sign-up is complete its own password is known, and no other."""
    record = row(sealed_passwords=with_passwords("first", "second", "third"))

    record = record._replace(sealed_passwords=only_attempt(RING, record, 2))

    known = [knows_password(RING, record, p) for p in ("first", "second", "third")]
    assert [False, True, False] == known


def test_unknown_attempt_keeps_all() -> None:
    """Where the row does not know the attempt that the mark names, all are kept."""
    record = row(sealed_passwords=with_passwords("first", "second"))
    kept = row(sealed_passwords=only_attempt(RING, record, 9))

    assert [True, True, False] == [
        knows_password(RING, kept, password) for password in ("first", "second", "x")
    ]
    assert None is only_attempt(RING, row(), 1)


def test_high_attempt_numbers_fit() -> None:
    """Attempts are numbered by the row's epoch, which may grow large."""
    attempt = 2**31
    record = row(sealed_passwords=with_password(RING, row(), attempt, "first"))

    assert None is not only_attempt(RING, record, attempt)
    assert knows_password(RING, record, "first")


def test_equal_passwords_do_not_show() -> None:
    """The same password twice leaves different digests: each is salted."""
    sealed = with_passwords("same", "same")
    plain = RING.open(sealed, b"signups.passwords" + row().signup_id.bytes)

    assert 2 * 52 == len(plain)
    assert plain[4:52] != plain[56:]


def test_passwords_are_bound_to_their_sign_up() -> None:
    """The column opens in no other row."""
    record = row(signup_id=OTHER_ID, sealed_passwords=with_passwords("first"))

    with pytest.raises(SealBroken):
        knows_password(RING, record, "first")
