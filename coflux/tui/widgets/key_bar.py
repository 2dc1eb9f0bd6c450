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

    def _shown(self) -> list[Hint]:
        """Those that there is room for: the last, which leads to all others, and as many of the first as fit."""
        if not self._hints:
            return []
        *others, last = self._hints
        room = self.size.width - _width(last)
        shown = []
        for hint in others:
            room -= _width(hint)
            if room < 0:
                break
            shown.append(hint)
        return [*shown, last]

    def render(self) -> Content:
        parts: list[tuple[str, str]] = []
        for key, word, _ in self._shown():
            parts += [(f" {key}", "bold"), (f" {word} ", "dim")]
        return Content.assemble(*parts)

    async def on_click(self, event: events.Click) -> None:
        at = 0
        for hint in self._shown():
            end = at + _width(hint)
            if at <= event.x < end:
                await self.screen.run_action(hint[2])
                return
            at = end


def _width(hint: Hint) -> int:
    key, word, _ = hint
    return len(key) + len(word) + 3
