"""What there is to know about the step under the cursor."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widget import Widget

from coflux.tui.details import describe
from coflux.tui.open_run import OpenRun
from coflux.tui.panes.base import Pane
from coflux.tui.tree import Node
from coflux.tui.updates import DetailsAsked
from coflux.tui.widgets.text_view import TextView

__all__ = ["InfoPane"]


class InfoPane(Pane):
    NAME = "info"
    TITLE = "Info"

    def __init__(self) -> None:
        super().__init__(id=self.NAME)
        self._text = TextView()
        self._node: Node | None = None
        self._asked = ""  # the execution whose details were asked for, and its state

    def compose(self) -> ComposeResult:
        yield self._text

    @property
    def body(self) -> Widget:
        return self._text

    def select(self, run: OpenRun, node: Node | None) -> None:
        self._node = node
        self.flush()

    def flush(self) -> None:
        self._ask()
        node, details = self._node, self.dashboard.state.details
        now, glyphs = self.dashboard.clock(), self.dashboard.glyphs
        self._text.show(lambda width: describe(node, details, width, now, glyphs))

    def tick(self) -> None:
        self.flush()

    def _ask(self) -> None:
        """Ask when the cursor is on another execution, or its state is another."""
        shown = None if self._node is None else self._node.shared or self._node
        row = None if shown is None else shown.execution
        wanted = "" if row is None else f"{row.id} {row.status}"
        if wanted != self._asked:
            self._asked = wanted
            if row is not None:
                self.dashboard.ask(DetailsAsked(row.id))
