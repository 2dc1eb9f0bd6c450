"""When everything happened, on the rows of the tree."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.widget import Widget

from coflux.tui.open_run import OpenRun
from coflux.tui.painting import Glyphs
from coflux.tui.panes.base import Pane
from coflux.tui.tree import Node
from coflux.tui.widgets.timeline_view import TimelineView

__all__ = ["TimelinePane"]

SHORTEST = 0.001  # seconds that the axis spans


class TimelinePane(Pane):
    NAME = "time"
    TITLE = "Time"

    def __init__(self, glyphs: Glyphs, clock: Callable[[], float]) -> None:
        super().__init__(id=self.NAME)
        self._view = TimelineView(glyphs, clock)
        self._run: OpenRun | None = None

    def compose(self) -> ComposeResult:
        yield self._view

    @property
    def body(self) -> Widget:
        return self._view

    def select(self, run: OpenRun, node: Node | None) -> None:
        self._run = run
        self.flush()

    def flush(self) -> None:
        assert self._run is not None
        row = self._run.row
        if row is not None:
            ends = row.finished_at or self.dashboard.clock()
            self._view.show(self._run.tree, (row.created_at, max(ends, row.created_at + SHORTEST)))

    def tick(self) -> None:
        self.flush()
