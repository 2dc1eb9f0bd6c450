"""Lines that are made all at once: what there is to know about a step, help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from coflux.tui.details import Line
from coflux.tui.painting import Piece
from coflux.tui.widgets.line_view import LineView

__all__ = ["TextView"]


class TextView(LineView):
    """Space turns the page, unless the cursor is on a line that `folds`: then it is as enter."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "turn", "unfold, or next page", show=False, id="text.turn"),
    ]

    def __init__(self, *, folds: Callable[[int], bool] = lambda line: False, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._folds = folds
        self._write: Callable[[int], list[Line]] = lambda width: []
        self._lines: list[Line] = []

    def show(self, write: Callable[[int], list[Line]]) -> None:
        """Show the lines that `write` makes for a width in cells."""
        self._write = write
        lines = write(self.size.width)
        if lines != self._lines:
            self._lines = lines
            self.lines_changed()

    def find(self, text: str, by: int) -> int | None:
        """The nearest line with a text in it, in upper or lower case: from the cursor's on (`by` is 0), after it (1) or
        before it (-1). The search goes round."""
        text, count = text.lower(), len(self._lines)
        if not text:
            return None
        step = by or 1
        lines = ((self.cursor + by + step * place) % count for place in range(count))
        return next((line for line in lines if text in "".join(part for part, _ in self._lines[line]).lower()), None)

    def rewind(self) -> None:
        """Begin at the top: what comes is another text."""
        self.cursor = self.first = 0

    def action_turn(self) -> None:
        if self._folds(self.cursor):
            self.action_choose()
        else:
            self.action_page(1)

    def on_resize(self) -> None:
        self._lines = self._write(self.size.width)  # Textual calls `LineView.on_resize`, too

    def count(self) -> int:
        return len(self._lines)

    def paint(self, index: int, width: int) -> Sequence[Piece]:
        return self._lines[index]
