"""Durations as they are written on a command line, in options and in arguments alike."""

from __future__ import annotations

import re
from datetime import timedelta

__all__ = ["FORM", "parse_duration"]

FORM = "seconds, or like 1h30m"

_UNITS = re.compile(r"(?=\d)(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")


def parse_duration(text: str) -> timedelta:
    """Read a number of seconds, or weeks to milliseconds like `1w2d3h4m5.5s6ms`, each of them once; `-` goes before.

    Raises:
        ValueError: it is neither.
        OverflowError: it is too long for a `timedelta`.
    """
    try:
        return timedelta(seconds=float(text))
    except ValueError:
        pass  # not a number of seconds: hours, minutes and the like
    match = _UNITS.fullmatch(text.removeprefix("-"))
    if match is None:
        raise ValueError(f"{text!r} is not a duration: {FORM}")
    weeks, days, hours, minutes, seconds, milliseconds = (float(number or 0) for number in match.groups())
    value = timedelta(days, seconds, 0, milliseconds, minutes, hours, weeks)
    return -value if text.startswith("-") else value
