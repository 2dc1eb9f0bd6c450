"""What an execution records, before it is sent: which metrics there are, and which of their points are let through.

Pure: the time is an argument, in monotonic seconds.
"""

from __future__ import annotations

import sys
from array import array
from math import inf

from coflux.executor.messages import HoldPoint, RecordPoints
from coflux.metrics import Metric, MetricGroup, MetricScale

__all__ = ["BATCH", "INTERVAL", "Definitions", "Series"]

BATCH = 4096  # points of a metric that are sent without waiting for more
INTERVAL = 0.03  # seconds from telling of a metric's points to the next time, unless a message is full


class Definitions:
    """The metrics of one execution, and the groups and scales that they name."""

    def __init__(self) -> None:
        self._metrics: dict[int, Metric] = {}  # by number, in their order
        self._groups: dict[str, MetricGroup] = {}
        self._scales: dict[str, MetricScale] = {}

    def define(self, metric: Metric, started: float) -> Series:
        """The series of a metric with a new key. Raises `ValueError` where its group or scale is another than the one
        which has that name already."""
        group, scale = metric.group, metric.scale
        if group is not None:
            _check_same(f"metric group {group.name!r} of metric {metric.key!r}", self._groups.get(group.name), group)
        if scale is not None and scale.name is not None:
            _check_same(f"metric scale {scale.name!r} of metric {metric.key!r}", self._scales.get(scale.name), scale)
            self._scales[scale.name] = scale
        if group is not None:
            self._groups[group.name] = group
        number = next(reversed(self._metrics), -1) + 1
        self._metrics[number] = metric
        return Series(number, metric, started)

    def withdraw(self, series: Series) -> None:
        """Its definition was not sent: its number, and the names that it brought, are free again."""
        del self._metrics[series.number]
        groups = [metric.group for metric in self._metrics.values()]
        scales = [metric.scale for metric in self._metrics.values()]
        self._groups = {group.name: group for group in groups if group is not None}
        self._scales = {scale.name: scale for scale in scales if scale is not None and scale.name is not None}

    def redefine(self, series: Series, metric: Metric) -> None:
        """Another object for a key that is known: only its throttle may differ. Raises `ValueError`."""
        _check_same(f"the group of metric {metric.key!r}", series.metric.group, metric.group, optional=False)
        _check_same(f"the scale of metric {metric.key!r}", series.metric.scale, metric.scale, optional=False)
        series.follow(metric)


def _check_same(what: str, known: object, new: object, *, optional: bool = True) -> None:
    """`optional`: nothing may be known yet."""
    if known != new and not (optional and known is None):
        raise ValueError(
            f"{what} is {new!r}, but was {known!r} when this execution recorded with it first: use another name, or "
            "the same settings"
        )


class Series:
    """The points of one metric. Some wait for others, to be sent with them; one may be held back by the throttle.

    The throttle lets a point through and opens a window, in which only the latest is kept. That one is let through when
    the window closes, which opens the next; if there is none, the next point is let through at once. The supervisor is
    told of the one that is held back, too: a process that is killed cannot say any more what its last point was.
    """

    __slots__ = (
        "_automatic",
        "_closes",
        "_first",
        "_held",
        "_last_at",
        "_points",
        "_sendable",
        "_started",
        "_told",
        "_window",
        "dropped",
        "metric",
        "number",
        "warned",
    )

    def __init__(self, number: int, metric: Metric, started: float) -> None:
        """`started` is when the execution did."""
        self.number = number
        self.metric = metric  # that it was recorded with last
        self.dropped: float | None = None  # the `at` of a point that was, lately
        self.warned = False  # of dropped points
        self._started = started
        self._automatic = False
        self._last_at = -inf
        # Let through, and not sent yet: `at` and value by turns. In one array, so that an exception of a signal handler
        # finds no half of a point.
        self._points = array("d")
        self._first = 0  # how many were sent before these
        self._held: tuple[float, float] | None = None
        self._told = False  # of the point that is held
        self._closes = -inf  # the throttle's window
        self._sendable = -inf  # when something may be sent that fills no message
        self.follow(metric)

    def follow(self, metric: Metric) -> None:
        """Take the throttle of `metric`."""
        self.metric = metric
        self._window = 0.0 if metric.throttle is None else 1.0 / metric.throttle  # seconds

    def add(self, value: float, at: float | None, now: float) -> float:
        """Add a point; return when there is something to be sent next. It is dropped where its `at` does not come after
        the last one."""
        if at is None:
            self._automatic = True
            at = now - self._started
        elif self._automatic:
            at = now - self._started
        elif self._last_at < at < inf:
            self._last_at = at
        else:
            self.dropped = at
            return self.due
        if now >= self._closes and self._held is not None:
            self._release()
        if now >= self._closes:
            self._points.extend((at, value))
            self._closes = now + self._window
            return -inf if len(self._points) >= 2 * BATCH else self._sendable
        self._told = False
        self._held = at, value
        return self._sendable

    @property
    def due(self) -> float:
        """When there is something to be sent next; infinity if there is nothing."""
        if self._points:
            return self._sendable
        if self._held is None:
            return inf
        return max(self._closes, self._sendable) if self._told else self._sendable

    def take(self, now: float) -> list[RecordPoints | HoldPoint]:
        """What is to be sent now, in this order."""
        if now >= self._closes and self._held is not None:
            self._release()
        messages: list[RecordPoints | HoldPoint] = []
        if self._points:
            points, self._points = self._points, array("d")
            messages.append(RecordPoints(self.number, self._first, _packed(points[::2]), _packed(points[1::2])))
            self._first += len(points) // 2
            self._told = False  # points that are sent replace it
        if self._held is not None and not self._told:
            messages.append(HoldPoint(self.number, self._first, *self._held))
            self._told = True
        if messages:
            self._sendable = now + INTERVAL
        return messages

    def end(self) -> list[RecordPoints | HoldPoint]:
        """All that is left, the point that is held back included."""
        self._closes = -inf
        return self.take(inf)

    def _release(self) -> None:
        """Let the held point through: its window has closed."""
        assert self._held is not None
        self._points.extend(self._held)
        self._held = None
        self._closes += self._window


def _packed(numbers: array[float]) -> bytes:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()
