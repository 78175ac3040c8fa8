"""Where benchmarks' tables go in the documents."""

import pytest

from bench.meter import percentile
from bench.report import MarkMissingError, fill
from bench.table import Chart, Table

ONE, OTHER = (
    Table(name, ["RPC", "µs"], [[name, r"\1"]], Chart("µs", [name], {"": [1.0]}))
    for name in ("one", "other")
)
TEXT = """before
<!-- bench:other -->
old
<!-- /bench -->
between
<!-- bench:one --><!-- /bench -->
after
"""


def test_filled() -> None:
    """A table replaces what is between its marks, and nothing else."""
    expected = TEXT.replace(
        "old\n", "| RPC | µs |\n| --- | ---: |\n| other | \\1 |\n"
    ).replace(
        "bench:one --><",
        "bench:one -->\n| RPC | µs |\n| --- | ---: |\n| one | \\1 |\n<",
    )

    assert expected == fill(TEXT, [ONE, OTHER])


def test_filled_again() -> None:
    """To fill it in again changes nothing."""
    once = fill(TEXT, [ONE, OTHER])

    assert once == fill(once, [OTHER, ONE])


def test_no_place() -> None:
    """A table without marks is complained of."""
    with pytest.raises(MarkMissingError, match="other"):
        fill("<!-- bench:one --><!-- /bench -->", [ONE, OTHER])


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [
        ([7.0], 50, 7.0),
        ([3.0, 1.0, 2.0], 50, 2.0),
        ([1.0, 2.0, 3.0, 4.0], 50, 2.0),
        ([float(n) for n in range(1, 101)], 99, 99.0),
        ([float(n) for n in range(1, 101)], 100, 100.0),
    ],
)
def test_percentile(values: list[float], percent: float, expected: float) -> None:
    """It is the least value that so many percent do not exceed."""
    assert expected == percentile(values, percent)
