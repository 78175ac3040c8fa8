"""What the benchmarks calculate."""

import pytest

from bench.strangers import chance


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([2.0, 3.0], [0.0, 1.0], 1.0),
        ([0.0, 1.0], [2.0, 3.0], 0.0),
        ([1.0, 1.0], [1.0], 0.5),
        ([1.0, 4.0], [2.0, 3.0, 3.0], 0.5),
        ([2.0, 4.0], [1.0, 3.0], 0.75),
    ],
)
def test_chance(one: list[float], other: list[float], expected: float) -> None:
    """It is the share of pairs in which the first is longer, ties counted by half."""
    assert expected == chance(one, other)
