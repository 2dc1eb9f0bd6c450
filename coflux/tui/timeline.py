"""When things happened, as bars: each step on its own row of the tree, all on one axis of time. Pure."""

from __future__ import annotations

from coflux.display.text import duration
from coflux.executor.rows import ExecutionRow
from coflux.tui.painting import Glyphs, Piece, mark_of
from coflux.tui.tree import Kind, Node

__all__ = ["Span", "axis", "paint_bars"]

Span = tuple[float, float]
"""Where the axis begins and ends, in seconds since the epoch."""


def paint_bars(node: Node, span: Span, width: int, now: float, glyphs: Glyphs) -> list[Piece]:
    """The attempts of a step in `width` cells: waiting, then running, each in the colour of how it ended."""
    cells: list[Piece] = [(" ", "")] * width
    if node.kind is Kind.STEP:
        for _, row in sorted(node.attempts.items()):
            _put(cells, row, span, now, glyphs)
    return _joined(cells)


def _put(cells: list[Piece], row: ExecutionRow, span: Span, now: float, glyphs: Glyphs) -> None:
    begins, ends = span
    scale = len(cells) / max(ends - begins, 1e-9)

    def cell(at: float) -> int:
        return max(0, min(int((at - begins) * scale), len(cells) - 1))

    end = row.finished_at if row.finished_at is not None else now
    started = row.started_at if row.started_at is not None else end
    queued, full, unfinished = ("·", "█", "▒") if glyphs.unicode else (".", "#", ">")
    for at in range(cell(row.created_at), cell(started)):
        if cells[at][0] == " ":
            cells[at] = (queued, "dim")
    if row.started_at is None:
        return
    style = mark_of(row, row.status).style
    for at in range(cell(started), cell(end) + 1):
        cells[at] = (full if row.finished_at is not None else unfinished, style)


def _joined(cells: list[Piece]) -> list[Piece]:
    pieces: list[Piece] = []
    for text, style in cells:
        if pieces and pieces[-1][1] == style:
            pieces[-1] = (pieces[-1][0] + text, style)
        else:
            pieces.append((text, style))
    return pieces


def axis(span: Span, width: int) -> str:
    """`0s      10s      20s`: as many marks as there is room for."""
    begins, ends = span
    text = ""
    marks = max(width // 12, 1)
    for number in range(marks):
        at = (ends - begins) * number / marks
        text = text.ljust(round(width * number / marks)) + duration(at)
    return text[:width].ljust(width)
