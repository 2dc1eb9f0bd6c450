"""One line that says which entries are shown, and how. Each part can be clicked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from textual import events
from textual.content import Content
from textual.widget import Widget

from coflux.tui.painting import Piece
from coflux.tui.text import cell_len, fit

__all__ = ["LogBar", "Part"]


class Part(NamedTuple):
    """A key, what it changes and how that is now, and the action of the tab."""

    key: str
    pieces: Sequence[Piece]
    action: str

    @property
    def width(self) -> int:
        return len(self.key) + sum(cell_len(text) for text, _ in self.pieces) + 3


class LogBar(Widget):
    def __init__(self) -> None:
        super().__init__()
        self._parts: list[Part] = []
        self._ending: Sequence[Piece] = ()

    def show(self, parts: list[Part], ending: Sequence[Piece]) -> None:
        """Show as many parts as there is room for, and the ending at the right."""
        if (parts, ending) != (self._parts, self._ending):
            self._parts, self._ending = parts, ending
            self.refresh()

    def render(self) -> Content:
        width = self.size.width
        ending = [(fit(text, width), style) for text, style in self._ending]
        room = width - sum(cell_len(text) for text, _ in ending)
        pieces: list[Piece] = []
        for part in self._parts:
            if part.width > room:
                break
            room -= part.width
            pieces += [(part.key, "bold"), (" ", ""), *part.pieces, ("  ", "")]
        return Content.assemble(*pieces, (" " * max(room, 0), ""), *ending)

    async def on_click(self, event: events.Click) -> None:
        at = 0
        for part in self._parts:
            if at <= event.x < at + part.width:
                assert isinstance(self.parent, Widget)
                await self.parent.run_action(part.action)
                return
            at += part.width
