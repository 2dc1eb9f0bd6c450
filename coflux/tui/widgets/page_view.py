"""Text to be read: no line of it is chosen, so the keys move the window."""

from __future__ import annotations

from rich.style import Style

from coflux.tui.widgets.text_view import TextView

__all__ = ["PageView"]


class PageView(TextView):
    @property
    def cursor_base(self) -> Style:
        """As any other line: there is no cursor to be seen."""
        return self.rich_style

    def go(self, line: int, *, follow: bool = False) -> None:
        """Scroll by as many lines as the cursor would move."""
        top = self.first + line - self.cursor
        self.first = self.cursor = max(0, min(top, self.count() - self.size.height))
        self.lines_changed()
        self.post_message(self.Moved(self))
