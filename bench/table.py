"""A table of what was measured, and how it is drawn."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars: for each label one of each series.

    Attributes:
        unit: What the axis says.
        labels: From top to bottom.
        series: By what the legend says; values in the order of the labels.
        bound: Where the target is, if there is one.
    """

    unit: str
    labels: list[str]
    series: dict[str, list[float]]
    bound: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    Attributes:
        name: Of the picture's file, and of the table's place in the documents.
        header: The columns' names.
        rows: Cells, ready to be shown. The first column is text, the others figures.
        chart: The same as a picture.
    """

    name: str
    header: list[str]
    rows: list[list[str]]
    chart: Chart

    def markdown(self) -> str:
        """Write it in Markdown."""
        rule = ["---"] + ["---:"] * (len(self.header) - 1)
        lines = [self.header, rule, *self.rows]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)
