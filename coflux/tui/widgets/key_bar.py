"""One line with the keys of what has the focus. Each can be clicked."""

from __future__ import annotations

from textual import events
from textual.content import Content
from textual.widget import Widget

__all__ = ["KeyBar"]

Hint = tuple[str, str, str]
"""The key as it is shown, what it does in a word, and the action."""


class KeyBar(Widget):
    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._hints: list[Hint] = []

    def show(self, hints: list[Hint]) -> None:
        if hints != self._hints:
            self._hints = hints
            self.refresh()

    def render(self) -> Content:
        parts: list[tuple[str, str]] = []
        room = self.size.width
        for key, word, _ in self._hints:
            taken = len(key) + len(word) + 3
            if taken > room:
                break
            room -= taken
            parts += [(f" {key}", "bold"), (f" {word} ", "dim")]
        return Content.assemble(*parts)

    async def on_click(self, event: events.Click) -> None:
        at = 0
        for key, word, action in self._hints:
            end = at + len(key) + len(word) + 3
            if at <= event.x < end:
                await self.screen.run_action(action)
                return
            at = end
