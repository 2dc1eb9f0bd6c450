"""Where an axis is labelled: at round numbers, as many as there is room for. Pure."""

from __future__ import annotations

from math import ceil, floor, isfinite, log10

from coflux.display.axes import Axis, Range
from coflux.display.axis_labels import LONGEST_DURATION, Counts

__all__ = ["rounded", "ticks"]

STEPS = (1.0, 2.0, 5.0, 10.0)  # of numbers, times a power of ten
SECONDS = (
    1.0,
    2.0,
    5.0,
    10.0,
    15.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    900.0,
    1800.0,
    3600.0,
    7200.0,
    21_600.0,
    43_200.0,
)
WIDER = 0.12  # of what is shown: by so much it is widened
FINEST = 1e-12  # of the numbers: closer ones cannot be told apart


def rounded(axis: Axis, shown: Range, most: int) -> tuple[Range, list[float]]:
    """What the axis shows, up to the next round numbers where these are near and it has no bounds of its own; and where
    it is labelled."""
    step = _step(shown, most, axis.counts)
    if step is None:
        return shown, [shown.lower, shown.upper]
    lower = shown.lower if axis.lower is not None else floor(shown.lower / step + 1e-9) * step
    upper = shown.upper if axis.upper is not None else ceil(shown.upper / step - 1e-9) * step
    if upper - lower > (shown.upper - shown.lower) * (1 + WIDER):
        return shown, ticks(shown, most + 1, axis.counts)
    return Range(lower, upper), ticks(Range(lower, upper), most, axis.counts)


def ticks(shown: Range, most: int, counts: Counts) -> list[float]:
    """The round numbers at which an axis is labelled: up to `most`, or its ends."""
    step = None if counts == "times" else _step(shown, most, counts)
    found = [] if step is None else _multiples(shown, step)
    return found if len(found) > 1 else [shown.lower, shown.upper]


def _step(shown: Range, most: int, counts: Counts) -> float | None:
    """From one label to the next; `None` where no round numbers tell what is shown."""
    span = shown.upper - shown.lower
    least = span / max(most - 1, 1)
    if not isfinite(span) or least <= max(abs(shown.lower), abs(shown.upper)) * FINEST or least < 1e-290:
        return None
    if counts == "seconds" and least > 1.0 and shown.upper < LONGEST_DURATION:
        return next((step for step in SECONDS if step >= least), None) or ceil(least / 86_400) * 86_400.0
    power = 10.0 ** floor(log10(least))
    return next(step * power for step in STEPS if step * power >= least * (1 - 1e-9))


def _multiples(shown: Range, step: float) -> list[float]:
    first, last = ceil(shown.lower / step - 1e-9), floor(shown.upper / step + 1e-9)
    return [number * step for number in range(first, last + 1)]
