"""The lists of the home screen: what can be run, and what has been."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from coflux.executor.messages import ModuleError, TargetInfo
from coflux.executor.rows import RunRow
from coflux.tui.list_painting import HISTORY, name_width, paint_run, paint_target_row
from coflux.tui.painting import Glyphs, Piece
from coflux.tui.runs import Order, RunsModel, is_active
from coflux.tui.state import State
from coflux.tui.targets import Heading, TargetsModel, TargetsRow
from coflux.tui.widgets.line_view import LineView

__all__ = ["RunsView", "TargetsView"]

WIDE = 140  # cells from which on the module of each run is told
NEAR_END = 50  # runs below the cursor, from which on more are asked for


class TargetsView(LineView):
    def __init__(self, state: State, glyphs: Glyphs, clock: Callable[[], float], *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._model: TargetsModel = state.targets
        self._names = self._names_for = -1  # the width of the names, and of the list that it was worked out for
        self._runs = state.runs
        self._glyphs = glyphs
        self._clock = clock

    def count(self) -> int:
        return len(self._model.rows)

    def paint(self, index: int, width: int) -> Sequence[Piece]:
        row, runs = self._model.rows[index], list[RunRow]()
        if isinstance(row, TargetInfo):
            runs = self._runs.of_target(row.spec.module, row.spec.name, HISTORY)
        if width != self._names_for:
            self._names, self._names_for = name_width(self._model.rows, self._model.several, width), width
        return paint_target_row(row, runs, self._names, self._model.several, width, self._clock(), self._glyphs)

    @property
    def row(self) -> TargetsRow | None:
        """The one under the cursor."""
        rows = self._model.rows
        return rows[self.cursor] if self.cursor < len(rows) else None

    @property
    def target(self) -> TargetInfo | None:
        return self.row if isinstance(self.row, TargetInfo) else None

    def flush(self) -> bool:
        """Bring up to date what has changed in the model; the cursor stays on its target. Returns whether rows have."""
        before = self.row
        if not self._model.layout():
            return False
        self._names_for = -1
        places = [_place(row) for row in self._model.rows]
        if before is not None and _place(before) in places:
            self.cursor = places.index(_place(before))
        elif places[:1] == [""]:
            self.cursor = 1
        self.lines_changed()
        return True

    def go(self, line: int, *, follow: bool = False) -> None:
        """As any list, but a heading is passed over."""
        down = line > self.cursor
        line = max(0, min(line, self.count() - 1))
        if self.count() and isinstance(self._model.rows[line], Heading):
            line += 1 if down or line == 0 else -1
        super().go(line, follow=follow)


def _place(row: TargetsRow) -> str:
    match row:
        case Heading():
            return ""
        case ModuleError():
            return f"{row.module}:{row.line}"
        case _:
            return f"{row.spec.module}/{row.spec.name}"


class RunsView(LineView):
    def __init__(
        self,
        runs: RunsModel,
        targets: TargetsModel,
        glyphs: Glyphs,
        clock: Callable[[], float],
        more: Callable[[], None],
        *,
        id: str | None = None,  # noqa: A002
    ) -> None:
        """`more` asks for older runs."""
        super().__init__(id=id)
        self._runs = runs
        self._targets = targets
        self._glyphs = glyphs
        self._clock = clock
        self._more = more
        self._asked_at = -1  # how many were listed when more were asked for

    def count(self) -> int:
        return len(self._runs.shown)

    def paint(self, index: int, width: int) -> Sequence[Piece]:
        row = self._runs.shown[index]
        return paint_run(
            row,
            self._runs.brief(row.id),
            width,
            self._clock(),
            self._glyphs,
            defaults=self._targets.defaults(row.module, row.name),
            module=width >= WIDE or row.name in self._targets.ambiguous,
        )

    @property
    def run(self) -> RunRow | None:
        """The one under the cursor."""
        shown = self._runs.shown
        return shown[self.cursor] if self.cursor < len(shown) else None

    def flush(self) -> bool:
        """Bring up to date what has changed in the model. The cursor stays on its run; at the top, it stays there.
        Returns whether anything has changed."""
        before = self.run
        if not self._runs.layout(self._clock()):
            return False
        if before is not None and self.cursor:
            lines = {row.id: line for line, row in enumerate(self._runs.shown)}
            line = lines.get(before.id, self.cursor)
            self.first += line - self.cursor  # what is on the screen stays where it is
            self.cursor = line
        self.lines_changed()
        return True

    def tick(self) -> None:
        """Time goes by: of what runs, and of how long ago something was."""
        if self._runs.order is Order.DURATION and any(is_active(row) for row in self._runs.shown[:HISTORY]):
            self._runs.filter(self._runs.text)
            self.flush()
        self.lines_changed(self.lines_shown())

    def go(self, line: int, *, follow: bool = False) -> None:
        super().go(line, follow=follow)
        listed = len(self._runs)
        if self._runs.has_more and self.cursor >= self.count() - NEAR_END and self._asked_at != listed:
            self._asked_at = listed
            self._more()
