"""The line at the top of every screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.content import Content
from textual.widget import Widget

from coflux.tui.painting import Piece

__all__ = ["SystemStrip"]


class SystemStrip(Widget):
    """Shows what `write` makes for a width in cells; a click opens what there is to know about the engine."""

    def __init__(self, write: Callable[[int], Sequence[Piece]]) -> None:
        super().__init__(id="strip")
        self._write = write
        self._pieces: Sequence[Piece] = []

    def flush(self) -> None:
        pieces = self._write(self.size.width)
        if pieces != self._pieces:
            self._pieces = pieces
            self.refresh()

    def on_resize(self) -> None:
        self.flush()

    def render(self) -> Content:
        return Content.assemble(*self._pieces)

    async def on_click(self) -> None:
        await self.screen.run_action("app.system")
