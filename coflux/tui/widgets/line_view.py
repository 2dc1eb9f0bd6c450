"""A window on any number of lines, of which only those on the screen are ever made.

Stock widgets keep an object for each line; with tens of thousands of steps and log lines at hundreds of changes a
second they take a whole core. This one asks for a line when it is to be painted, keeps what it painted, and repaints
the lines that have changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from coflux.tui.painting import Piece
from coflux.tui.themes import cursor_style, style_of
from coflux.tui.widgets.strips import changed_part

__all__ = ["LineView"]

KEPT_STRIPS = 1000
WHEEL_LINES = 3


class LineView(Widget, can_focus=True):
    """Lines with a cursor. Subclasses say how many there are (`count`) and how one looks (`paint`).

    With `follow` the last line is always shown, until the cursor is moved away from it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "down", show=False, id="lines.down"),
        Binding("up,k", "move(-1)", "up", show=False, id="lines.up"),
        Binding("pagedown,space", "page(1)", "page down", show=False, id="lines.page_down"),
        Binding("pageup", "page(-1)", "page up", show=False, id="lines.page_up"),
        Binding("home,g", "edge(False)", "top", show=False, id="lines.top"),
        Binding("end,G", "edge(True)", "bottom", show=False, id="lines.bottom"),
        Binding("enter", "choose", "open", show=False, id="lines.choose"),
    ]

    class Moved(Message):
        """The cursor is on another line."""

        def __init__(self, view: LineView) -> None:
            super().__init__()
            self.view = view

        @property
        def control(self) -> LineView:
            return self.view

    class Chosen(Moved):
        """Enter was pressed on a line, or it was clicked while the cursor was on it."""

    def __init__(self, *, id: str | None = None, follow: bool = False) -> None:  # noqa: A002
        super().__init__(id=id)
        self.cursor = 0
        self.first = 0  # the line at the top of the window
        self.following = follow
        self.can_follow = follow
        self._strips: dict[int, Strip] = {}
        self._on_screen: list[Strip | None] = []  # what is on the screen, as far as that is known
        self._base: Style | None = None
        self._styles: dict[str, Style] = {}
        self._theme = ""  # the one that `_styles` and `_strips` are of

    # -- what subclasses say -----------------------------------------------------------------------------------------

    def count(self) -> int:
        """How many lines there are."""
        raise NotImplementedError

    def paint(self, index: int, width: int) -> Sequence[Piece]:
        """How a line looks in `width` cells."""
        raise NotImplementedError

    @property
    def looks_focused(self) -> bool:
        """Whether the cursor is drawn as one that keys move."""
        return self.has_focus

    # -- changes -----------------------------------------------------------------------------------------------------

    def lines_changed(self, lines: Iterable[int] | None = None) -> None:
        """Paint these lines again, as far as they are on the screen; `None` for all."""
        if lines is None:
            self._strips.clear()
            self._clamp()
            self._paint(range(self.size.height))
            return
        rows = []
        for line in lines:
            self._strips.pop(line, None)
            if 0 <= line - self.first < self.size.height:
                rows.append(line - self.first)
        self._paint(rows)

    def _paint(self, rows: Iterable[int]) -> None:
        """Have those rows of the window painted that look different: what is sent to a terminal costs more than finding
        that out."""
        self.heed_theme()  # before what is known of the screen is looked at
        width, height = self.size
        if len(self._on_screen) != height:
            self._on_screen = [None] * height
        regions = []
        for row in rows:
            before = self._on_screen[row]
            part = (0, width) if before is None else changed_part(before, self._strip(row))
            if part is not None:
                start, cells = part
                regions.append(Region(start, row, cells, 1))
        if regions:
            self.refresh(*regions)

    def lines_added(self) -> None:
        """There are more lines at the end than before; the others are as they were."""
        if self.following:
            self._clamp()
        if self.count() - self.first <= self.size.height * 2:
            self._paint(range(self.size.height))

    def lines_shown(self) -> range:
        """The lines on the screen."""
        return range(self.first, min(self.first + self.size.height, self.count()))

    # -- the cursor --------------------------------------------------------------------------------------------------

    def go(self, line: int, *, follow: bool = False) -> None:
        """Put the cursor on a line, and scroll as far as that needs."""
        before, first = self.cursor, self.first
        self.cursor = line
        self.following = follow and self.can_follow
        self._clamp()
        if self.first != first:
            self._paint(range(self.size.height))
        else:
            self.lines_changed((before, self.cursor))
        self.post_message(self.Moved(self))

    def action_move(self, lines: int) -> None:
        self.go(self.cursor + lines)

    def action_page(self, pages: int) -> None:
        self.go(self.cursor + pages * max(self.size.height - 1, 1))

    def action_edge(self, end: bool) -> None:
        self.go(self.count() - 1 if end else 0, follow=end)

    def action_choose(self) -> None:
        if self.count():
            self.post_message(self.Chosen(self))

    def _clamp(self) -> None:
        count, height = self.count(), max(self.size.height, 1)
        if self.following:
            self.cursor = max(count - 1, 0)
        self.cursor = max(0, min(self.cursor, count - 1))
        self.first = max(min(self.first, self.cursor, count - height), self.cursor - height + 1, 0)

    # -- Textual -----------------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        strip = self._strip(y)
        if y < len(self._on_screen):
            self._on_screen[y] = strip
        return strip

    def _strip(self, y: int) -> Strip:
        width, line = self.size.width, self.first + y
        self.heed_theme()
        if line >= self.count():
            return Strip.blank(width, self.rich_style)
        if line == self.cursor:
            return self._draw(line, width, self.cursor_base)
        strip = self._strips.get(line)
        if strip is None:
            strip = self._draw(line, width, self.rich_style)
            if len(self._strips) >= KEPT_STRIPS:
                self._strips.clear()
            self._strips[line] = strip
        return strip

    def heed_theme(self) -> None:
        """Forget what was drawn in another theme."""
        if self._theme != self.app.theme:
            self._theme = self.app.theme
            self._forget_styles()

    @property
    def cursor_base(self) -> Style:
        """What the line with the cursor is drawn on."""
        return self.rich_style + cursor_style(self.app.current_theme, focused=self.looks_focused)

    def _draw(self, line: int, width: int, base: Style) -> Strip:
        return self.draw_pieces(self.paint(line, width), width, base)

    def draw_pieces(self, pieces: Sequence[Piece], width: int, base: Style) -> Strip:
        """A line of the screen, on this background."""
        styled = [(text, self._style(name)) for text, name in pieces if text]
        if base.reverse:  # one bar, not patches of the colours in it
            styled = [(text, Style(bold=style.bold, underline=style.underline)) for text, style in styled]
        segments = [Segment(text, base + style) for text, style in styled]
        return Strip(segments).adjust_cell_length(width, base).simplify()

    def _style(self, name: str) -> Style:
        """What a name means, on any background."""
        style = self._styles.get(name)
        if style is None:
            meant = style_of(self._theme, name)
            style = self._styles[name] = Style.parse(name) if meant is None else meant.rich_style
        return style

    @property
    def rich_style(self) -> Style:
        """As it was looked up in the stylesheets, which takes half a millisecond: not for every line."""
        if self._base is None:
            self._base = super().rich_style
        return self._base

    def _forget_styles(self) -> None:
        self._base = None
        self._styles.clear()
        self._strips.clear()
        self._on_screen.clear()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._forget_styles()

    def on_resize(self) -> None:
        self._on_screen.clear()
        self.lines_changed()

    def on_focus(self) -> None:
        self.lines_changed((self.cursor,))

    def on_blur(self) -> None:
        self.lines_changed((self.cursor,))

    def on_click(self, event: events.Click) -> None:
        line = self.first + event.y
        if line >= self.count():
            return
        if line == self.cursor:
            self.action_choose()
        else:
            self.go(line)

    def on_mouse_scroll_down(self) -> None:
        self.wheel(WHEEL_LINES)

    def on_mouse_scroll_up(self) -> None:
        self.wheel(-WHEEL_LINES)

    def wheel(self, lines: int) -> None:
        """The mouse's wheel was turned by so many lines."""
        self.go(self.cursor + lines)
