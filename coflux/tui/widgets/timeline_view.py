"""The timeline on the screen: the rows of the tree, with bars in place of notes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from coflux.tui.painting import Glyphs, Piece
from coflux.tui.text import cell_len, clean, fit, pad
from coflux.tui.timeline import Span, axis, paint_bars
from coflux.tui.tree import RunTree
from coflux.tui.widgets.line_view import LineView

__all__ = ["TimelineView"]

NAME_SHARE = 3  # the names take a third of the width, up to
MOST_NAME = 28  # cells
DEEPEST = 4  # levels that are told apart by their indentation


class TimelineView(LineView):
    def __init__(self, glyphs: Glyphs, clock: Callable[[], float], *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._tree = RunTree()
        self._glyphs = glyphs
        self._clock = clock
        self._span: Span = (0.0, 1.0)

    def show(self, tree: RunTree, span: Span) -> None:
        self._tree = tree
        self._span = span
        self.lines_changed()

    def count(self) -> int:
        return len(self._tree.rows) + 1

    def paint(self, index: int, width: int) -> Sequence[Piece]:
        names = min(width // NAME_SHARE, MOST_NAME)
        if index == 0:
            return [(" " * names, ""), (axis(self._span, width - names), "dim")]
        row = self._tree.rows[index - 1]
        if row.folded or row.earlier:
            return [
                (fit(f"{'  ' * row.depth}{self._glyphs.ellipsis} {row.folded or row.earlier:,} more", width), "dim")
            ]
        title = fit(
            "  " * min(row.depth, 4) + clean((row.node.shared or row.node).title), names - 1, self._glyphs.ellipsis
        )
        bars = paint_bars(row.node, self._span, width - names, self._clock(), self._glyphs)
        return [(pad(title, names), "" if cell_len(title) else "dim"), *bars]
