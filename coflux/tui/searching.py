"""The command palette: what it searches on a screen, and what comes of a choice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from textual.dom import DOMNode

from coflux.tui.bindings import keys_of
from coflux.tui.palette import Entry, Kind, command_line, entries_of
from coflux.tui.screens.base import View
from coflux.tui.screens.palette import Palette
from coflux.tui.screens.run import RunScreen
from coflux.tui.state import State

if TYPE_CHECKING:
    from coflux.tui.app import Dashboard

__all__ = ["entries", "open_palette"]

_NO_COMMANDS = ("lines.", "app.palette", "app.search", "app.interrupt")
"""Keys that move a cursor, and those that lead here."""


def open_palette(app: Dashboard, typed: str = "") -> None:
    """Let one thing be found and do it. `typed` is what the field begins with."""
    if not isinstance(app.screen, View):
        return
    found = partial(entries, app.state, _commands(app, app.screen))

    async def choose(entry: Entry | None) -> None:
        if entry is not None:
            await _do(app, entry)

    app.push_screen(Palette(found, app.glyphs, typed=typed), choose)


async def _do(app: Dashboard, entry: Entry) -> None:
    if entry.kind in ("step", "log"):
        app.leave_system()
    match entry.what:
        case (DOMNode() as node, str(action)):
            await app.run_action(action, node)
        case (str(run), int(step)):
            _go_to_step(app, run, step)
        case (str(module), str(name)):
            for target in app.state.engine.targets:
                if (target.spec.module, target.spec.name) == (module, name):
                    app.start(target)
        case str(text) if entry.kind == "log":
            if isinstance(app.screen, RunScreen):
                app.screen.search_log(text)
        case str(run):
            app.open_run(run)


def _go_to_step(app: Dashboard, run: str, step: int) -> None:
    """Put the cursor on a step of the run that is open."""
    node = app.state.run.tree.find(run, step) if app.state.run is not None else None
    if node is not None and isinstance(app.screen, RunScreen):
        app.screen.go_to(node)


def _commands(app: Dashboard, screen: View) -> list[Entry]:
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
