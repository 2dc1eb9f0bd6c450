"""All keys of a screen, with what they do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from coflux.tui.details import Line
from coflux.tui.widgets.text_view import TextView

__all__ = ["Help"]

KEY_WIDTH = 14  # cells


class Help(ModalScreen[None]):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark", "dismiss", "back", id="help.leave")]

    def __init__(self, title: str, prose: str, keys: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._title = title
        self._lines: list[Line] = [[(line, "")] for line in prose.splitlines()]
        self._lines.append([])
        self._lines += [[(f" {key:<{KEY_WIDTH}}", "bold"), (what, "")] for key, what in keys]

    def compose(self) -> ComposeResult:
        with Vertical(id="help"):
            yield Static(Content.styled(self._title, "bold"), markup=False)
            yield TextView(id="help-text")

    def on_mount(self) -> None:
        self.query_one(TextView).show(lambda width: self._lines)
        self.query_one(TextView).styles.height = len(self._lines)
        self.set_focus(self.query_one(TextView))
