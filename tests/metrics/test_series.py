"""Thinning series out, and the progress that points tell."""

from __future__ import annotations

import math
import time
from array import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coflux.executor.series import Point, Progress, progress_of, thin

ANY = st.floats(allow_nan=True, allow_infinity=True)


def thinned(values: list[float], limit: int) -> list[tuple[int, float]]:
    """What is kept of points at 0, 1, 2, …"""
    at, kept = thin(array("d", range(len(values))), array("d", values), limit)
    return [(int(x), value) for x, value in zip(at, kept, strict=True)]


@given(
    st.lists(ANY | st.just(math.nan), max_size=200) | st.lists(st.floats(-1e3, 1e3), max_size=200), st.integers(7, 60)
)
def test_thinning(values: list[float], limit: int) -> None:
    kept = thinned(values, limit)
    numbers = [number for number, _ in kept]
    assert len(kept) <= max(limit, 0)
    assert numbers == sorted(set(numbers))
    assert all(repr(value) == repr(values[number]) for number, value in kept)
    if values:
        assert numbers[0] == 0
        assert numbers[-1] == len(values) - 1
    finite = [value for value in values if math.isfinite(value)]
    if finite:
        left = [value for _, value in kept if math.isfinite(value)]
        assert (min(left), max(left)) == (min(finite), max(finite))
    for (before, one), (after, other) in pairwise(kept):
        if math.isfinite(one) and math.isfinite(other):
            assert all(map(math.isfinite, values[before:after])), "a gap has closed"


@pytest.mark.parametrize(
    ("values", "kept"),
    [
        ([], []),
        ([1, 2, 3], [0, 1, 2]),
        ([0, 1, 2, 3, 9, 4, -5, 5, 6], [0, 1, 3, 4, 6, 8]),  # two buckets
        ([0, 1, math.nan, 9, 4, -5, 5, math.inf, 6], [0, 2, 3, 5, 7, 8]),
        ([math.nan] * 9, [0, 1, 8]),
        ([1e308] * 9, [0, 1, 4, 8]),  # the sum is infinite
    ],
)
def test_what_is_kept_of_buckets(values: list[float], kept: list[int]) -> None:
    assert [number for number, _ in thinned(values, 7)] == kept


@pytest.mark.parametrize("gaps", [False, True])
def test_a_million_points(gaps: bool) -> None:
    values = array("d", (math.sin(number / 1e4) for number in range(1_000_000)))
    if gaps:
        values[::100] = array("d", [math.nan]) * 10_000
    at = array("d", range(1_000_000))
    before = time.process_time()
    kept = thin(at, values, 2000)[1]
    took = time.process_time() - before
    assert 1000 < len(kept) <= 2000
    assert took < 1.5, "0.1 s are usual"


def test_a_limit_that_is_too_low() -> None:
    with pytest.raises(ValueError, match="limit must be 7 or more, not 6"):
        thin(array("d"), array("d"), 6)


@pytest.mark.parametrize(
    ("earlier", "last", "now", "upper", "expected"),
    [
        # Half of it in ten seconds: ten are left, of which two have passed.
        (Point(0, 0), Point(10, 50), 12.0, 100, Progress(50, 100, 0.5, 5.0, 8.0)),
        (Point(5, 1), Point(5, 1), 9.0, 100, Progress(1, 100, 0.01, None, None)),  # one point is no rate
        (None, Point(5, 1), 9.0, 100, Progress(1, 100, 0.01, None, None)),
        (Point(0, 0), Point(10, 50), 99.0, 100, Progress(50, 100, 0.5, 5.0, None)),  # it should be over by now
        (Point(0, 0), Point(10, 100), 99.0, 100, Progress(100, 100, 1.0, 10.0, 0.0)),
        (Point(0, 0), Point(10, 120), 10.0, 100, Progress(120, 100, 1.0, 12.0, 0.0)),
        (Point(0, 0), Point(10, 50), 10.0, None, Progress(50, None, None, 5.0, None)),  # a counter
        (Point(0, 20), Point(10, 5), 10.0, 20, Progress(5, 20, 0.25, None, None)),  # it has begun anew
        (Point(0, 0), Point(1, 1), 1.0, 0, Progress(1, 0, 1.0, 1.0, 0.0)),
        (Point(0, 0), Point(10, 50), None, 100, Progress(50, 100, 0.5, 5.0, None)),  # it has ended
        (Point(0, 0), Point(10, 100), None, 100, Progress(100, 100, 1.0, 10.0, None)),
    ],
)
def test_progress(
    earlier: Point | None, last: Point, now: float | None, upper: float | None, expected: Progress
) -> None:
    assert progress_of(earlier, last, now, upper=upper) == expected


def test_progress_that_is_not_a_number() -> None:
    progress = progress_of(Point(0, 0), Point(1, math.nan), 1.0, upper=10)
    assert progress[1:] == (10, None, None, None)
