"""The metrics of the step under the cursor and of those below it, as charts."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget

from coflux.executor.recorded_metrics import MetricInfo
from coflux.tui.metrics import MetricsState
from coflux.tui.painting import Glyphs, Piece
from coflux.tui.panes.scoped import ScopedPane
from coflux.tui.scope import steps_of
from coflux.tui.text import fit
from coflux.tui.tree_rows import call_text
from coflux.tui.updates import MetricsAsked
from coflux.tui.widgets.charts_view import ChartsView
from coflux.tui.widgets.key_bar import Hint

__all__ = ["MetricsPane"]

STEP_NAME = 28  # cells


class MetricsPane(ScopedPane):
    NAME = "metrics"
    TITLE = "Metrics"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "scope", "step and below, this step, whole run", id="metrics.scope"),
    ]

    def __init__(self, state: MetricsState, glyphs: Glyphs) -> None:
        super().__init__()
        self._state = state
        self._glyphs = glyphs
        self._view = ChartsView(state, glyphs)
        self._asked: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        yield self._view

    @property
    def body(self) -> Widget:
        return self._view

    def leave(self) -> None:
        self._asked = ()
        self.dashboard.ask(MetricsAsked(self._state.number, ""))

    def flush(self) -> None:
        self._view.show(self._step_name, "no metrics" if self._state.read else "")

    def notes(self) -> list[Piece]:
        count = len(self._state.charts) + self._state.more_charts
        return [(f"{self._scope.value}  {count:,}", "dim")]

    def hints(self) -> list[Hint]:
        return [
            ("←→" if self._glyphs.unicode else "hl", "values", "focused.cursor(-1)"),
            ("+-", "zoom", "focused.zoom(True)"),
            ("enter", "maximise", "focused.choose"),
        ]

    def ask(self) -> None:
        """Ask when other steps are meant than before."""
        assert self._run is not None
        steps = steps_of(self._scope, self._node)
        asked = self._run, steps
        if asked != self._asked:
            self._asked = asked
            self.dashboard.ask(MetricsAsked(self._state.open(), self._run.id, steps))

    def _step_name(self, metric: MetricInfo) -> str:
        """What its step is called."""
        node = None if self._run is None else self._run.tree.find(metric.run, metric.step)
        return metric.execution if node is None else fit(call_text(node), STEP_NAME, self._glyphs.ellipsis)
