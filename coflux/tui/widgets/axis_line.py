"""The times above bars."""

from __future__ import annotations

from collections.abc import Callable

from textual.content import Content
from textual.widget import Widget

from coflux.tui.timeline import TimeWindow, axis

__all__ = ["AxisLine"]


class AxisLine(Widget):
    def __init__(self, window: TimeWindow, bars_width: Callable[[], int]) -> None:
        """`bars_width` tells how many cells at the right the bars have."""
        super().__init__(classes="axis")
        self._window = window
        self._bars_width = bars_width

    def render(self) -> Content:
        return Content(axis(self._window, max(self._bars_width(), 1)).rjust(self.size.width))
