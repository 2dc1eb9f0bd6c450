"""A few things to choose from, each on a key, with a line that shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from coflux.tui.painting import Piece
from coflux.tui.text import clean, fit, pad
from coflux.tui.widgets.line_view import LineView

__all__ = ["Choice", "Choose"]

NAME_WIDTH = 11  # cells
WIDEST = 100  # cells


class Choice(NamedTuple):
    key: str
    name: str
    preview: str


class _Choices(LineView):
    def __init__(self, choices: Sequence[Choice], ellipsis: str) -> None:
        super().__init__()
        self.choices = choices
        self._ellipsis = ellipsis

    def count(self) -> int:
        return len(self.choices)

    def paint(self, index: int, width: int) -> Sequence[Piece]:
        key, name, preview = self.choices[index]
        shown = fit(clean(preview.strip().partition("\n")[0], 2 * WIDEST), width - NAME_WIDTH - 5, self._ellipsis)
        return [(f" {key} ", "bold"), (" " + pad(fit(name, NAME_WIDTH), NAME_WIDTH), ""), (shown, "dim")]


class Choose(ModalScreen[str]):
    """Answers with the key of what was chosen, "" for escape."""

    def __init__(self, title: str, choices: Sequence[Choice], ellipsis: str = "…") -> None:
        super().__init__()
        self._title = title
        self._choices = choices
        self._ellipsis = ellipsis

    def compose(self) -> ComposeResult:
        with Vertical(id="choose"):
            yield Static(Content.styled(clean(self._title), "bold"), markup=False)
            yield _Choices(self._choices, self._ellipsis)
            yield Static(Content.assemble(("enter", "bold"), " or its key   ", ("esc", "bold"), " back"), markup=False)

    def on_mount(self) -> None:
        view = self.query_one(_Choices)
        view.styles.height = len(self._choices)
        self.set_focus(view)

    def on_key(self, event: events.Key) -> None:
        if event.key == "escape":
            event.stop()
            self.dismiss("")
        elif event.character is not None and event.character in (choice.key for choice in self._choices):
            event.stop()
            self.dismiss(event.character)

    def on_line_view_chosen(self, message: LineView.Chosen) -> None:
        message.stop()
        self.dismiss(self._choices[message.view.cursor].key)
