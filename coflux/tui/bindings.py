"""The keys that work on a screen, as data: for its help, and for the command palette."""

from __future__ import annotations

from typing import Any, NamedTuple

from textual.app import App
from textual.dom import DOMNode
from textual.keys import key_to_character
from textual.screen import Screen

__all__ = ["Key", "key_name", "keys_of"]

_NAMES = {"pagedown": "pgdn", "pageup": "pgup", "escape": "esc", "slash": "/"}


class Key(NamedTuple):
    """A binding: the names of its keys, what it does, and how that is done. `place` is who has it: what has the focus,
    the screen, or the app."""

    names: str
    does: str
    id: str
    action: str
    node: DOMNode
    place: str
    shown: bool
    """Whether it is one of the main things that can be done there."""


def key_name(key: str) -> str:
    """What is printed on it: `?` for `question_mark`."""
    character = key_to_character(key) or ""
    return _NAMES.get(key) or (character if character.isprintable() and character.strip() else key)


def keys_of(screen: Screen[Any]) -> list[Key]:
    """The keys that work now, each binding once: those of what has the focus first, then of the screen, of the app."""
    found: dict[tuple[DOMNode, str, str], Key] = {}
    for key, active in screen.active_bindings.items():
        binding, node = active.binding, active.node
        if not active.enabled or not binding.description or binding.id is None:
            continue
        place = "everywhere" if isinstance(node, App) else "this screen" if isinstance(node, Screen) else "here"
        known = found.get((node, binding.id, binding.action))
        names = key_name(key) if known is None else f"{known.names} {key_name(key)}"
        found[node, binding.id, binding.action] = Key(
            names, binding.description, binding.id, binding.action, node, place, binding.show
        )
    order = {"here": 0, "this screen": 1, "everywhere": 2}
    return sorted(found.values(), key=lambda one: order[one.place])
