"""The metrics that are looked at as data: the charts, what their lines are called, and which part of them is shown."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from math import isfinite
from typing import NamedTuple

from coflux.display.axes import Axis, ChartName, Range, Series, finite_at, range_of, scale_name, x_axis, y_axis
from coflux.executor.recorded_metrics import MetricInfo
from coflux.executor.series import Progress
from coflux.tui.updates import ChartRead, MetricsRead, StepKey, Update

__all__ = ["Chart", "Excerpt", "MetricsState", "Naming", "chart_of"]

NARROWEST = 2.0**-24  # of the whole x-axis: closer one cannot look

Naming = Callable[[MetricInfo], str]
"""What the step of a metric is called among others."""


class Excerpt(NamedTuple):
    """What is looked at of a chart: a stretch of its x-axis (`None`: all), and a place on it (`None`: none)."""

    shown: Range | None = None
    cursor: float | None = None


class Chart(NamedTuple):
    """What is drawn together.

    Attributes:
        x: the x-axis.
        series: keys are what the legend calls them.
        last: the last value of each series, also where that is a gap.
        more: how many metrics are left out.
        extent: of the x-axis, all of it; `None` where there is no point.
        excerpt: what is looked at of it.
    """

    name: ChartName
    x: Axis
    series: Sequence[Series]
    last: Sequence[float | None]
    more: int
    extent: Range | None
    excerpt: Excerpt

    @property
    def shown(self) -> Range | None:
        """The part of the x-axis that is looked at."""
        return self.extent if self.excerpt.shown is None or self.extent is None else self.excerpt.shown

    def value_at(self, index: int, at: float) -> tuple[float, float] | None:
        """The point of a series that is nearest to a place, of those in view."""
        shown, series = self.shown, self.series[index]
        if shown is None:
            return None
        points = (
            point
            for point in zip(series.at, series.values, strict=True)
            if shown.lower <= point[0] <= shown.upper and isfinite(point[1])
        )
        return min(points, key=lambda point: abs(point[0] - at), default=None)

    # -- looking at another part -------------------------------------------------------------------------------------

    def moved(self, by: float) -> Excerpt:
        """With the cursor on a point further to the right, by about so much of what is shown; that moves along if it
        must. The first time, the cursor goes to the last point in view, or to the first one."""
        shown = self.shown
        if shown is None:
            return self.excerpt
        places = sorted(
            {at for one in self.series for at, value in zip(one.at, one.values, strict=True) if isfinite(value)}
        )
        cursor, width = self.excerpt.cursor, shown.upper - shown.lower
        if cursor is None:
            inside = places[bisect_left(places, shown.lower) : bisect_right(places, shown.upper)]
            return self.excerpt._replace(cursor=(inside[-1] if by < 0 else inside[0])) if inside else self.excerpt
        # Those before the cursor, the nearest first, or those after it.
        ahead = places[: bisect_left(places, cursor)][::-1] if by < 0 else places[bisect_right(places, cursor) :]
        if not ahead:
            return self.excerpt
        wanted = cursor + by * width
        cursor = min(ahead, key=lambda at: abs(at - wanted))
        if self.excerpt.shown is None or shown.lower <= cursor <= shown.upper:
            return self.excerpt._replace(cursor=cursor)
        lower = cursor if cursor < shown.lower else cursor - width
        return Excerpt(Range(lower, lower + width), cursor)

    def zoomed(self, factor: float) -> Excerpt:
        """With a narrower (`factor` below 1) or wider stretch around the cursor, or up to the end without one."""
        shown, extent = self.shown, self.extent
        if shown is None or extent is None:
            return self.excerpt
        whole, width = extent.upper - extent.lower, (shown.upper - shown.lower) * factor
        if width >= whole or width < whole * NARROWEST or not isfinite(whole):
            return self.excerpt._replace(shown=None) if factor > 1 else self.excerpt
        cursor = shown.upper if self.excerpt.cursor is None else self.excerpt.cursor
        share = (cursor - shown.lower) / (shown.upper - shown.lower)
        lower = min(max(cursor - share * width, extent.lower), extent.upper - width)
        return self.excerpt._replace(shown=Range(lower, lower + width))


def chart_of(read: ChartRead, excerpt: Excerpt, naming: Naming) -> Chart:
    """The chart as it is to be drawn."""
    labels = _labels(read, naming)
    series = [
        Series(label, scale_name(metric), y_axis(metric), at, values)
        for label, (metric, at, values) in zip(labels, read.courses, strict=True)
    ]
    axis = x_axis([(course.metric, course.at) for course in read.courses])
    extent = range_of(axis, [at for one in series for at in finite_at(one)])
    last = [None if course.metric.last is None else course.metric.last.value for course in read.courses]
    return Chart(read.name, axis, series, last, read.more, extent, excerpt)


def _labels(read: ChartRead, naming: Naming) -> list[str]:
    """What tells the lines of a chart apart: the key, the step, or both."""
    metrics = [course.metric for course in read.courses]
    keys = {metric.key for metric in metrics}
    executions = {metric.execution for metric in metrics}
    if len(executions) == 1:
        return [metric.key for metric in metrics]
    names = {metric.execution: naming(metric) for metric in metrics}
    attempts: dict[StepKey, set[int]] = {}
    for metric in metrics:
        attempts.setdefault((metric.run, metric.step), set()).add(metric.attempt)
    labels = []
    for metric in metrics:
        name = names[metric.execution]
        if len(attempts[metric.run, metric.step]) > 1:
            name = f"try {metric.attempt} {name}"
        elif list(names.values()).count(name) > 1:
            name = f"{metric.run}:{metric.step} {name}"
        labels.append(name if len(keys) == 1 else f"{metric.key} {name}")
    return labels


class MetricsState:
    """
    Attributes:
        number: tells the answers about what is looked at from those about what was.
        read: whether there was one.
        version: another one whenever something has come.
    """

    def __init__(self) -> None:
        self.number = 0
        self.version = 0
        self.read = False
        self.charts: Sequence[ChartRead] = ()
        self.more_charts = 0
        self.bars: Sequence[tuple[MetricInfo, Progress]] = ()
        self.more_bars = 0
        self._excerpts: dict[ChartName, Excerpt] = {}

    def open(self) -> int:
        """Look at others; returns the number of the request for them. What was zoomed in on stays so, by name."""
        self.number += 1
        self.version += 1
        self.read = False
        self.charts, self.more_charts, self.bars, self.more_bars = (), 0, (), 0
        return self.number

    def take(self, update: Update) -> None:
        match update:
            case MetricsRead(self.number, charts, more_charts, bars, more_bars):
                self.charts, self.more_charts, self.bars, self.more_bars = charts, more_charts, bars, more_bars
                self.read = True
                self.version += 1

    def excerpt(self, name: ChartName) -> Excerpt:
        return self._excerpts.get(name, Excerpt())

    def look_at(self, name: ChartName, excerpt: Excerpt) -> None:
        self._excerpts[name] = excerpt
        self.version += 1
