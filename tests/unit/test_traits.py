"""The traits that go to Kratos."""

from __future__ import annotations

from typing import Any

import pytest
from signupd.errors import TraitsInvalid, Violation
from signupd.policy.traits import identity_traits

# As a protobuf Struct gives them, and as Kratos gets them.
NUMBERS = [
    (30.0, 30),
    (-30.0, -30),
    (0.0, 0),
    (-0.0, 0),
    (1.5, 1.5),
    (2.0**53, 9007199254740992),
    (2.0**53 + 2, 2.0**53 + 2),
    (-(2.0**53), -9007199254740992),
    (1e300, 1e300),
]


def test_address_comes_first() -> None:
    """The address is the trait ``email``; others follow as given."""
    traits = identity_traits("anna@example.com", {"name": "Anna", "news": True})

    expected = {"email": "anna@example.com", "name": "Anna", "news": True}
    assert expected == traits


def test_address_alone() -> None:
    """No further traits are needed."""
    assert {"email": "a@x.test"} == identity_traits("a@x.test", {})


@pytest.mark.parametrize(("given", "expected"), NUMBERS)
def test_numbers(given: float, expected: float) -> None:
    """Whole numbers that a double holds exactly become integers, others stay."""
    number = identity_traits("a@x.test", {"n": given})["n"]

    assert (type(expected), expected) == (type(number), number)


@pytest.mark.parametrize("value", [True, False, None, "30.0", "", [], {}])
def test_other_values_stay(value: Any) -> None:
    """Only numbers are touched."""
    kept = identity_traits("a@x.test", {"v": value})["v"]

    assert (type(value), value) == (type(kept), kept)


def test_nested_numbers() -> None:
    """Numbers deep inside become integers too."""
    given = {"a": {"b": [1.0, {"c": 2.0}, [3.5]], "email": "kept here"}}

    traits = identity_traits("a@x.test", given)

    assert {"b": [1, {"c": 2}, [3.5]], "email": "kept here"} == traits["a"]
    assert "[1, {'c': 2}, [3.5]]" == repr(traits["a"]["b"])


def test_given_traits_are_left_alone() -> None:
    """The caller's own mapping is not changed."""
    given: dict[str, Any] = {"a": [1.0]}

    identity_traits("a@x.test", given)

    assert "{'a': [1.0]}" == repr(given)


@pytest.mark.parametrize("value", ["anna@example.com", "other@example.com", None])
def test_address_among_the_traits_is_refused(value: str | None) -> None:
    """The address has a field of its own, whatever the trait says."""
    with pytest.raises(TraitsInvalid) as refusal:
        identity_traits("anna@example.com", {"email": value})

    fault = Violation("traits.email", "is set by the field email")
    assert (fault,) == refusal.value.violations
