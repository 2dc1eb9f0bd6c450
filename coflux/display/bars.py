"""Progress as text: a bar, or a few words. Pure."""

from __future__ import annotations

from coflux.display.axis_labels import number
from coflux.display.text import duration
from coflux.executor.series import Progress

__all__ = ["bar", "progress_text", "rate_text"]

_FULL = ("█", "#")  # in Unicode, in ASCII
_EMPTY = ("░", ".")


def bar(fraction: float, cells: int, *, unicode: bool) -> str:
    """A bar of which `fraction` is full; wholly so only at the end."""
    full = cells if fraction >= 1.0 else int(fraction * cells)
    return _FULL[not unicode] * full + _EMPTY[not unicode] * (cells - full)


def progress_text(progress: Progress, *, rate: bool = True) -> str:
    """`42% (21/50), 3.1/s, 9.4s left`, or `21 done, 3.1/s` where the end is not known."""
    value = number(progress.value)
    if progress.fraction is None or progress.upper is None:
        parts = [f"{value} done"]
    else:
        parts = [f"{int(progress.fraction * 100)}% ({value}/{number(progress.upper)})"]
    if rate and progress.rate is not None:
        parts.append(rate_text(progress.rate))
    if progress.eta:
        parts.append(f"{duration(progress.eta)} left")
    return ", ".join(parts)


def rate_text(rate: float) -> str:
    """`3.1/s`, or `2.5/min` for what is slow."""
    if rate >= 1000:
        return f"{rate:,.0f}/s"
    if rate >= 0.1:
        return f"{rate:.3g}/s"
    return f"{rate * 60:.3g}/min" if rate * 60 >= 0.1 else f"{rate * 3600:.3g}/h"
