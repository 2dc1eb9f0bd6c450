"""The newest runs beside the one that is open."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from coflux.executor.rows import RunRow
from coflux.tui.painting import Glyphs, Piece
from coflux.tui.rail import paint_rail_row
from coflux.tui.runs import RunsModel
from coflux.tui.widgets.line_view import LineView

__all__ = ["RunsRail"]

RUNS = 200  # that are listed


class RunsRail(LineView):
    def __init__(self, runs: RunsModel, glyphs: Glyphs, clock: Callable[[], float]) -> None:
        super().__init__(id="rail")
        self._model = runs
        self._glyphs = glyphs
        self._clock = clock
        self._rows: list[RunRow] = []
        self._open = ""  # the run that is

    def show(self, open_run: str) -> None:
        """Bring up to date what has changed. The cursor stays on its run; it starts on the one that is open."""
        rows = self._model.newest(RUNS)
        if rows == self._rows and open_run == self._open:
            return
        before = open_run if open_run != self._open or self.run is None else self.run.id
        self._rows, self._open = rows, open_run
        self.cursor = next((line for line, row in enumerate(rows) if row.id == before), 0)
        self.lines_changed()

    @property
    def run(self) -> RunRow | None:
        """The one under the cursor."""
        return self._rows[self.cursor] if self.cursor < len(self._rows) else None

    def count(self) -> int:
        return len(self._rows)

    def paint(self, index: int, width: int) -> Sequence[Piece]:
        row = self._rows[index]
        return paint_rail_row(row, row.id == self._open, width, self._clock(), self._glyphs)

    def tick(self) -> None:
        """Paint what has not ended again: the time goes by."""
        self.lines_changed([line for line in self.lines_shown() if self._rows[line].finished_at is None])
