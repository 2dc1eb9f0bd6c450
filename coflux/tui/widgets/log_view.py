"""The log on the screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from coflux.tui.logs import LogModel
from coflux.tui.painting import Glyphs, Piece, paint_log_entry
from coflux.tui.widgets.line_view import LineView

__all__ = ["LogView"]


class LogView(LineView):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f", "follow", "follow", id="logs.follow"),
    ]

    class Wanted(Message):
        """Lines are to be painted whose entries are not here."""

    def __init__(self, glyphs: Glyphs, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, follow=True)
        self.model = LogModel()
        self.began = 0.0  # wall-clock time that entries are timed from
        self.names: Mapping[tuple[str, int], str] = {}
        self._glyphs = glyphs

    def load(self, model: LogModel, began: float, names: Mapping[tuple[str, int], str]) -> None:
        """Show other entries, from the last one on; `names` are those of steps."""
        self.model = model
        self.names = names
        self.began = began
        self.following = True
        self.lines_changed()

    def count(self) -> int:
        return len(self.model)

    def paint(self, index: int, width: int) -> Sequence[Piece]:
        entry = self.model.entry(index)
        if entry is None:
            self.post_message(self.Wanted())
            return [(self._glyphs.ellipsis, "dim")]
        name = self.names.get((entry.run, entry.step), "")
        return paint_log_entry(entry, name, self.began, width, self._glyphs)

    def action_follow(self) -> None:
        self.go(self.count() - 1, follow=not self.following)
