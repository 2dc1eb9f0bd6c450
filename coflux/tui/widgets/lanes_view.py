"""What workers did, on a row each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message

from coflux.executor.rows import ExecutionRow
from coflux.tui.node import Node
from coflux.tui.painting import Glyphs, Piece
from coflux.tui.text import fit, pad
from coflux.tui.timeline import Lane, TimeWindow, Waits, paint_lane
from coflux.tui.widgets.line_view import LineView

__all__ = ["LanesView"]


class LanesView(LineView):
    """
    Attributes:
        lanes: what is shown.
        chosen: the execution in the cursor's lane that is looked at.
    """

    NAME_WIDTH = 13  # cells

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l", "step(1)", "next step", show=False, id="lanes.next"),
        Binding("left,h", "step(-1)", "previous step", show=False, id="lanes.previous"),
    ]

    class Looked(Message):
        """Another execution was chosen."""

        def __init__(self, node: Node) -> None:
            super().__init__()
            self.node = node

    def __init__(self, glyphs: Glyphs, clock: Callable[[], float], window: TimeWindow) -> None:
        super().__init__(id="lanes")
        self.lanes: Sequence[Lane] = ()
        self.chosen: ExecutionRow | None = None
        self.waits: Waits = {}
        self._glyphs = glyphs
        self._clock = clock
        self._window = window

    @property
    def bars_width(self) -> int:
        return max(self.size.width - self.NAME_WIDTH, 1)

    def show(self, lanes: Sequence[Lane], waits: Waits) -> None:
        self.lanes, self.waits = lanes, waits
        self.lines_changed()

    def count(self) -> int:
        return len(self.lanes)

    def paint(self, index: int, width: int) -> Sequence[Piece]:
        lane = self.lanes[index]
        more = f" +{len(lane.pids) - 1}" if len(lane.pids) > 1 else ""
        name = pad(fit(f" {lane.pids[0]}{more}", self.NAME_WIDTH - 1, self._glyphs.ellipsis), self.NAME_WIDTH - 1)
        chosen = self.chosen if index == self.cursor else None
        bars = paint_lane(
            lane, chosen, self.waits, self._window.shown, width - self.NAME_WIDTH, self._clock(), self._glyphs
        )
        return [(name, ""), (self._glyphs.upright, "dim"), *bars]

    def action_step(self, by: int) -> None:
        """Look at the execution of this lane that comes after or before."""
        if self.cursor >= len(self.lanes):
            return
        executions = self.lanes[self.cursor].executions
        rows = [row for _, row in executions]
        at = 0 if by > 0 else len(rows) - 1
        if self.chosen in rows:
            at = max(0, min(rows.index(self.chosen) + by, len(rows) - 1))
        node, self.chosen = executions[at]
        self.lines_changed((self.cursor,))
        self.post_message(self.Looked(node))
