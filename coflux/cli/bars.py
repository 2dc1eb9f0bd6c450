"""Progress as text: a bar, or a few words."""

from __future__ import annotations

from collections.abc import Sequence

from coflux.cli.axis_labels import number
from coflux.cli.lines import Painter
from coflux.display.text import duration, fit, visible
from coflux.executor.series import Progress

__all__ = ["bar", "bar_lines", "progress_text"]

LONGEST_BAR = 30  # cells
SHORTEST_BAR = 5  # cells; where there are fewer, words have to do
_FULL = ("█", "#")  # in Unicode, in ASCII
_EMPTY = ("░", ".")


def bar(fraction: float, cells: int, *, unicode: bool) -> str:
    """A bar of which `fraction` is full; wholly so only at the end."""
    full = cells if fraction >= 1.0 else int(fraction * cells)
    return _FULL[not unicode] * full + _EMPTY[not unicode] * (cells - full)


def bar_lines(told: Sequence[tuple[str, Progress]], width: int, painter: Painter, *, unicode: bool) -> list[str]:
    """A line of at most `width` cells for each key and its progress: a bar if the end is known, and words."""
    from rich.cells import cell_len

    ellipsis = "…" if unicode else "..."
    keys = [fit(visible(key), max(width // 3, len(ellipsis)), ellipsis) for key, _ in told]
    texts = [progress_text(progress) for _, progress in told]
    margin = max(map(cell_len, keys), default=0)
    room = max(width - margin - 2, 0)
    cells = min(room - 2 - max(map(len, texts), default=0), LONGEST_BAR)
    lines = []
    for key, text, (_, progress) in zip(keys, texts, told, strict=True):
        shown = fit(text, room, ellipsis)
        if progress.fraction is not None and cells >= SHORTEST_BAR:
            shown = f"{painter.paint(bar(progress.fraction, cells, unicode=unicode), 'cyan')}  {text}"
        lines.append(f"{key}{' ' * (margin - cell_len(key))}  {shown}".rstrip())
    return lines


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
    if rate >= 0.1:
        return f"{rate:.3g}/s"
    return f"{rate * 60:.3g}/min" if rate * 60 >= 0.1 else f"{rate * 3600:.3g}/h"
