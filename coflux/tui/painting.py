"""How rows look: pieces of text, each with the name of a style. No Textual in here; `styles.py` knows the colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import NamedTuple

from coflux.display.marks import MARKS, Mark
from coflux.executor.rows import ExecutionRow, RunRow

__all__ = [
    "Glyphs",
    "Piece",
    "bar",
    "counts_text",
    "mark_of",
    "seconds_of",
    "sparkline",
]

Piece = tuple[str, str]
"""Text, and the name of its style; "" for none."""

TIME_WIDTH = 7  # cells of a duration

_RETRYING = Mark("↻", "r", "yellow")
_DELAYED = Mark("◷", "d", "dim")
_LEAVING = Mark("…", "~", "cyan dim")


class Glyphs(NamedTuple):
    """What stands for what on a terminal: one that cannot show everything gets ASCII."""

    unicode: bool

    def mark(self, mark: Mark) -> str:
        return mark.unicode if self.unicode else mark.ascii

    @property
    def ellipsis(self) -> str:
        return "…" if self.unicode else "~"

    @property
    def open(self) -> str:
        return "▾" if self.unicode else "-"

    @property
    def closed(self) -> str:
        return "▸" if self.unicode else "+"

    @property
    def full(self) -> str:
        return "█" if self.unicode else "#"

    @property
    def empty(self) -> str:
        return "░" if self.unicode else "-"

    @property
    def rule(self) -> str:
        return "─" if self.unicode else "-"

    @property
    def upright(self) -> str:
        return "│" if self.unicode else "|"

    @property
    def tick(self) -> str:
        return "┤" if self.unicode else "|"

    @property
    def tick_right(self) -> str:
        return "├" if self.unicode else "|"

    @property
    def corner(self) -> str:
        return "└" if self.unicode else "+"

    @property
    def corner_right(self) -> str:
        return "┘" if self.unicode else "+"

    @property
    def levels(self) -> str:
        """From low to high, in a cell."""
        return "▁▂▃▅▆▇" if self.unicode else ".:-=+*#"

    @property
    def arrow(self) -> str:
        return "→" if self.unicode else ">"

    @property
    def between(self) -> tuple[str, str]:
        """What is around something that can be changed to the left and to the right."""
        return ("\u2039", "\u203a") if self.unicode else ("<", ">")


def mark_of(row: ExecutionRow | None, status: str) -> Mark:
    """The mark of a state; of what is queued, it tells what it waits for."""
    if row is not None and row.status == "queued":
        if row.trigger == "retry":
            return _RETRYING
        if row.trigger == "resumption":
            return MARKS["suspended"]
        if row.due_at is not None:
            return _DELAYED
    if row is not None and row.status == "running" and row.reason:
        return _LEAVING
    return MARKS[status]


def seconds_of(row: ExecutionRow | RunRow | None, now: float) -> float | None:
    """How long it has been running, or ran; `None` if it never began."""
    if row is None or row.started_at is None:
        return None
    return max((now if row.finished_at is None else row.finished_at) - row.started_at, 0.0)


def bar(fraction: float, width: int, glyphs: Glyphs) -> str:
    full = round(max(0.0, min(fraction, 1.0)) * width)
    return glyphs.full * full + glyphs.empty * (width - full)


def counts_text(counts: Mapping[str, int], glyphs: Glyphs) -> list[Piece]:
    """`✗1 ►3 ○1 ✓41`: how many steps are in which state, problems first."""
    pieces: list[Piece] = []
    for state in sorted(filter(counts.get, counts), key=_ORDER.index):
        mark = MARKS[state]
        pieces.append((f"{glyphs.mark(mark)}{counts[state]} ", mark.style))
    return pieces


_ORDER = [
    "failed", "timed_out", "abandoned", "running", "queued", "suspended", "cancelled", "deferred", "spawned",
    "cached", "recurred", "succeeded",
]  # fmt: skip


def sparkline(values: Sequence[float], width: int, glyphs: Glyphs) -> str:
    """The course of `values` in `width` cells, or in as many as there are values; a gap is a blank."""
    finite = [value for value in values if isfinite(value)]
    if not finite:
        return ""
    lower, upper = min(finite), max(finite)
    levels = glyphs.levels
    half = upper / 2 - lower / 2  # the difference of two floats may be more than one can hold
    text = ""
    for cell in range(min(width, len(values))):
        start, end = (len(values) * place // min(width, len(values)) for place in (cell, cell + 1))
        some = [value for value in values[start:end] if isfinite(value)]
        if not some:
            text += " "
        else:
            mean = sum(value / len(some) for value in some)
            share = (mean / 2 - lower / 2) / half if half else 0.0
            text += levels[min(int(share * len(levels)), len(levels) - 1)]
    return text
