"""Numbers that an execution records while it runs, drawn as charts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass
from typing import SupportsFloat, TypeVar

from coflux import backend
from coflux.encodable import check_encodable

__all__ = ["Metric", "MetricGroup", "MetricScale", "progress"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MetricGroup:
    """Metrics that share a chart, and its x-axis.

    Args:
        name: metrics with this group name share the chart.
        units: what x counts; default: seconds since the execution started.
        lower: where the axis begins; `None`: at the first point.
        upper: where the axis ends; `None`: at the last point.
    """

    name: str
    _: KW_ONLY
    units: str | None = None
    lower: float | None = None
    upper: float | None = None

    def __post_init__(self) -> None:
        _check_text("the name of a metric group", self.name)
        _check_axis(self, "metric group")


@dataclass(frozen=True, slots=True)
class MetricScale:
    """The y-axis of metrics.

    Args:
        name: metrics of one group with this scale name share the axis; `None`: an axis of the metric's own.
        units: what the values count.
        progress: whether the values are progress towards `upper`.
        lower: where the axis begins; `None`: at the smallest value.
        upper: where the axis ends; `None`: at the largest value.
    """

    name: str | None = None
    _: KW_ONLY
    units: str | None = None
    progress: bool = False
    lower: float | None = None
    upper: float | None = None

    def __post_init__(self) -> None:
        if self.name is not None:
            _check_text("the name of a metric scale", self.name)
        if not isinstance(self.progress, bool):
            raise TypeError(f"progress of a metric scale must be a bool, not {self.progress!r}")
        _check_axis(self, "metric scale")


class Metric:
    """A series of numbers of an execution.

    Args:
        key: the metric's name within an execution.
        group: the group whose chart it is drawn on, or the group's name; `None`: a chart of its own.
        scale: its y-axis, or the axis's name; `None`: an axis of its own.
        throttle: how many points are kept a second; `None`: all. The first and the last one always are.
    """

    __slots__ = ("group", "key", "scale", "throttle")

    def __init__(
        self,
        key: str,
        *,
        group: str | MetricGroup | None = None,
        scale: str | MetricScale | None = None,
        throttle: float | None = 10,
    ) -> None:
        _check_text("the key of a metric", key)
        self.key = key
        self.group = _metric_group(group)
        if scale is not None and not isinstance(scale, str | MetricScale):
            raise TypeError(f"scale of metric {key!r} must be a MetricScale or its name, not {scale!r}")
        self.scale = MetricScale(scale) if isinstance(scale, str) else scale
        # Written so that NaN fails too.
        if throttle is not None and not _number(f"throttle of metric {key!r}", throttle) > 0:
            raise ValueError(f"throttle of metric {key!r} must be above 0 (None: no limit), but is {throttle!r}")
        self.throttle = None if throttle is None else float(throttle)

    def record(self, value: SupportsFloat, *, at: SupportsFloat | None = None) -> None:
        """Record a point. Outside a run this does nothing.

        Args:
            value: a number. NaN and infinities are gaps.
            at: its x-value; default: seconds since the execution started. Each must be above the one before: others are
                dropped, which the log says once. Once a point was recorded without, `at` is always the default.

        Raises:
            TypeError: `value` or `at` is not a number.
            ValueError: the execution has recorded a metric with this key and another group or scale, or one whose group
                or scale has the same name and other settings.
        """
        if type(value) is not float:
            value = _number(f"the value of metric {self.key!r}", value)
        if at is not None and type(at) is not float:
            at = _number(f"at of metric {self.key!r}", at)
        engine = backend.current()
        if engine is not None:
            engine.record_metric(self, value, at)

    def __repr__(self) -> str:
        return f"Metric({self.key!r}, group={self.group!r}, scale={self.scale!r}, throttle={self.throttle!r})"


def progress(iterable: Iterable[T], key: str = "progress", *, group: str | MetricGroup | None = None) -> Iterator[T]:
    """Iterate over `iterable`, recording how many of its items have been dealt with.

    Args:
        iterable: what to iterate over, lazily. Where it has a length, that is the end of the scale.
        key: the key of the metric.
        group: the metric's group, or the group's name.

    An item has been dealt with when the next one is asked for, or the end: one at which the loop is left does not
    count. Nothing is recorded of what has no items, and outside a run.

    Raises:
        TypeError: `iterable` is none.
        ValueError: see `Metric.record`; loops of different lengths in one execution need keys of their own.
    """
    metric = Metric(key, group=group, scale=MetricScale(progress=True, upper=_length(iterable)))
    return _recorded(iter(iterable), metric)


def _recorded(items: Iterator[T], metric: Metric) -> Iterator[T]:
    done = 0.0
    for item in items:
        yield item
        done += 1.0
        metric.record(done)


def _length(iterable: object) -> float | None:
    try:
        return float(len(iterable))  # type: ignore[arg-type]
    except (TypeError, NotImplementedError, OverflowError):
        return None  # it has none, or none that can be told


def _metric_group(group: str | MetricGroup | None) -> MetricGroup | None:
    if group is not None and not isinstance(group, str | MetricGroup):
        raise TypeError(f"group of a metric must be a MetricGroup or its name, not {group!r}")
    return MetricGroup(group) if isinstance(group, str) else group


def _check_text(what: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{what} must be a str, not {value!r}")
    if not value:
        raise ValueError(f"{what} must not be empty")
    check_encodable(what, value)


def _check_axis(axis: MetricGroup | MetricScale, what: str) -> None:
    """Check units and bounds, and make the bounds floats: they are sent."""
    if axis.units is not None:
        _check_text(f"units of a {what}", axis.units)
    for name, bound in (("lower", axis.lower), ("upper", axis.upper)):
        if bound is not None:
            number = _number(f"{name} of a {what}", bound)
            if not math.isfinite(number):
                raise ValueError(f"{name} of a {what} must be finite, not {bound!r}")
            object.__setattr__(axis, name, number)
    if axis.lower is not None and axis.upper is not None and axis.lower > axis.upper:
        raise ValueError(f"lower of a {what} must not be above upper, but is {axis.lower!r} > {axis.upper!r}")


def _number(what: str, value: object) -> float:
    """`value` as a float. Everything that converts itself is a number (numpy's scalars too), text is none."""
    if not hasattr(value, "__float__") and not hasattr(value, "__index__"):
        raise TypeError(f"{what} must be a number, not {value!r}")
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        raise ValueError(f"{what} is too large: {value!r}") from None
