"""The part of a sign-up that is kept sealed."""

from __future__ import annotations

import pytest
from signupd.sealing import KeyRing, SealBroken
from signupd.signup.sealed import (
    Contents,
    open_contents,
    open_mask,
    seal_contents,
    seal_mask,
)

from tests.unit.samples import CONTENTS, OTHER_ID, RING, SIGNUP_ID, row

OTHER_RING = KeyRing([b"x" * 32], b"d" * 32)
FULL = Contents(
    address="anna@xn--bcher-kva.example",
    traits={"email": "x", "name": "Änna \u2603", "n": [1, 2.5, None, {"b": True}]},
    locale="de-CH",
    flow_id="flow-1",
    pending_flow_id="flow-2",
    resends=("one", "", "two"),
    stored_id="0a0b0c0d-1111-4222-8333-444455556666",
)
SPARE = Contents("a@x.test", {"email": "a@x.test"}, "", "")


@pytest.mark.parametrize("contents", [FULL, SPARE, CONTENTS])
def test_contents_open_as_sealed(contents: Contents) -> None:
    """What is sealed comes back the same, types and all."""
    record = row(sealed=seal_contents(RING, SIGNUP_ID, contents))

    opened = open_contents(RING, record)

    assert contents == opened
    assert repr(contents.traits) == repr(opened.traits)
    assert type(opened.resends) is tuple


def test_sealed_contents_show_nothing() -> None:
    """Nobody reads an address in the column."""
    sealed = seal_contents(RING, SIGNUP_ID, FULL)

    assert b"anna" not in sealed
    assert sealed != seal_contents(RING, SIGNUP_ID, FULL)


def test_mask_opens_as_sealed() -> None:
    """The masked address has a seal of its own, which outlives the contents."""
    mask = seal_mask(RING, SIGNUP_ID, "ä***@example.com")

    assert "ä***@example.com" == open_mask(RING, SIGNUP_ID, mask)


def test_columns_do_not_stand_for_each_other() -> None:
    """One column's text opens neither in the other column nor in another row."""
    record = row()

    for wrong in (
        record._replace(sealed=record.sealed_mask),
        record._replace(signup_id=OTHER_ID),
        record._replace(sealed=None),
        record._replace(sealed=b""),
    ):
        with pytest.raises(SealBroken):
            open_contents(RING, wrong)
    for signup_id, sealed in (
        (SIGNUP_ID, record.sealed or b""),
        (OTHER_ID, record.sealed_mask),
    ):
        with pytest.raises(SealBroken):
            open_mask(RING, signup_id, sealed)


def test_key_that_is_gone() -> None:
    """Under other keys neither column opens."""
    with pytest.raises(SealBroken):
        open_contents(OTHER_RING, row())
    with pytest.raises(SealBroken):
        open_mask(OTHER_RING, SIGNUP_ID, row().sealed_mask)


def test_repr_shows_nothing() -> None:
    """Contents in a log or a traceback show nothing of the person."""
    assert "Contents(...)" == repr(FULL)
