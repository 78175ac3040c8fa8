"""The traits that go to Kratos."""

from typing import Any

import pytest
from signupd.errors import TraitsInvalid
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


@pytest.mark.parametrize(("given", "expected"), NUMBERS)
def test_numbers(given: float, expected: float) -> None:
    """Whole numbers that a double holds exactly become integers, others stay."""
    number = identity_traits("a@x.test", {"n": given})["n"]

    assert (type(expected), expected) == (type(number), number)


def test_nested_numbers() -> None:
    """Numbers deep inside become integers too."""
    given = {"a": {"b": [1.0, {"c": 2.0}, [3.5]], "email": "kept here"}}

    traits = identity_traits("a@x.test", given)

    assert {"b": [1, {"c": 2}, [3.5]], "email": "kept here"} == traits["a"]
    assert "[1, {'c': 2}, [3.5]]" == repr(traits["a"]["b"])


def nested(levels: int, leaf: Any) -> Any:
    """Wrap a leaf in so many objects and lists, in turn."""
    for level in range(levels):
        leaf = [leaf] if level % 2 else {"k": leaf}
    return leaf


def faults(given: dict[str, Any]) -> list[str]:
    """Name the traits that are refused."""
    try:
        identity_traits("a@x.test", given)
    except TraitsInvalid as refusal:
        return [violation.field for violation in refusal.violations]
    return []


def test_deepest() -> None:
    """Eight levels pass, the traits themselves the first; one more is refused."""
    assert [] == faults({"k": nested(7, "leaf")})
    assert ["traits.k"] == faults({"k": nested(8, "leaf")})
    assert ["traits.k"] == faults({"a": 1, "k": nested(25, 1)})


@pytest.mark.parametrize("char", [*map(chr, range(32)), *map(chr, range(127, 160))])
def test_control_characters(char: str) -> None:
    """Control characters are refused in every string, also in names and deep inside."""
    text = f"An{char}n"
    given = {"a": text, "b": nested(6, text), "c": nested(3, {text: 1}), "d": "Ann"}

    assert ["traits.a", "traits.b", "traits.c"] == faults(given)
    assert ["traits"] == faults({text: "Ann"})
