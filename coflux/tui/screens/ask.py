"""A question with a few answers, each on a key."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from coflux.tui.text import clean

__all__ = ["Ask"]

Answer = tuple[str, str]
"""The key, and what it answers."""


class Ask(ModalScreen[str]):
    """Answers with the key that was pressed: one of those of `answers`, or "" for escape."""

    def __init__(self, question: str, about: Sequence[str], answers: Sequence[Answer]) -> None:
        super().__init__()
        self._question = question
        self._about = about
        self._answers = answers

    def compose(self) -> ComposeResult:
        with Vertical(id="ask"):
            yield Static(Content.styled(clean(self._question), "bold"), markup=False)
            for line in self._about:
                yield Static(Content.styled(clean(line), "dim"), markup=False)
            yield Static("")
            for key, answer in (*self._answers, ("esc", "back")):
                yield Static(Content.assemble((f"{key:<4}", "cyan bold"), (answer, "")), markup=False)

    def on_key(self, event: events.Key) -> None:
        event.stop()
        if event.key == "escape":
            self.dismiss("")
        elif event.character is not None and event.character in (key for key, _ in self._answers):
            self.dismiss(event.character)
