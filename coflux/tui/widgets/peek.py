"""The step under the cursor in three lines."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from coflux.tui.painting import Piece
from coflux.tui.widgets.one_line import OneLine

__all__ = ["Peek"]


class Peek(Vertical):
    def compose(self) -> ComposeResult:
        for _ in range(3):
            yield OneLine()

    def show(self, lines: Sequence[Sequence[Piece]]) -> None:
        for widget, line in zip(self.query(OneLine), lines, strict=False):
            widget.update(Content.assemble(*line))
