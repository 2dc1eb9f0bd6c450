"""When everything happened: on the rows of the tree, or on a row for each worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget

from coflux.tui.node import Node
from coflux.tui.open_run import OpenRun
from coflux.tui.painting import Glyphs, Piece
from coflux.tui.panes.base import Pane
from coflux.tui.timeline import TimeWindow, lanes_of
from coflux.tui.tree import RunTree
from coflux.tui.widgets.axis_line import AxisLine
from coflux.tui.widgets.key_bar import Hint
from coflux.tui.widgets.lanes_view import LanesView
from coflux.tui.widgets.tree_view import TimelineView

__all__ = ["TimelinePane"]


class TimelinePane(Pane):
    """Its rows are those of the tree, and so is its cursor: see `TreeView.twin`."""

    NAME = "time"
    TITLE = "Time"

    BINDINGS: ClassVar[list[BindingType]] = [Binding("w", "lanes", "by worker", id="time.lanes")]

    class Turned(Message):
        """What its rows are has changed."""

    def __init__(self, glyphs: Glyphs, clock: Callable[[], float], window: TimeWindow) -> None:
        super().__init__(id=self.NAME)
        self.view = TimelineView(RunTree(), glyphs, clock, window, id="bars")
        self._lanes = LanesView(glyphs, clock, window)
        self._axis = AxisLine(window, lambda: self.bars_width)
        self._window = window
        self._run: OpenRun | None = None

    def compose(self) -> ComposeResult:
        yield self._axis
        yield self.view
        yield self._lanes

    def on_mount(self) -> None:
        self.view.bars = True
        self._lanes.display = False

    @property
    def body(self) -> Widget:
        return self._lanes if self._lanes.display else self.view

    @property
    def by_worker(self) -> bool:
        return self._lanes.display

    def select(self, run: OpenRun, node: Node | None) -> None:
        self._run = run
        self.tick()

    def tick(self) -> None:
        if self._run is not None and self.by_worker:
            # All executions are gone through: once a second, not with every change.
            self._lanes.show(lanes_of(self._run.tree), self._run.waits.spans)

    @property
    def bars_width(self) -> int:
        """In cells, at the right."""
        return self._lanes.bars_width if self.by_worker else self.view.bars_width

    def repaint(self) -> None:
        """Another time is shown."""
        self.view.lines_changed()
        self._lanes.lines_changed()
        self._axis.refresh()

    def notes(self) -> list[Piece]:
        text = "by worker" if self.by_worker else "by step"
        chosen = self._lanes.chosen
        if self.by_worker and chosen is not None:
            text += f"  {chosen.id}"
        return [(text, "dim"), ("  zoomed" if self._window.is_zoomed else "", "yellow")]

    def hints(self) -> list[Hint]:
        return [
            ("w", "by step" if self.by_worker else "by worker", "pane('lanes')"),
            ("+", "zoom in", "zoom_time(True)"),
            ("-", "out", "zoom_time(False)"),
            ("<", "earlier", "pan_time(-1)"),
            (">", "later", "pan_time(1)"),
            ("0", "all", "fit_time"),
        ]

    def action_lanes(self) -> None:
        """Show a row for each worker, or for each step again."""
        focused = self.has_focus_within
        self._lanes.display = not self._lanes.display
        self.view.display = not self._lanes.display
        if focused:
            self.screen.set_focus(self.body)
        self._axis.refresh()
        self.tick()
        self.post_message(self.Turned())
