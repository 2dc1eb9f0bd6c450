"""Which file something is to be saved to."""

from __future__ import annotations

import os
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from coflux.tui.text import clean

__all__ = ["SaveAs"]


class SaveAs(ModalScreen[str]):
    """Answers with the path as it was typed, "" for escape."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "back", id="save.leave")]

    def __init__(self, what: str, proposed: str) -> None:
        super().__init__()
        self._what = what
        self._proposed = proposed

    def compose(self) -> ComposeResult:
        with Vertical(id="save"):
            yield Static(Content.styled(clean(f"Save the {self._what} to"), "bold"), markup=False)
            yield Input(self._proposed, compact=True, select_on_focus=False)
            yield Static(Content.styled(clean(f"in {os.getcwd()}"), "dim"), markup=False)
            yield Static(Content.assemble(("enter", "bold"), " save   ", ("esc", "bold"), " back"), markup=False)

    def on_mount(self) -> None:
        self.set_focus(self.query_one(Input))

    def on_input_submitted(self, message: Input.Submitted) -> None:
        message.stop()
        if message.value.strip():
            self.dismiss(message.value.strip())

    def action_leave(self) -> None:
        self.dismiss("")
