"""The run tree on the screen: the cursor is on a step, wherever that moves."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType

from coflux.tui.node import Node, TreeRow
from coflux.tui.painting import Glyphs, Piece
from coflux.tui.timeline import TimeWindow, Waits, paint_bars
from coflux.tui.tree import RunTree, Show
from coflux.tui.tree_rows import paint_name, paint_tree_row
from coflux.tui.ways import next_match, next_problem, running_step
from coflux.tui.widgets.line_view import LineView

__all__ = ["TimelineView", "TreeView"]

BARS_SHARE = 0.42  # of the width


class TreeView(LineView):
    """The tree; with `bars`, the timeline on the same rows.

    A `twin` is another view of the same tree: what is folded in one is in both, and the cursor is on the same row.

    Attributes:
        window: the time that is shown by bars, and `waits` when executions were seen waiting.
        untouched: nobody has moved the cursor since the tree was loaded.
        follows: the cursor goes to the step that runs, until it is moved.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l", "open", "unfold", show=False, id="tree.open"),
        Binding("left,h", "close", "fold", show=False, id="tree.close"),
        Binding("space", "fold", "fold", show=False, id="tree.toggle"),
        Binding("asterisk", "fold_all", "unfold or fold all", show=False, id="tree.toggle_all"),
        Binding("e", "problem(False)", "next problem", id="tree.next_problem"),
        Binding("E", "problem(True)", "previous problem", show=False, id="tree.previous_problem"),
        Binding("n", "match(False)", "next match", show=False, id="tree.next_match"),
        Binding("N", "match(True)", "previous match", show=False, id="tree.previous_match"),
        Binding("f", "follow", "follow what runs", id="tree.follow"),
        Binding("b", "show", "show", id="tree.show"),
    ]

    def __init__(
        self,
        tree: RunTree,
        glyphs: Glyphs,
        clock: Callable[[], float],
        window: TimeWindow,
        *,
        id: str | None = None,  # noqa: A002
    ) -> None:
        super().__init__(id=id)
        self.model = tree
        self.window = window
        self.waits: Waits = {}
        self.twin: TreeView | None = None
        self.bars = False
        self.untouched = True
        self.follows = False
        self._glyphs = glyphs
        self._clock = clock
        self._now = 0.0  # at the last tick: what runs looks different once a second, not with every change

    def load(self, tree: RunTree, waits: Waits) -> None:
        """Show another run."""
        tree.layout()
        for view in self._views:
            view.model, view.waits, view._now = tree, waits, view._clock()
            view.cursor = view.first = 0
            view.untouched, view.follows = True, False
            view.lines_changed()

    def count(self) -> int:
        return len(self.model.rows)

    @property
    def bars_width(self) -> int:
        """In cells, at the right, without the line before them."""
        return int(self.size.width * BARS_SHARE) if self.bars else 0

    def paint(self, index: int, width: int) -> Sequence[Piece]:
        row, bars = self.model.rows[index], self.bars_width
        if bars >= width:
            return self._paint_bars(row, width)
        if not bars:
            return self.paint_left(row, width)
        edge = (self._glyphs.upright, "dim")
        return [*self.paint_left(row, width - bars - 1), edge, *self._paint_bars(row, bars)]

    def paint_left(self, row: TreeRow, width: int) -> list[Piece]:
        return paint_tree_row(self.model, row, width, self._now, self._glyphs)

    def _paint_bars(self, row: TreeRow, width: int) -> list[Piece]:
        if row.for_others:
            return [(" " * width, "")]
        return paint_bars(row.node, self.waits, self.window.shown, width, self._now, self._glyphs)

    @property
    def row(self) -> TreeRow | None:
        """The one under the cursor."""
        rows = self.model.rows
        return rows[self.cursor] if self.cursor < len(rows) else None

    @property
    def _views(self) -> Sequence[TreeView]:
        return (self,) if self.twin is None else (self, self.twin)

    # -- changes -----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Bring up to date what has changed in the model."""
        before = self.row
        changed = self.model.take_changed()
        if self.model.layout():
            self._keep_cursor(before)
            self._repaint()
        elif changed:
            self._repaint(changed)
        if self.follows:
            self._follow()

    def tick(self) -> None:
        """Paint what has not ended again: the time goes by."""
        for view in self._views:
            view._now = view._clock()
            rows = view.model.rows
            view.lines_changed([line for line in view.lines_shown() if rows[line].node.unfinished])

    def _repaint(self, nodes: Collection[Node] | None = None) -> None:
        """Paint the lines of these nodes again, of those on the screen; `None` for all."""
        for view in self._views:
            if nodes is None:
                view.lines_changed()
            else:
                rows = view.model.rows
                view.lines_changed([line for line in view.lines_shown() if rows[line].node in nodes])

    # -- the cursor --------------------------------------------------------------------------------------------------

    def go(self, line: int, *, follow: bool = False) -> None:
        for view in self._views:
            view.untouched = view.follows = False
        super().go(line, follow=follow)
        if self.twin is not None:
            self.twin.mirror(self)

    def mirror(self, other: TreeView) -> None:
        """Put the cursor where it is in another view, and show the same rows if there is as much room for them."""
        before, first = self.cursor, self.first
        self.cursor = other.cursor
        if self.size.height == other.size.height:
            self.first = other.first
        self._clamp()
        self.lines_changed(None if self.first != first else (before, self.cursor))

    def place_on(self, node: Node) -> None:
        """Put the cursor on a node, as if it had always been there; unfold what hides it."""
        if self._line_of(node) is None:
            self.model.reveal(node)
            self.model.layout()
        line = self._line_of(node)
        if line is not None and (line != self.cursor or line not in self.lines_shown()):
            self.cursor = line
            self._clamp()
            if self.twin is not None:
                self.twin.mirror(self)
            self._repaint()
            self.post_message(self.Moved(self))

    def go_to(self, node: Node) -> None:
        """Unfold what hides a node, and put the cursor on it."""
        self.model.reveal(node)
        self.flush()
        line = self._line_of(node)
        if line is not None:
            self.go(line)

    def _line_of(self, node: Node) -> int | None:
        try:
            return self.model.rows.index(node.row)
        except ValueError:
            return None

    def _keep_cursor(self, before: TreeRow | None) -> None:
        """The cursor stays on its row; if that is gone, on the nearest that it was below."""
        if before is None or self.row is before:
            return
        line = self._line_of_row(before)
        for node in before.node.ancestors() if line is None else ():
            line = self._line_of(node)
            if line is not None:
                break
        if line is not None and line != self.cursor:
            for view in self._views:
                view.first += line - self.cursor  # what is on the screen stays where it is
                view.cursor = line

    def _line_of_row(self, row: TreeRow) -> int | None:
        if not row.for_others:
            return self._line_of(row.node)
        return next((line for line, other in enumerate(self.model.rows) if other.key == row.key), None)

    def _follow(self) -> None:
        node = running_step(self.model, None if self.row is None else self.row.node)
        if node is not None:
            self.place_on(node)

    # -- keys --------------------------------------------------------------------------------------------------------

    def filter(self, text: str) -> None:
        """Show the steps with this text in their call or problems only, and what leads to them; "" for all."""
        self.model.filter(self.model.show, text)
        self.flush()
        row = self.row
        found = next_match(self.model, None) if row is None or row.node not in self.model.found else None
        if found is not None:
            self.place_on(found)

    def action_open(self) -> None:
        row = self.row
        if row is not None and row is row.node.row and row.node.children and self.model.is_open(row.node):
            self.go(self.cursor + 1)
        else:
            self._fold(True)

    def action_close(self) -> None:
        row = self.row
        if row is None:
            return
        if row.for_others:
            self.go(self._line_of(row.node) or 0)
        elif (not row.node.children or not self.model.is_open(row.node)) and row.node.parent is not None:
            line = self._line_of(row.node.parent)
            self.go(self.cursor if line is None else line)
        else:
            self._fold(False)

    def action_fold(self) -> None:
        self._fold(None)

    def action_fold_all(self) -> None:
        """Unfold everything; if it is, fold all."""
        self.model.toggle_all()
        self.flush()

    def action_problem(self, backwards: bool) -> None:
        self._go_to_next(next_problem, backwards)

    def action_match(self, backwards: bool) -> None:
        """Go to the next step that was found by the search."""
        self._go_to_next(next_match, backwards)

    def _go_to_next(self, find: Callable[[RunTree, Node | None, bool], Node | None], backwards: bool) -> None:
        row = self.row
        found = find(self.model, None if row is None else row.node, backwards)
        if found is None:
            self.app.bell()
        else:
            self.go_to(found)

    def action_follow(self) -> None:
        """Keep the cursor on the step that runs, or no longer."""
        for view in self._views:
            view.follows = not view.follows
        self.flush()
        self.post_message(self.Moved(self))

    def action_show(self) -> None:
        """Show all, then what is active or a problem, then problems only."""
        order = list(Show)
        self.model.filter(order[(order.index(self.model.show) + 1) % len(order)], self.model.text)
        self.flush()

    def action_choose(self) -> None:
        row = self.row
        if row is not None and row.for_others:
            self._fold(None)
        else:
            super().action_choose()

    def _fold(self, to: bool | None) -> None:
        row = self.row
        if row is not None and (row.node.children or row.for_others):
            self.model.toggle(row, to)
            self.flush()


class TimelineView(TreeView):
    """The timeline with more room for bars: only the names of the tree's rows are beside them, or nothing where the
    same rows of the tree are at their left, and the view is `bare`."""

    bare = False

    @property
    def bars_width(self) -> int:
        return self.size.width if self.bare else self.size.width - max(min(self.size.width // 3, 32), 12)

    def paint_left(self, row: TreeRow, width: int) -> list[Piece]:
        return paint_name(self.model, row, width, self._glyphs)
