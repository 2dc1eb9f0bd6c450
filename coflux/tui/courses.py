"""The course of a metric in a bounded number of points, however many come. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from coflux.executor.series import thin

__all__ = ["Course"]

SHARE = 32  # points that are kept of what is thinned out at a time, about


class Course:
    """Points as they come, thinned out evenly: each of those kept stands for `stride` of them or fewer.

    Attributes:
        end: how many points have come.
    """

    def __init__(self, limit: int) -> None:
        """Between `limit` (64 or more) and twice as many points are kept, once there are more."""
        self.end = 0
        self._limit = limit
        self._stride = 1
        self._at, self._values = array("d"), array("d")
        self._new_at, self._new_values = array("d"), array("d")  # not yet enough to be thinned out
        self._shown: tuple[array[float], array[float]] | None = None

    def extend(self, at: Sequence[float], values: Sequence[float]) -> None:
        """More points have come."""
        self.end += len(values)
        self._shown = None
        self._new_at.extend(at)
        self._new_values.extend(values)
        if len(self._new_values) < SHARE * self._stride and self._stride > 1:
            return
        at, values = self._thinned()
        self._at.extend(at)
        self._values.extend(values)
        self._new_at, self._new_values = array("d"), array("d")
        if len(self._values) > 2 * self._limit:
            self._stride *= -(-len(self._values) // self._limit)
            self._at, self._values = thin(self._at, self._values, self._limit)

    def points(self) -> tuple[array[float], array[float]]:
        """`at` and value of the points that are kept, and of the very last one; arrays that never change."""
        if self._shown is None:
            at, values = self._thinned()
            self._shown = self._at + at, self._values + values
        return self._shown

    def _thinned(self) -> tuple[array[float], array[float]]:
        count = len(self._new_values)
        return thin(
            self._new_at, self._new_values, max(count // self._stride, SHARE) if self._stride > 1 else count + 7
        )
