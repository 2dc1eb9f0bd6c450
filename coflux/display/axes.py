"""The axes of charts: what they show of the series drawn against them, and which series have one in common. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple

from coflux.display.axis_labels import Counts
from coflux.display.text import fit, visible
from coflux.executor.recorded_metrics import MetricInfo, counts_seconds, counts_times

__all__ = [
    "Axis",
    "ChartName",
    "Range",
    "Scales",
    "Series",
    "finite_at",
    "in_charts",
    "range_of",
    "scale_name",
    "scales_of",
    "units_text",
    "x_axis",
    "y_axis",
]

MINUTE = 60.0  # seconds that the axis of a single time shows
UNITS = 12  # cells of units


@dataclass(frozen=True)
class Axis:
    """`lower` and `upper` are where it has to begin and end; `None`: where the points do."""

    units: str = ""
    lower: float | None = None
    upper: float | None = None
    counts: Counts = "numbers"


class Series(NamedTuple):
    """`scale` tells which y-axis it has, by name: those of one name share it."""

    key: str
    scale: str
    axis: Axis
    at: Sequence[float]
    values: Sequence[float]


class Range(NamedTuple):
    """A stretch of numbers that is shown on a number of cells."""

    lower: float
    upper: float

    def share(self, value: float) -> float:
        """Where a finite value is: 0 at the lower end, 1 at the upper one; maybe infinitely far beyond them."""
        span = self.upper - self.lower
        if isfinite(span):
            return (value - self.lower) / span
        return (value / 2 - self.lower / 2) / (self.upper / 2 - self.lower / 2)

    def cell(self, value: float, cells: int) -> int:
        """The cell of a value; outside of 0 to `cells` - 1 where it is not shown."""
        return round(min(max(self.share(value), -1.0), 2.0) * (cells - 1))


Scales = dict[str, tuple[Axis, Range | None]]
"""The y-axes of a chart by name, and what they show; `None` where there is nothing."""


class ChartName(NamedTuple):
    """What tells a chart from others: the name of a group, or the key of a metric that has none."""

    group: bool
    name: str


def in_charts(metrics: Iterable[MetricInfo]) -> dict[ChartName, list[MetricInfo]]:
    """The metrics by the chart that they are drawn on, but for those that are progress: bars show them."""
    charts: dict[ChartName, list[MetricInfo]] = {}
    for metric in metrics:
        if not metric.is_progress:
            group = metric.group
            name = ChartName(False, metric.key) if group is None else ChartName(True, group.name)
            charts.setdefault(name, []).append(metric)
    return charts


# -- of metrics -------------------------------------------------------------------------------------------------------


def scale_name(metric: MetricInfo) -> str:
    """What tells its y-axis from others: an unnamed one is the metric's own."""
    return f"={metric.scale.name}" if metric.scale is not None and metric.scale.name else f"#{metric.key}"


def y_axis(metric: MetricInfo) -> Axis:
    scale = metric.scale
    return Axis() if scale is None else Axis(scale.units or "", scale.lower, scale.upper)


def x_axis(drawn: Sequence[tuple[MetricInfo, Sequence[float]]]) -> Axis:
    """The x-axis of a chart, by its metrics and the `at` of their points."""
    counts = _counts([(metric, at) for metric, at in drawn if at])
    group = drawn[0][0].group
    return Axis(counts=counts) if group is None else Axis(group.units or "", group.lower, group.upper, counts)


def _counts(drawn: Sequence[tuple[MetricInfo, Sequence[float]]]) -> Counts:
    if drawn and all(counts_times(metric, at) for metric, at in drawn):
        return "times"
    return "seconds" if any(counts_seconds(metric, at) for metric, at in drawn) else "numbers"


# -- what they show ---------------------------------------------------------------------------------------------------


def scales_of(all_series: Sequence[Series]) -> Scales:
    """The y-axes of a chart, in the order of their series."""
    return {name: _scale(all_series, name) for name in dict.fromkeys(series.scale for series in all_series)}


def units_text(axis: Axis) -> str:
    return fit(visible(axis.units), UNITS, "")


def _scale(all_series: Sequence[Series], name: str) -> tuple[Axis, Range | None]:
    """A y-axis, and what it shows of the series that have it; `None` where none has a point."""
    members = [series for series in all_series if series.scale == name]
    axis = members[0].axis
    return axis, range_of(axis, [value for series in members for value in series.values if isfinite(value)])


def finite_at(series: Series) -> Iterator[float]:
    return (at for at, value in zip(series.at, series.values, strict=True) if isfinite(value))


def range_of(axis: Axis, numbers: list[float]) -> Range | None:
    """What an axis shows: from its lower bound to its upper one, as far as it has them, else all the numbers."""
    if not numbers:
        return None
    lower = min(numbers) if axis.lower is None else axis.lower
    upper = max(numbers) if axis.upper is None else axis.upper
    if lower >= upper:  # one number only, or all of them beyond the bound
        padding = MINUTE / 2 if axis.counts == "times" else abs(lower) / 2 or 0.5
        lower, upper = (lower - padding, lower + padding) if axis.lower is None else (lower, lower + padding)
    return Range(lower, upper)
