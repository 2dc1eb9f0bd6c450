"""Series of points as arrays of floats: thinning them out for a chart, and what progress they amount to. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import compress
from math import isfinite
from typing import NamedTuple

__all__ = ["Point", "Progress", "progress_of", "thin"]

MOST_OF_BUCKET = 5  # points: minimum, maximum, and a gap before, between and after them


class Point(NamedTuple):
    at: float
    value: float


# -- thinning ---------------------------------------------------------------------------------------------------------


def thin(at: array[float], values: array[float], limit: int) -> tuple[array[float], array[float]]:
    """At most `limit` of the points, in their order; all if there are no more. `limit` is 7 or more.

    The points are cut into buckets of equal length. Of each the smallest and the largest value are kept, and the first
    and the last point of all. Values that are not finite are gaps: between any two points that stay, one stays of the
    gaps that were between them.
    """
    if limit < MOST_OF_BUCKET + 2:
        raise ValueError(f"limit must be {MOST_OF_BUCKET + 2} or more, not {limit}")
    count = len(values)
    if count <= limit:
        return at[:], values[:]
    most = 2 if _all_finite(values) else MOST_OF_BUCKET
    buckets = (limit - 2) // most
    kept = [0]
    inner = count - 2
    for bucket in range(buckets):
        start = 1 + inner * bucket // buckets
        kept += _extremes(values[start : 1 + inner * (bucket + 1) // buckets], start)
    kept.append(count - 1)
    return array("d", [at[index] for index in kept]), array("d", [values[index] for index in kept])


def _all_finite(values: Sequence[float]) -> bool:
    """Quickly: anything infinite or NaN makes the sum so, too; finite values rarely do."""
    return isfinite(sum(values)) or all(map(isfinite, values))


def _extremes(values: array[float], start: int) -> list[int]:
    """The indices of what is kept of a bucket, of which the first has the index `start`."""
    if _all_finite(values):
        extremes = {values.index(min(values)), values.index(max(values))} if values else set()
        return [start + index for index in sorted(extremes)]
    is_finite = bytes(map(isfinite, values))
    finite = list(compress(values, is_finite))
    extremes = {values.index(min(finite)), values.index(max(finite))} if finite else set()
    return [start + index for index in _with_gaps(is_finite, sorted(extremes))]


def _with_gaps(is_finite: bytes, extremes: list[int]) -> Iterator[int]:
    """`extremes`, and the first gap before each of them and after the last."""
    before = 0
    for index in (*extremes, len(is_finite)):
        gap = is_finite.find(0, before, index)
        if gap >= 0:
            yield gap
        if index < len(is_finite):
            yield index
        before = index + 1


# -- progress ---------------------------------------------------------------------------------------------------------


class Progress(NamedTuple):
    """How far something has got. `rate` is in units a second, `eta` in seconds from the moment it was asked for."""

    value: float
    upper: float | None  # the end; None where it is not known
    fraction: float | None  # 0 to 1
    rate: float | None
    eta: float | None

    @property
    def complete(self) -> bool:
        return self.fraction == 1.0


def progress_of(
    earlier: Point | None, last: Point, now: float | None, lower: float = 0.0, upper: float | None = None
) -> Progress:
    """The progress from `lower` to `upper` that the last point tells.

    The rate is that from an `earlier` point to the last one: the caller chooses how far it looks back, for a rate of
    late. The time left is what remains at that rate, less what has passed since the last point. There is neither
    without an earlier point, or when nothing was gained since; and once the time that was left is over, it is unknown
    rather than nothing.

    Args:
        now: on the scale of the points' `at`, which are seconds; `None`: it goes on no more, so no time is left.
    """
    fraction = None
    if upper is not None and isfinite(last.value):
        fraction = 1.0 if upper <= lower else min(max((last.value - lower) / (upper - lower), 0.0), 1.0)
    rate = _rate(earlier, last)
    eta = None
    if now is None:
        pass
    elif fraction == 1.0:
        eta = 0.0
    elif rate is not None and upper is not None:
        left = (upper - last.value) / rate - max(now - last.at, 0.0)
        eta = left if left > 0.0 else None
    return Progress(last.value, upper, fraction, rate, eta)


def _rate(earlier: Point | None, last: Point) -> float | None:
    if earlier is None or not last.at > earlier.at or not last.value > earlier.value:
        return None
    rate = (last.value - earlier.value) / (last.at - earlier.at)
    return rate if isfinite(rate) and rate > 0.0 else None
