"""A page to be read, above another screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from coflux.tui.details import Line
from coflux.tui.text import clean
from coflux.tui.widgets.key_bar import Hint, KeyBar
from coflux.tui.widgets.page_view import PageView

__all__ = ["Page"]

AROUND = 8  # lines of the screen that are not for the text


class Page(ModalScreen[str]):
    """Lines that are made for a width. Answers with the key that was pressed: one of those of `keys`, or "" for back.

    A key is followed by the word for what it does.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,d", "leave", "back", id="page.leave")]

    def __init__(
        self, title: str, write: Callable[[int], list[Line]], keys: Sequence[tuple[str, str]] = (), style: str = "bold"
    ) -> None:
        super().__init__()
        self._title = title
        self._style = style
        self._write = write
        self._keys = keys

    def compose(self) -> ComposeResult:
        with Vertical(id="page"):
            yield Static(Content.styled(clean(self._title), self._style), id="page-title", markup=False)
            yield PageView(id="page-text")
            yield KeyBar(id="page-keys")

    def on_mount(self) -> None:
        self.set_focus(self.query_one(PageView))
        hints: list[Hint] = [(key, word, f"answer('{key}')") for key, word in self._keys]
        self.query_one(KeyBar).show([*hints, ("esc", "back", "leave")])

    def on_resize(self) -> None:
        view = self.query_one(PageView)
        view.show(self._write)
        view.styles.height = max(min(len(self._write(view.size.width)), self.size.height - AROUND), 1)

    def on_key(self, event: events.Key) -> None:
        if event.character is not None and event.character in (key for key, _ in self._keys):
            event.stop()
            self.action_answer(event.character)

    def action_answer(self, key: str) -> None:
        self.dismiss(key)

    def action_leave(self) -> None:
        self.dismiss("")
