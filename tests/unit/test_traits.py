"""The traits that go to Kratos."""

import pytest
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
