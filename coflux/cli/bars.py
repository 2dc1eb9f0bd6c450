"""Progress as lines of a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from coflux.cli.lines import Painter
from coflux.display.bars import bar, progress_text
from coflux.display.text import fit, visible
from coflux.executor.series import Progress

__all__ = ["bar_lines"]

LONGEST_BAR = 30  # cells
SHORTEST_BAR = 5  # cells; where there are fewer, words have to do


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
