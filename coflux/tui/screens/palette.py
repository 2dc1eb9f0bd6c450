"""The command palette: everything that can be done or gone to, found by a few letters of its name.

It is our own, not Textual's: that one's symbols are not ASCII, its rows are widgets' options that would be made anew at
each letter, and what is typed with twenty thousand steps to search must never wait for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from coflux.tui.painting import Glyphs, Piece
from coflux.tui.palette import PREFIXES, Entry, Kind, Search, paint_entry
from coflux.tui.widgets.line_view import LineView

__all__ = ["Palette"]

SLICE = 500  # entries that are looked at until keys get their turn


class Results(LineView):
    can_focus = False

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__(id="found")
        self.entries: list[Entry] = []
        self._glyphs = glyphs

    def show(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.cursor = self.first = 0
        self.lines_changed()

    def count(self) -> int:
        return len(self.entries)

    def paint(self, index: int, width: int) -> Sequence[Piece]:
        return paint_entry(self.entries[index], width, self._glyphs)

    @property
    def looks_focused(self) -> bool:
        return True  # the keys that move it are the field's


class Palette(ModalScreen[Entry | None]):
    """Answers with what was chosen. `typed` is what the field begins with: `/` searches everywhere but for commands."""

    TITLE = "Commands and search"
    PROSE = (
        "Type some letters of a command, a target, a run or a step. A first letter searches one kind only:\n"
        "> commands   @ targets   # runs   . steps   / everything but commands, and the log of the open run"
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "back", id="palette.leave"),
        Binding("down,ctrl+n", "move(1)", "down", show=False, id="palette.down"),
        Binding("up", "move(-1)", "up", show=False, id="palette.up"),
        Binding("pagedown", "move(10)", "page down", show=False, id="palette.page_down"),
        Binding("pageup", "move(-10)", "page up", show=False, id="palette.page_up"),
    ]

    def __init__(
        self, entries: Callable[[str, Kind | None], Iterable[Entry]], glyphs: Glyphs, *, typed: str = ""
    ) -> None:
        """`entries` gives those to search, for what was typed and a kind."""
        super().__init__()
        self._entries = entries
        self._glyphs = glyphs
        self._typed = typed
        self._searching: asyncio.Task[None] | None = None
        self.done = asyncio.Event()
        """Whether what was typed has been searched for in everything."""

    def compose(self) -> ComposeResult:
        with Vertical(id="palette"):
            hint = "a command, target, run or step"
            yield Input(self._typed, id="typed", compact=True, placeholder=hint, select_on_focus=False)
            yield Results(self._glyphs)
            kinds = "  ".join(f"{prefix} {kind}s" for prefix, kind in PREFIXES.items() if kind != "log")
            yield Static(Content.styled(f"{kinds}  / search  esc back", "dim"), markup=False)

    def on_mount(self) -> None:
        self.set_focus(self.query_one(Input))
        self._search(self._typed)

    def on_unmount(self) -> None:
        if self._searching is not None:
            self._searching.cancel()

    def on_key(self, event: events.Key) -> None:
        """Letters that came before the field had the focus are its own."""
        if event.character is not None and event.is_printable and self.focused is None:
            event.stop()
            self._typed += event.character
            for field in self.query(Input):
                field.value = self._typed

    def on_input_changed(self, message: Input.Changed) -> None:
        self._search(message.value)

    def on_input_submitted(self) -> None:
        self._choose()

    def on_line_view_chosen(self) -> None:
        self._choose()

    def action_move(self, lines: int) -> None:
        self.query_one(Results).action_move(lines)

    def _choose(self) -> None:
        results = self.query_one(Results)
        if results.entries:
            self.dismiss(results.entries[results.cursor])

    def _search(self, typed: str) -> None:
        """Search from now on for this, in place of what was typed before."""
        if self._searching is not None:
            self._searching.cancel()
        self.done.clear()
        self._searching = asyncio.create_task(self._look(Search(typed, lambda kind: self._entries(typed, kind))))

    async def _look(self, search: Search) -> None:
        while search.step(SLICE):  # noqa: ASYNC110
            await asyncio.sleep(0)  # nothing is waited for: keys get their turn
        self.query_one(Results).show(search.found)
        self.done.set()
