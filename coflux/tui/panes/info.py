"""What there is to know about the step under the cursor."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.message import Message
from textual.widget import Widget

from coflux.executor.rows import ExecutionRow
from coflux.tui.details import Fold, Line, Link, Page, ToAttempt, describe
from coflux.tui.open_run import OpenRun
from coflux.tui.painting import Glyphs
from coflux.tui.panes.base import Pane
from coflux.tui.tree import Kind, Node, Rank
from coflux.tui.updates import DetailsAsked
from coflux.tui.widgets.key_bar import Hint
from coflux.tui.widgets.line_view import LineView
from coflux.tui.widgets.text_view import TextView

__all__ = ["InfoPane"]


class InfoPane(Pane):
    NAME = "info"
    TITLE = "Info"

    class Followed(Message):
        """A line was chosen that leads elsewhere."""

        def __init__(self, link: Link) -> None:
            super().__init__()
            self.link = link

    def __init__(self) -> None:
        super().__init__(id=self.NAME)
        self._text = TextView(folds=lambda line: isinstance(self._page.links.get(line), Fold))
        self._page = Page(0, Glyphs(True))
        self._node: Node | None = None
        self._rank: Rank | None = None  # the attempt that is shown, `None` for the newest
        self._unfolded: set[str] = set()
        self._asked = ""  # the execution whose details were asked for, and its state
        self._shown: tuple[object, ...] = ()  # what the page was made of

    def compose(self) -> ComposeResult:
        yield self._text

    @property
    def body(self) -> Widget:
        return self._text

    def row_of(self, node: Node) -> ExecutionRow | None:
        """The attempt of a step that is looked at: the newest, if no other was chosen."""
        step = node.shared or node
        rank = self._rank if node is self._node and self._rank is not None else step.rank
        return step.attempts.get(rank)

    def select(self, run: OpenRun, node: Node | None) -> None:
        if node is not self._node:
            self._node, self._rank = node, None
            self._unfolded = set()
            self._text.rewind()
        self.flush()

    def flush(self) -> None:
        self._ask()
        step = None if self._node is None else self._node.shared or self._node
        attempts = () if step is None else (*step.attempts.values(), step.progress)
        shown = (self._node, self._rank, self.dashboard.state.details, *attempts)
        # A group is looked through from end to end: once a second is enough.
        if shown != self._shown:
            self._shown = shown
            self._write()

    def tick(self) -> None:
        self._ask()
        self._write()

    def browse(self, by: int) -> None:
        """Show an earlier or a later attempt."""
        step = None if self._node is None else self._node.shared or self._node
        if step is None or len(step.attempts) < 2:
            self.app.bell()
            return
        ranks = sorted(step.attempts)
        at = ranks.index(self._rank if self._rank in step.attempts else step.rank)
        self._choose(ranks[max(0, min(at + by, len(ranks) - 1))])

    def look_again(self) -> None:
        """Files may have changed."""
        self._asked = ""
        self._ask()

    def hints(self) -> list[Hint]:
        link = self._page.links.get(self._text.cursor)
        if link is None:
            return []
        return [("enter", "unfold" if isinstance(link, Fold) else "go there", "focused.choose")]

    def on_line_view_chosen(self, message: LineView.Chosen) -> None:
        message.stop()
        self._follow()

    def _follow(self) -> None:
        match self._page.links.get(self._text.cursor):
            case Fold(part):
                self._unfolded ^= {part}
                self._write()
            case ToAttempt(rank):
                self._choose(rank)
            case None:
                pass
            case link:
                self.post_message(self.Followed(link))

    def _choose(self, rank: Rank) -> None:
        """Show an attempt; the newest is followed when there is another."""
        assert self._node is not None
        step = self._node.shared or self._node
        self._rank = None if rank == step.rank else rank
        self._unfolded = set()
        self._text.rewind()
        self.flush()

    def _write(self) -> None:
        self._text.show(self._lines)

    def _lines(self, width: int) -> list[Line]:
        app = self.dashboard
        self._page = describe(
            self._node,
            self._rank,
            app.state.details,
            width,
            app.clock(),
            app.glyphs,
            self._unfolded,
            app.about.root,
        )
        return self._page.lines

    def _ask(self) -> None:
        """Ask when the cursor is on another execution, or its state is another."""
        node = self._node
        row = None if node is None or node.kind is Kind.GROUP else self.row_of(node)
        wanted = "" if row is None else f"{row.id} {row.status} {row.reason}"
        if wanted != self._asked:
            self._asked = wanted
            if row is not None:
                self.dashboard.ask(DetailsAsked(row.id))
