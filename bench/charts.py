"""The pictures: each table as bars, for readers who look before they read."""

from __future__ import annotations

from typing import TYPE_CHECKING

# Of dependency group "bench" alone: tests draw nothing.
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from pathlib import Path

    from bench.table import Chart, Table

INCHES_WIDE = 8.0
INCHES_PER_BAR = 0.22
INCHES_MARGIN = 1.2
# Of the space between two labels; the rest is left free.
BARS_SHARE = 0.8
DOTS_PER_INCH = 110


def draw(directory: Path, table: Table) -> None:
    """Draw a table into a PNG with its name."""
    directory.mkdir(parents=True, exist_ok=True)
    chart = table.chart
    bars = len(chart.labels) * len(chart.series)
    height = INCHES_MARGIN + bars * INCHES_PER_BAR
    figure = Figure(figsize=(INCHES_WIDE, height), layout="constrained")
    _bars(figure, chart)
    figure.savefig(directory / f"{table.name}.png", dpi=DOTS_PER_INCH)


def _bars(figure: Figure, chart: Chart) -> None:
    axes = figure.subplots()
    thickness = BARS_SHARE / len(chart.series)
    for number, (name, values) in enumerate(chart.series.items()):
        places = [place + number * thickness for place in range(len(values))]
        bars = axes.barh(places, values, height=thickness, label=name or None)
        axes.bar_label(bars, fmt="%.3g", padding=3, fontsize=8)
    middle = (len(chart.series) - 1) * thickness / 2
    axes.set_yticks([place + middle for place in range(len(chart.labels))])
    axes.set_yticklabels(chart.labels, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel(chart.unit)
    if chart.bound is not None:
        axes.axvline(chart.bound, color="black", linestyle="--", linewidth=1)
    if len(chart.series) > 1:
        axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
