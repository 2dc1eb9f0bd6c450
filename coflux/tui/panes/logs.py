"""The log of a run or of the step under the cursor."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget

from coflux.executor import log_values
from coflux.logs import Level, render
from coflux.tui.open_run import OpenRun
from coflux.tui.painting import Glyphs, Piece
from coflux.tui.panes.base import Pane
from coflux.tui.text import clean
from coflux.tui.tree import Kind, Node
from coflux.tui.updates import LogFilter, LogPageAsked, LogsAsked
from coflux.tui.widgets.log_view import LogView

__all__ = ["LogsPane"]

LEVELS = (Level.DEBUG, Level.INFO, Level.WARNING, Level.ERROR)  # from which on entries are shown


class LogsPane(Pane):
    NAME = "logs"
    TITLE = "Logs"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "level", "level", id="logs.level"),
        Binding("a", "scope", "whole run or step", id="logs.scope"),
    ]

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__(id=self.NAME)
        self._view = LogView(glyphs)
        self._run: OpenRun | None = None
        self._node: Node | None = None
        self._level = Level.DEBUG
        self._text = ""
        self._whole_run = True

    def compose(self) -> ComposeResult:
        yield self._view

    @property
    def body(self) -> Widget:
        return self._view

    def select(self, run: OpenRun, node: Node | None) -> None:
        moved = node is not self._node and not self._whole_run
        again = run is not self._run or moved
        self._run, self._node = run, node
        if again:
            self._ask()
        self.flush()

    def flush(self) -> None:
        assert self._run is not None
        log, view = self.dashboard.state.log, self._view
        began = 0.0 if self._run.row is None else self._run.row.created_at
        if view.model is not log.model:
            view.load(log.model, began, self._run.names)
        if view.began != began:
            view.began = began
            view.lines_changed()
        if log.lines is None or log.lines:
            view.lines_changed(log.lines)
        log.lines = set()
        if log.grew:
            log.grew = False
            view.lines_added()

    def notes(self) -> list[Piece]:
        scope = "whole run" if self._whole_run else "this step"
        level = "" if self._level is Level.DEBUG else f"  {self._level.name.lower()} and above"
        text = f"  /{clean(self._text)}/" if self._text else ""
        return [(f"{scope}{level}{text}  {len(self.dashboard.state.log.model):,}", "dim")]

    def _ask(self) -> None:
        assert self._run is not None
        levels = None if self._level is Level.DEBUG else [level for level in Level if level >= self._level]
        wanted = LogFilter(self._run.id, levels=levels, text=self._text or None)
        if not self._whole_run and self._node is not None and self._node.kind is Kind.STEP:
            (run, step), *_ = self._node.keys
            wanted = wanted._replace(run=run, step=step)
        self.dashboard.ask(LogsAsked(self.dashboard.state.log.open(wanted), wanted))
        self.flush()

    def on_log_view_wanted(self) -> None:
        log = self.dashboard.state.log
        for page, ids in log.model.take_wanted():
            self.dashboard.ask(LogPageAsked(log.number, page, ids))

    def line(self) -> str:
        model = self._view.model
        entry = model.entry(self._view.cursor) if self._view.cursor < len(model) else None
        return "" if entry is None else render(entry.template, log_values.texts(entry.values))

    def searched(self) -> str:
        return self._text

    def search(self, text: str, *, typing: bool) -> None:
        if not typing and text != self._text:
            self._text = text
            self._ask()

    def action_level(self) -> None:
        self._level = LEVELS[(LEVELS.index(self._level) + 1) % len(LEVELS)]
        self._ask()

    def action_scope(self) -> None:
        self._whole_run = not self._whole_run
        self._ask()
