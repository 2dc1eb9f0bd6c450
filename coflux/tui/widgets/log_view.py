"""The log on the screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from coflux.executor.history import LogEntry
from coflux.tui.log_painting import MATCH, Look, Times, paint_entry, paint_unfolded, paint_wrapped
from coflux.tui.log_window import Line, LogWindow
from coflux.tui.logs import LogModel
from coflux.tui.painting import Glyphs, Piece
from coflux.tui.text import clean, fit
from coflux.tui.widgets.line_view import KEPT_STRIPS, LineView

__all__ = ["LogView"]

NEAR = 60  # entries above and below the screen that are always to be here
AHEAD = 200  # that are asked for when one of those is not


class LogView(LineView):
    """Entries, each on a line of its own or on several.

    Attributes:
        unseen: how many entries have come below since it stopped following.
        opened: the ids of those that are unfolded.
        wrap: whether lines that are too long go on on the next.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "choose", "unfold", id="logs.unfold"),
        Binding("f", "follow", "follow", id="logs.follow"),
        Binding("w", "wrap", "wrap", id="logs.wrap"),
    ]

    class Wanted(Message):
        """The entries with these ids are to be painted and are not here; of one that is unfolded, all of it."""

        def __init__(self, ids: Sequence[int], *, whole: bool = False) -> None:
            super().__init__()
            self.ids = ids
            self.whole = whole

    def __init__(self, glyphs: Glyphs, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, follow=True)
        self.model = LogModel()
        self.look = Look(80, glyphs)
        self.wrap = False
        self.opened: set[int] = set()
        self.unseen = 0
        self._window = LogWindow(self._height_of)
        self._rows: list[Line] | None = None  # what is on the screen; `None` when it has to be worked out
        self._painted: dict[int, list[list[Piece]]] = {}  # entries of several lines, by id
        self._entry_strips: dict[tuple[int, int], Strip] = {}
        self._lead = 0
        self._goal: int | None = None  # the id of an entry that is to be under the cursor when it is known

    # -- what is shown -----------------------------------------------------------------------------------------------

    def take(self, model: LogModel, added: int) -> None:
        """The model is another one, or has changed; `added` entries have come at its end."""
        if model is not self.model:
            self.model, self._lead = model, model.shown.lead
            self.opened.clear()
            self._forget()
            self.unseen = 0
            if self._goal is None:
                self._window.following = True
        self._window.shift(model.shown.lead - self._lead)
        self._lead = model.shown.lead
        self.unseen = 0 if self._window.following else self.unseen + added
        self._go_to_goal()
        self._changed()

    def restyle(self, look: Look) -> None:
        """Draw all entries another way."""
        if look != self.look:
            self.look = look
            self._forget()
            self._changed()

    def repaint_unfolded(self) -> None:
        """More of what is unfolded is here."""
        for entry_id in self.opened:
            self._painted.pop(entry_id, None)
            for key in [key for key in self._entry_strips if key[0] == entry_id]:
                del self._entry_strips[key]
        self._changed()

    def seek(self, entry_id: int) -> None:
        """Put the cursor on an entry, or the one that is nearest to it, as soon as it is known."""
        self._goal = entry_id
        self._go_to_goal()
        self._changed()

    def keep_place(self) -> None:
        """Stay at the entry under the cursor, whichever others will be shown."""
        if not self._window.following and self.chosen_id is not None:
            self._goal = self.chosen_id

    @property
    def chosen_id(self) -> int | None:
        """The id of the entry under the cursor."""
        count = len(self.model)
        return self.model.id_at(min(self._window.cursor, count - 1)) if count else None

    @property
    def chosen(self) -> LogEntry | None:
        """The entry under the cursor."""
        count = len(self.model)
        return self.model.entry(min(self._window.cursor, count - 1)) if count else None

    def relayout(self) -> None:
        """Other entries of the same model are shown."""
        self._lead = self.model.shown.lead
        self._go_to_goal()
        self._changed()

    def _go_to_goal(self) -> None:
        shown = self.model.shown
        if self._goal is None or not ((shown and shown[0] <= self._goal) or not self.model.shown_left):
            return
        place = min(shown.place(self._goal), len(self.model) - 1)
        self._goal = None
        self._window.following = False
        self._window.cursor = place
        if not any(index == place for index, _ in self._rows or ()):
            self._window.first, self._window.skipped = place - self.size.height // 3, 0

    def _forget(self) -> None:
        self._painted.clear()
        self._entry_strips.clear()

    def _changed(self) -> None:
        self._rows = None
        self.refresh()

    # -- lines -------------------------------------------------------------------------------------------------------

    def count(self) -> int:
        return len(self.model)

    def paint(self, index: int, width: int) -> Sequence[Piece]:
        return self._lines_of(index)[0]

    def _is_tall(self, entry_id: int) -> bool:
        return self.wrap or entry_id in self.opened

    def _height_of(self, index: int) -> int:
        return len(self._lines_of(index)) if self._is_tall(self.model.id_at(index)) else 1

    def _lines_of(self, index: int) -> list[list[Piece]]:
        entry = self.model.entry(index)
        if entry is None:
            return [[(self.look.glyphs.ellipsis, "dim")]]
        lines = self._painted.get(entry.id)
        if lines is None:
            before = self.model.entry(index - 1) if index else None
            if entry.id in self.opened:
                whole = self.model.whole(entry.id)
                lines = paint_unfolded(entry, whole, before, self.look)
            elif self.wrap:
                lines = paint_wrapped(entry, before, self.look)
            else:
                return [paint_entry(entry, before, self.look)]
            if len(self._painted) >= KEPT_STRIPS:
                self._painted.clear()
            self._painted[entry.id] = lines
        return lines

    def _laid_out(self) -> list[Line]:
        if self._rows is None:
            self._rows = self._window.lay_out(self.count(), self.size.height)
            self.cursor, self.first, self.following = self._window.cursor, self._window.first, self._window.following
            if self._rows:
                first, last = self._rows[0][0], self._rows[-1][0]
                if self.model.lacks(first - NEAR, last + NEAR):
                    wanted = self.model.want(first - AHEAD, last + AHEAD)
                    if wanted:
                        self.post_message(self.Wanted(wanted))
        return self._rows

    def lines_changed(self, lines: Iterable[int] | None = None) -> None:
        if lines is None:
            self._forget()
        self._changed()

    def lines_shown(self) -> range:
        rows = self._laid_out()
        return range(rows[0][0], rows[-1][0] + 1) if rows else range(0)

    # -- keys --------------------------------------------------------------------------------------------------------

    def go(self, line: int, *, follow: bool = False) -> None:
        self._window.cursor, self._window.following = line, follow
        self._moved()

    def _moved(self) -> None:
        self._goal = None
        self._changed()
        self._laid_out()
        if self._window.following or self.cursor == self.count() - 1:
            self.unseen = 0
        self.post_message(self.Moved(self))

    def action_move(self, lines: int) -> None:
        self._window.move(lines, self.count(), self.size.height)
        self._moved()

    def action_page(self, pages: int) -> None:
        self._scroll(pages * max(self.size.height - 1, 1))

    def action_edge(self, end: bool) -> None:
        self.go(self.count() - 1 if end else 0, follow=end)

    def action_follow(self) -> None:
        self.go(self.count() - 1, follow=not self._window.following)

    def action_choose(self) -> None:
        """Unfold an entry, or fold it."""
        entry_id = self.chosen_id
        if entry_id is None:
            return
        if entry_id in self.opened:
            self.opened.discard(entry_id)
        else:
            self.opened.add(entry_id)
            if self.model.whole(entry_id) is None:
                self.post_message(self.Wanted([entry_id], whole=True))
        self._window.following = False
        self._painted.pop(entry_id, None)
        for key in [key for key in self._entry_strips if key[0] == entry_id]:
            del self._entry_strips[key]
        self._changed()

    def action_wrap(self) -> None:
        self.wrap = not self.wrap
        self._forget()
        self._changed()

    def _scroll(self, lines: int) -> None:
        self._window.scroll(lines, self.count(), self.size.height)
        self._moved()

    # -- Textual -----------------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        width, rows = self.size.width, self._laid_out()
        if y < len(rows):
            strip = self._entry_strip(*rows[y], top=y == 0)
        else:
            nothing = [] if rows else self._nothing(width)
            strip = self._drawn(nothing[y] if y < len(nothing) else [], self.rich_style)
        if y == self.size.height - 1 and self._marker:
            marker = fit(self._marker, width)
            end = Strip([Segment(marker, self.rich_style + self._style("reverse"))])
            strip = Strip.join([strip.crop(0, width - cell_len(marker)), end])
        return strip

    def _entry_strip(self, index: int, line: int, *, top: bool) -> Strip:
        if index == self._window.cursor and (line == 0 or top):
            return self._cursor_strip(self._line(index, line))
        key = self.model.id_at(index), line
        strip = self._entry_strips.get(key)
        if strip is None:
            strip = self._drawn(self._line(index, line), self.rich_style)
            if self._is_complete(index):
                if len(self._entry_strips) >= KEPT_STRIPS:
                    self._entry_strips.clear()
                self._entry_strips[key] = strip
        return strip

    def _cursor_strip(self, pieces: Sequence[Piece]) -> Strip:
        """One bar, not patches of the colours in it."""
        base = self.rich_style + (Style(reverse=True) if self.has_focus else Style(underline=True))
        found = Style(bold=True, underline=True)
        segments = [Segment(text, base + found if style == MATCH else base) for text, style in pieces if text]
        return Strip(segments).adjust_cell_length(self.size.width, base).simplify()

    def _line(self, index: int, line: int) -> Sequence[Piece]:
        lines = self._lines_of(index)
        return lines[min(line, len(lines) - 1)]

    def _is_complete(self, index: int) -> bool:
        """Whether all that its picture is made from is here."""
        entry = self.model.entry(index)
        if entry is None or (entry.run, entry.step) not in self.look.names:
            return False
        return self.look.times is not Times.PREVIOUS or not index or self.model.entry(index - 1) is not None

    def _drawn(self, pieces: Sequence[Piece], base: Style) -> Strip:
        segments = [Segment(text, base + self._style(style)) for text, style in pieces if text]
        return Strip(segments).adjust_cell_length(self.size.width, base).simplify()

    def _nothing(self, width: int) -> list[list[Piece]]:
        """What stands in place of entries."""
        model = self.model
        if model.trouble:
            return [[(line, "red")] for line in wrap(clean(model.trouble), max(width, 1))]
        if model.shown_left:
            return [[(f"reading{self.look.glyphs.ellipsis}", "dim")]]
        return [[("the entries have been removed" if model.gone else "no entries", "dim")]]

    @property
    def _marker(self) -> str:
        if not self.unseen or self._window.following:
            return ""
        return f" {'▼' if self.look.glyphs.unicode else 'v'} {self.unseen:,} new   G: follow "

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._entry_strips.clear()

    def on_resize(self) -> None:
        self.look = self.look._replace(width=self.size.width)
        self.lines_changed()

    def on_focus(self) -> None:
        self._changed()

    def on_blur(self) -> None:
        self._changed()

    def on_click(self, event: events.Click) -> None:
        event.prevent_default()  # that of `LineView`
        rows = self._laid_out()
        if event.y == self.size.height - 1 and event.x >= self.size.width - cell_len(self._marker) and self._marker:
            self.action_follow()
        elif event.y < len(rows):
            index = rows[event.y][0]
            if index == self._window.cursor:
                self.action_choose()
            else:
                self.go(index)

    def wheel(self, lines: int) -> None:
        self._scroll(lines)
