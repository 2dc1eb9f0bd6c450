"""The user's editor, and how it is told a file and a line."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Editor", "NoEditor", "Place", "editor_of"]


class Place(NamedTuple):
    """An absolute path, and a line of the file, from 1; 0 for none."""

    file: str
    line: int


class NoEditor(Exception):
    """None is set, or what is set makes no sense. The message says what is to be done."""


class Editor(NamedTuple):
    """`words` are those of its command, `in_terminal`: it draws where the dashboard does."""

    words: tuple[str, ...]
    in_terminal: bool

    def command(self, place: Place) -> list[str]:
        """The command that opens a place, by the conventions of the editor; of one that is not known, the file only."""
        file, line = place
        style = _STYLES.get(_name(self.words))
        if style is None or not line:
            return [*self.words, file]
        return [*self.words, *(part.format(file=file, line=line) for part in style.arguments)]


class _Style(NamedTuple):
    arguments: tuple[str, ...]
    in_terminal: bool = True


_PLUS = _Style(("+{line}", "{file}"))
_GOTO = _Style(("--goto", "{file}:{line}"), in_terminal=False)
_COLON = _Style(("{file}:{line}",))
_LINE = _Style(("--line", "{line}", "{file}"), in_terminal=False)
_NAMES = {
    "vi vim nvim view nano pico emacs emacsclient joe jed mg kak ne mcedit micro": _PLUS,
    "gvim gedit": _PLUS._replace(in_terminal=False),
    "code code-insiders codium vscodium cursor windsurf": _GOTO,
    "hx helix": _COLON,
    "subl sublime_text zed zeditor": _COLON._replace(in_terminal=False),
    "pycharm charm idea kate": _LINE,
}
_STYLES = {name: style for names, style in _NAMES.items() for name in names.split()}


def editor_of(environment: Mapping[str, str]) -> Editor:
    """The editor of `$VISUAL`, else of `$EDITOR`.

    Raises:
        NoEditor: neither is set, or the quotes in it are not closed.
    """
    for variable in ("VISUAL", "EDITOR"):
        text = environment.get(variable, "").strip()
        if not text:
            continue
        try:
            words = tuple(shlex.split(text))
        except ValueError as error:
            raise NoEditor(f"${variable} makes no sense: {error} in {text!r}") from None
        style = _STYLES.get(_name(words))
        return Editor(words, style is None or style.in_terminal)
    raise NoEditor("no editor is set: set $VISUAL or $EDITOR, for example `export EDITOR=nano`, and start again")


def _name(words: tuple[str, ...]) -> str:
    """What the editor is called, wherever it is."""
    return os.path.basename(words[0]).removesuffix(".exe")
