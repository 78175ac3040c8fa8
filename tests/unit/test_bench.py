"""What the benchmarks calculate, and where their tables go."""

import pytest

from bench.strangers import chance
from bench.table import Table, fill

ONE, OTHER = (Table(name, ["RPC", "µs"], [[name, r"\1"]]) for name in ("one", "other"))
TEXT = """before
<!-- bench:other -->
old
<!-- /bench -->
between
<!-- bench:one --><!-- /bench -->
after
"""


def test_filled() -> None:
    """A table replaces what is between its marks, and nothing else, each time."""
    expected = TEXT.replace(
        "old\n", "| RPC | µs |\n| --- | ---: |\n| other | \\1 |\n"
    ).replace(
        "bench:one --><",
        "bench:one -->\n| RPC | µs |\n| --- | ---: |\n| one | \\1 |\n<",
    )

    assert expected == fill(TEXT, [ONE, OTHER])
    assert expected == fill(expected, [OTHER, ONE])


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
