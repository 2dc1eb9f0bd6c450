"""A line of a screen that is written anew with every look at what has come. What of it has changed is painted."""

from __future__ import annotations

from textual.content import Content
from textual.geometry import Region
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget

from coflux.tui.widgets.strips import changed_part

__all__ = ["OneLine"]


class OneLine(Widget):
    DEFAULT_CSS = "OneLine { height: 1; }"

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._content = Content("")
        self._on_screen: Strip | None = None

    def update(self, content: Content) -> None:
        self._content = content
        part = None if self._on_screen is None else changed_part(self._on_screen, self.render_line(0))
        if part is not None:
            start, width = part
            self.refresh(Region(start, 0, width, 1))

    def render_line(self, y: int) -> Strip:
        strips = Visual.to_strips(self, self._content, self.size.width, 1, self.visual_style)
        strip = strips[0] if strips else Strip([])
        # As wide as the line: of a text that has become shorter, the rest is painted, too.
        self._on_screen = strip.adjust_cell_length(self.size.width, self.visual_style.rich_style)
        return self._on_screen
