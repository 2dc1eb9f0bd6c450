"""All keys of a screen, with what they do."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from coflux.tui.bindings import Key
from coflux.tui.details import Line
from coflux.tui.widgets.text_view import TextView

__all__ = ["Help"]

KEY_WIDTH = 14  # cells
_HEADINGS = {"here": "What has the focus", "this screen": "This screen", "everywhere": "Everywhere"}


class Help(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1", "dismiss", "back", id="help.leave"),
    ]

    def __init__(self, title: str, prose: str, keys: Sequence[Key], about: Sequence[tuple[str, str]]) -> None:
        """`about` is what else there is to know, as names and values."""
        super().__init__()
        self._title = title
        self._prose = prose
        self._keys = keys
        self._about = about

    def compose(self) -> ComposeResult:
        with Vertical(id="help"):
            yield Static(Content.styled(self._title, "bold"), markup=False)
            yield TextView(id="help-text")
            yield Static(Content.styled("esc back", "dim"), markup=False)

    def on_mount(self) -> None:
        self.set_focus(self.query_one(TextView))

    def on_resize(self) -> None:
        text = self.query_one(TextView)
        width = text.size.width
        text.show(self._write)
        text.styles.height = len(self._write(width))

    def _write(self, width: int) -> list[Line]:
        lines: list[Line] = [[(line, "")] for line in wrap(" ".join(self._prose.split()), max(width, 20))]
        place = ""
        for key in self._keys:
            if key.place != place:
                place = key.place
                lines += [[], [(_HEADINGS[place], "bold")]]
            lines.append([(f" {key.names:<{KEY_WIDTH}} ", "cyan"), (key.does, "")])
        lines.append([])
        lines += [[(f" {name:<{KEY_WIDTH}} ", "dim"), (value, "")] for name, value in self._about]
        return lines
