"""What the command palette searches on a screen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from coflux.tui.bindings import keys_of
from coflux.tui.palette import Entry, Kind, command_line, entries_of
from coflux.tui.screens.base import View
from coflux.tui.state import State

if TYPE_CHECKING:
    from coflux.tui.app import Dashboard

__all__ = ["commands_of", "entries"]

_NO_COMMANDS = ("lines.", "app.palette", "app.search", "app.interrupt")
"""Keys that move a cursor, and those that lead here."""


def commands_of(app: Dashboard, screen: View) -> list[Entry]:
    """What can be done on a screen: its keys, what it has no keys for, and the themes."""
    run = app.state.run.id if app.state.run is not None else ""
    commands = []
    for key in sorted(keys_of(screen), key=lambda key: not key.shown):
        if not key.id.startswith(_NO_COMMANDS):
            line = command_line(key.id, run)
            note = f"{line}  {key.names}" if line else key.names
            commands.append(Entry("command", key.does, note, (key.node, key.action)))
    for title, action in screen.commands():
        commands.append(Entry("command", title, "", (screen, action)))
    for name in app.themes_offered:
        now = "in use" if name == app.theme else ""
        commands.append(Entry("command", f"theme: {name}", now, (app, f"theme({name!r})")))
    return commands


def entries(state: State, commands: Iterable[Entry], typed: str, kind: Kind | None) -> Iterator[Entry]:
    """What is searched for what was typed: for `/`, everything but commands, and in the log of the run that is open."""
    if kind in (None, "command"):
        yield from commands
    yield from entries_of(state)
    text = typed.removeprefix("/").strip()
    if state.run is not None and text and kind in (None, "log"):
        yield Entry("log", f"{text}", f"search the log of {state.run.id}", text)
