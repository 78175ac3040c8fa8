"""How well somebody guesses who only sees times."""

import random

import pytest

from bench.guessing import chance, deviation


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([2.0, 3.0], [0.0, 1.0], 1.0),
        ([0.0, 1.0], [2.0, 3.0], 0.0),
        ([1.0, 1.0], [1.0], 0.5),
        ([0.0, 3.0], [1.0, 2.0], 0.5),
        ([2.0], [1.0, 2.0, 3.0], 0.5),
        ([1.0, 4.0], [2.0, 3.0, 3.0], 0.5),
        ([2.0, 4.0], [1.0, 3.0], 0.75),
    ],
)
def test_chance(one: list[float], other: list[float], expected: float) -> None:
    """It is the share of pairs in which the first is longer, ties counted by half."""
    pairs = [(a, b) for a in one for b in other]
    counted = sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs)

    assert expected == chance(one, other)
    assert expected == counted


def test_deviation() -> None:
    """Where the kinds do not differ, chances spread as it says."""
    source = random.Random(1)  # noqa: S311 - no secret

    def times() -> list[float]:
        return [source.random() for _ in range(50)]

    squares = [(chance(times(), times()) - 0.5) ** 2 for _ in range(400)]
    measured = (sum(squares) / len(squares)) ** 0.5

    assert measured == pytest.approx(deviation(50, 50), rel=0.15)
