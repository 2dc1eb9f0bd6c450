"""The fields of a start form: a text, or one of a few choices in one line."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from itertools import islice
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input

from coflux.tui.arguments import NOTHING, Given, Slot
from coflux.tui.list_painting import short_value
from coflux.tui.painting import Glyphs
from coflux.tui.text import cell_len, clean, fit

__all__ = ["ChoiceField", "TextField", "field_for"]


def field_for(slot: Slot, given: Given, glyphs: Glyphs, directory: str) -> ChoiceField | TextField:
    """The field in which a parameter is given something. Relative paths start in `directory`."""
    return ChoiceField(slot, given, glyphs) if slot.choices else TextField(slot, given, directory)


class ChoiceField(Widget, can_focus=True):
    """`< fast >`: one of a few, changed with left and right; a letter goes to the next choice that begins with it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,space", "turn(1)", "next choice", show=False, id="choice.next"),
        Binding("left", "turn(-1)", "previous choice", show=False, id="choice.previous"),
        Binding("delete,backspace", "clear", "default", show=False, id="choice.clear"),
    ]

    class Changed(Message):
        """Something else is chosen."""

    def __init__(self, slot: Slot, given: Given, glyphs: Glyphs) -> None:
        super().__init__()
        self.slot = slot
        self._glyphs = glyphs
        self._options: list[Given] = [*slot.meanings(), *(Given(choice) for choice in slot.choices)]
        self._at = 0
        self.fill(given)

    @property
    def given(self) -> Given:
        return self._options[self._at]

    def fill(self, given: Given) -> None:
        """Choose what was given before, if that is still a choice."""
        self._at = self._options.index(given) if given in self._options else 0
        self.refresh()

    def action_turn(self, by: int) -> None:
        self._choose((self._at + by) % len(self._options))

    def action_clear(self) -> None:
        self._choose(0)

    def _choose(self, at: int) -> None:
        self._at = at
        self.refresh()
        self.post_message(self.Changed())

    def on_key(self, event: events.Key) -> None:
        letter = event.character or ""
        if not letter.isalnum():
            return
        for step in range(1, len(self._options) + 1):
            at = (self._at + step) % len(self._options)
            if (self._options[at].text or "").lower().startswith(letter.lower()):
                event.stop()
                self._choose(at)
                return

    def on_click(self, event: events.Click) -> None:
        self.action_turn(-1 if event.x < 2 else 1)

    def render(self) -> Content:
        text, style = _shown(self.slot, self.given)
        before, after = ("‹", "›") if self._glyphs.unicode else ("<", ">")  # noqa: RUF001
        room = self.size.width - 4
        shown = fit(clean(text), room, self._glyphs.ellipsis)
        dots = ""
        if room - cell_len(shown) > len(self._options) + 2:
            full, empty = ("●", "·") if self._glyphs.unicode else ("*", ".")
            dots = "".join(full if at == self._at else empty for at in range(len(self._options)))
        focused = "reverse" if self.has_focus else ""
        return Content.assemble(
            (f"{before} ", "dim"), (shown, f"{style} {focused}".strip()), (f" {after}  ", "dim"), (dots, "dim")
        )

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()


def _shown(slot: Slot, given: Given) -> tuple[str, str]:
    if given.none:
        return "None", "italic"
    if given.text is not None:
        return given.text or '""', ""
    return (slot.parameter.default, "dim") if slot.parameter.default is not None else ("choose", "italic dim")


class TextField(Input):
    """A line of text. While it is empty, `meaning` is what it stands for; deleting in an empty one changes that."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+n", "next_meaning", "empty: default, None, text", show=False, id="field.meaning"),
    ]

    def __init__(self, slot: Slot, given: Given, directory: str) -> None:
        super().__init__(compact=True, suggester=_Paths(directory) if slot.is_path else None)
        self.slot = slot
        self._meanings: Sequence[Given] = slot.meanings()
        self._meaning = 0
        self.fill(given)

    @property
    def given(self) -> Given:
        return Given(self.value) if self.value else self._meanings[self._meaning]

    @property
    def ambiguous(self) -> bool:
        """Whether nothing typed could mean several things."""
        return not self.value and len(self._meanings) > 1

    @property
    def others(self) -> str:
        """What else nothing typed could mean."""
        words = ("default" if one == NOTHING else "None" if one.none else "empty text" for one in self._meanings)
        return ", ".join(word for at, word in enumerate(words) if at != self._meaning)

    def fill(self, given: Given) -> None:
        """Show what was given before."""
        self._meaning = self._meanings.index(given) if given in self._meanings else 0
        self.value = given.text or ""
        self.cursor_position = len(self.value)
        self._show_meaning()

    def action_next_meaning(self) -> None:
        self.value = ""
        self._meaning = (self._meaning + 1) % len(self._meanings)
        self._show_meaning()
        self.post_message(ChoiceField.Changed())

    def action_delete_left(self) -> None:
        if self.value or self._meaning == 0:
            super().action_delete_left()
        else:
            self.action_next_meaning()

    def watch_value(self, value: str) -> None:
        # What is typed into the field of a secret is hidden, unless it is only where that is.
        self.password = self.slot.is_secret and not "env:".startswith(value[:4])

    def _show_meaning(self) -> None:
        meaning = self._meanings[self._meaning]
        if meaning == NOTHING:
            default = self.slot.parameter.default
            self.placeholder = "" if default is None else short_value(clean(default))
        else:
            self.placeholder = "None" if meaning.none else "(empty text)"


ENTRIES = 5000  # of a directory that are looked at


class _Paths(Suggester):
    """The first path by name that begins with what is typed."""

    def __init__(self, directory: str) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._directory = directory

    async def get_suggestion(self, value: str) -> str | None:
        return await asyncio.to_thread(_completed, self._directory, value)


def _completed(directory: str, text: str) -> str | None:
    above, _, begun = text.rpartition("/")
    above += "/" if "/" in text else ""
    if not begun:
        return None
    try:
        with os.scandir(os.path.join(directory, above)) as entries:
            found = [entry for entry in islice(entries, ENTRIES) if entry.name.startswith(begun)]
            best = min(found, key=lambda entry: entry.name, default=None)
            return None if best is None else above + best.name + ("/" if best.is_dir() else "")
    except OSError:
        return None  # not a directory, or not ours to read: nothing to suggest
