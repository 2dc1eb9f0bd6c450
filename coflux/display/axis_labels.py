"""Labels of axes: numbers, durations or times in few characters, which tell apart what differs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Literal

from coflux.display.text import duration

__all__ = ["Counts", "labels", "number"]

Counts = Literal["numbers", "seconds", "times"]
"""What the values of an axis are: `seconds` are labelled with durations, `times` (seconds since the epoch) with local
times, as far as these are any."""

DIGITS = 4  # of a number, where that is enough
MOST_DIGITS = 17  # which tell any two floats apart
LONGEST_DURATION = 1e7  # seconds: four months. No execution runs for longer; what does is another kind of number
LAST_TIME = 1e11  # seconds: what `datetime` can show, in any time zone
DAYS_ONLY = 7 * 86_400.0  # seconds; a longer axis begins and ends with a date

_Form = Callable[[float], str]


def number(value: float, digits: int = DIGITS) -> str:
    """A number in a few characters: `12345`, `0.25`, `1.5e+09`."""
    whole = abs(value) < 1e6 and value == int(value)
    return str(int(value)) if whole else f"{value:.{digits}g}"


def labels(values: Sequence[float], counts: Counts) -> list[str]:
    """A label for each of some finite values, all in the shortest form in which different ones differ."""
    different = len(set(values))
    texts: list[str] = []
    for form in _forms(values, counts):
        texts = [form(value) for value in values]
        if len(set(texts)) == different:
            break
    return texts


def _forms(values: Sequence[float], counts: Counts) -> Iterator[_Form]:
    """From the shortest to the one that tells all numbers apart."""
    if counts == "times" and all(0.0 <= value <= LAST_TIME for value in values):
        yield from _time_forms(values)
    digits = range(DIGITS, MOST_DIGITS + 1)
    if counts == "seconds" and all(0.0 <= value < LONGEST_DURATION for value in values):
        yield duration
        yield from (lambda value, digits=some: f"{value:.{digits}g}s" for some in digits)
    yield from (lambda value, digits=some: number(value, digits) for some in digits)


def _time_forms(values: Sequence[float]) -> Iterator[_Form]:
    """Local times, with the date unless all are of one day."""
    date = "%Y-%m-%d "
    if len({datetime.fromtimestamp(value).date() for value in values}) == 1:
        date = ""
    else:
        if max(values) - min(values) >= DAYS_ONLY:
            yield lambda value: f"{datetime.fromtimestamp(value):%Y-%m-%d}"
        yield lambda value: f"{datetime.fromtimestamp(value):{date}%H:%M}"
    yield lambda value: f"{datetime.fromtimestamp(value):{date}%H:%M:%S}"
    yield lambda value: f"{datetime.fromtimestamp(value):{date}%H:%M:%S.%f}"
