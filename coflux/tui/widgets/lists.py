"""The lists of the home screen: targets, and runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from coflux.executor.messages import TargetInfo
from coflux.executor.rows import RunRow
from coflux.tui.painting import Glyphs, Piece, paint_run, paint_target
from coflux.tui.runs import RunsModel
from coflux.tui.state import State
from coflux.tui.widgets.line_view import LineView

__all__ = ["RunsView", "TargetsView"]

HISTORY = 12  # runs of a target that are told by their marks


class TargetsView(LineView):
    def __init__(self, state: State, glyphs: Glyphs, clock: Callable[[], float], *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._state = state
        self._glyphs = glyphs
        self._clock = clock

    def count(self) -> int:
        return len(self._state.engine.targets)

    def paint(self, index: int, width: int) -> Sequence[Piece]:
        info = self._state.engine.targets[index]
        runs = self._state.runs.of_target(info.spec.module, info.spec.name, HISTORY)
        return paint_target(info, runs, width, self._clock(), self._glyphs)

    @property
    def target(self) -> TargetInfo | None:
        """The one under the cursor."""
        targets = self._state.engine.targets
        return targets[self.cursor] if self.cursor < len(targets) else None


class RunsView(LineView):
    def __init__(self, runs: RunsModel, glyphs: Glyphs, clock: Callable[[], float], *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._runs = runs
        self._glyphs = glyphs
        self._clock = clock

    def count(self) -> int:
        return len(self._runs.shown)

    def paint(self, index: int, width: int) -> Sequence[Piece]:
        return paint_run(self._runs.shown[index], width, self._clock(), self._glyphs)

    @property
    def run(self) -> RunRow | None:
        """The one under the cursor."""
        shown = self._runs.shown
        return shown[self.cursor] if self.cursor < len(shown) else None

    def flush(self) -> None:
        before = self.run
        if self._runs.layout():
            if before is not None and self.cursor:
                lines = {row.id: line for line, row in enumerate(self._runs.shown)}
                self.cursor = lines.get(before.id, self.cursor)
            self.lines_changed()
