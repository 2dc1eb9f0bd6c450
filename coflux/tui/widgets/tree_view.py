"""The run tree on the screen: the cursor is on a step, wherever that moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from coflux.tui.painting import Glyphs, Piece, paint_tree_row
from coflux.tui.tree import Node, RunTree, Show, TreeRow
from coflux.tui.widgets.line_view import LineView

__all__ = ["TreeView"]


class TreeView(LineView):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l", "open", "unfold", show=False, id="tree.open"),
        Binding("left,h", "close", "fold", show=False, id="tree.close"),
        Binding("space", "fold", "fold", show=False, id="tree.toggle"),
        Binding("e", "problem(False)", "next problem", id="tree.next_problem"),
        Binding("E", "problem(True)", "previous problem", show=False, id="tree.previous_problem"),
        Binding("b", "show", "show", id="tree.show"),
    ]

    def __init__(self, tree: RunTree, glyphs: Glyphs, clock: Callable[[], float], *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.model = tree
        self._glyphs = glyphs
        self._clock = clock
        self._now = 0.0  # at the last tick: what runs looks different once a second, not with every change
        self._lines: dict[Node, int] = {}

    def load(self, tree: RunTree) -> None:
        """Show another run."""
        self.model = tree
        self._now = self._clock()
        self.cursor = self.first = 0
        tree.layout()
        self._index()
        self.lines_changed()

    def count(self) -> int:
        return len(self.model.rows)

    def paint(self, index: int, width: int) -> Sequence[Piece]:
        return paint_tree_row(self.model, self.model.rows[index], width, self._now, self._glyphs)

    @property
    def row(self) -> TreeRow | None:
        """The one under the cursor."""
        rows = self.model.rows
        return rows[self.cursor] if self.cursor < len(rows) else None

    def flush(self) -> None:
        """Bring up to date what has changed in the model."""
        before = self.row
        changed = self.model.take_changed()
        if self.model.layout():
            self._index()
            self._keep_cursor(before)
            self.lines_changed()
        elif changed:
            self.lines_changed([self._lines[node] for node in changed if node in self._lines])

    def tick(self) -> None:
        """Paint what runs again: the time goes by."""
        self._now = self._clock()
        rows = self.model.rows
        self.lines_changed([line for line in self.lines_shown() if rows[line].node.state in ("running", "queued")])

    def _index(self) -> None:
        self._lines = {row.node: line for line, row in enumerate(self.model.rows) if not row.folded and not row.earlier}

    def _keep_cursor(self, before: TreeRow | None) -> None:
        """The cursor stays on its row; if that is gone, on the nearest that it was below."""
        if before is None:
            return
        if before.folded or before.earlier:
            keys = {row.key: line for line, row in enumerate(self.model.rows)}
            line = keys.get(before.key)
        else:
            line = self._lines.get(before.node)
        for node in before.node.ancestors() if line is None else ():
            line = self._lines.get(node)
            if line is not None:
                break
        if line is not None and line != self.cursor:
            self.first += line - self.cursor  # what is on the screen stays where it is
            self.cursor = line

    def go_to(self, node: Node) -> None:
        """Unfold what hides a node, and put the cursor on it."""
        self.model.reveal(node)
        self.flush()
        if node in self._lines:
            self.go(self._lines[node])

    def filter(self, text: str) -> None:
        """Show the steps with this text in their call or problem only, and what leads to them; "" for all."""
        self.model.filter(self.model.show, text)
        self.flush()

    def action_open(self) -> None:
        self._fold(True)

    def action_close(self) -> None:
        row = self.row
        if row is not None and (not row.node.children or not self.model.is_open(row.node)) and row.node.parent:
            self.go(self._lines.get(row.node.parent, self.cursor))
        else:
            self._fold(False)

    def action_fold(self) -> None:
        self._fold(None)

    def action_problem(self, backwards: bool) -> None:
        row = self.row
        found = self.model.next_problem(None if row is None else row.node, backwards)
        if found is None:
            self.app.bell()
        else:
            self.go_to(found)

    def action_show(self) -> None:
        """Show all, then what is active or a problem, then problems only."""
        order = list(Show)
        self.model.filter(order[(order.index(self.model.show) + 1) % len(order)])
        self.flush()

    def action_choose(self) -> None:
        row = self.row
        if row is not None and (row.folded or row.earlier):
            self._fold(None)
        else:
            super().action_choose()

    def _fold(self, to: bool | None) -> None:
        row = self.row
        if row is not None and (row.node.children or row.folded or row.earlier):
            self.model.toggle(row, to)
            self.flush()
