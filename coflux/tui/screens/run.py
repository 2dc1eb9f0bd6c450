"""A run: its tree, and beside or in place of it what there is to know about it, a tab each."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import ContentSwitcher, Input

from coflux.display.marks import MARKS
from coflux.display.text import duration
from coflux.tui.open_run import OpenRun
from coflux.tui.painting import counts_text, seconds_of
from coflux.tui.panes.assets import AssetsPane
from coflux.tui.panes.base import Pane
from coflux.tui.panes.info import InfoPane
from coflux.tui.panes.logs import LogsPane
from coflux.tui.panes.metrics import MetricsPane
from coflux.tui.panes.timeline import TimelinePane
from coflux.tui.screens.step import StepScreen
from coflux.tui.text import clean
from coflux.tui.tree import UNFINISHED, Kind, Node, RunTree
from coflux.tui.widgets.key_bar import Hint, KeyBar
from coflux.tui.widgets.line_view import LineView
from coflux.tui.widgets.one_line import OneLine
from coflux.tui.widgets.tree_view import TreeView

__all__ = ["RunScreen"]


class RunScreen(StepScreen):
    TITLE = "A run"
    PROSE = (
        "The tree of its steps: each below the one that called it. Beside it, what is known of the step under the\n"
        "cursor, the log, and when everything happened."
    )

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "back", id="run.back"),
        Binding("tab,shift+tab", "other_pane", "pane", show=False, id="run.pane", priority=True),
        *(Binding(str(number), f"tab({number})", "", show=False, id=f"run.tab{number}") for number in range(1, 7)),
        Binding("right_square_bracket", "next_tab(1)", "next tab", show=False, id="run.next_tab"),
        Binding("left_square_bracket", "next_tab(-1)", "previous tab", show=False, id="run.previous_tab"),
        Binding("slash", "search", "search", id="run.search", priority=True),
        Binding("L", "log", "log", show=False, id="run.log"),
        Binding("z", "zoom", "zoom", show=False, id="run.zoom"),
        Binding("R", "rerun", "re-run", id="run.rerun"),
        Binding("c", "resume", "resume", id="run.resume"),
        Binding("x", "cancel", "cancel", id="run.cancel"),
        Binding("X", "cancel_run", "cancel run", show=False, id="run.cancel_run"),
    ]

    def compose(self) -> ComposeResult:
        app = self.dashboard
        self._panes: list[Pane] = [
            InfoPane(),
            LogsPane(app.glyphs),
            MetricsPane(app.state.metrics, app.glyphs),
            TimelinePane(app.glyphs, app.clock),
            AssetsPane(app.state.assets, app.glyphs),
        ]
        yield OneLine(id="head")
        with Horizontal(id="body"):
            yield TreeView(RunTree(), app.glyphs, app.clock, id="tree")
            with Vertical(id="side"):
                yield OneLine(id="tabs")
                with ContentSwitcher(initial=self._panes[0].NAME):
                    yield from self._panes
        yield Input(id="search", compact=True, placeholder="search", select_on_focus=False)
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self._tree = self.query_one(TreeView)
        self._field = self.query_one("#search", Input)
        self._shown: OpenRun | None = None
        self._told: tuple[object, ...] = ()  # to which pane, of which run and node
        self._searches_pane = False
        self._goal: tuple[str, int] | None = None  # a step that the cursor is to go to, in the run that is open
        self.set_focus(self._tree)
        self.ready = True
        self.flush()

    # -- drawing -----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        run = self.state.run
        if run is None:
            return
        if self._shown is not run:
            self._shown = run
            self._tree.load(run.tree)
        self._tree.flush()
        self._go_to_goal()
        self._tell_pane()
        if self._is_seen(self._pane):
            self._pane.flush()
        self._draw()
        super().flush()

    def tick(self) -> None:
        self._tree.tick()
        if self.state.run is not None and self._is_seen(self._pane):
            self._pane.tick()
        self._draw()

    @property
    def _pane(self) -> Pane:
        current = self.query_one(ContentSwitcher).current
        return next(pane for pane in self._panes if current == pane.NAME)

    def _is_seen(self, pane: Pane) -> bool:
        return pane.display and self.query_one("#side").display

    def _tell_pane(self) -> None:
        """Tell the tab that is seen what it is to show."""
        pane, run, node = self._pane, self.state.run, self._node
        if run is not None and self._is_seen(pane) and self._told != (pane, run, node):
            if self._told and isinstance(self._told[0], Pane) and self._told[0] is not pane:
                self._told[0].leave()
            self._told = (pane, run, node)
            pane.select(run, node)

    def _draw(self) -> None:
        if self.state.run is not None:
            self.query_one("#head", OneLine).update(self._head(self.state.run))
            self.query_one("#tabs", OneLine).update(self._tabs())
            self.query_one(KeyBar).show(self.hints())

    def _head(self, run: OpenRun) -> Content:
        parts: list[tuple[str, str]] = [("Home / ", "dim"), (run.id, "bold")]
        if run.row is not None:
            mark = MARKS[run.row.status]
            seconds = seconds_of(run.row, self.dashboard.clock())
            parts += [
                (f" {clean(f'{run.row.module}/{run.row.name}')} ", "bold"),
                (f"{self.dashboard.glyphs.mark(mark)} {run.row.status.replace('_', ' ')} ", mark.style),
                *counts_text(run.tree.counts, self.dashboard.glyphs),
                ("" if seconds is None else f" {duration(seconds)}", ""),
            ]
        return Content.assemble(*parts)

    def _tabs(self) -> Content:
        current = self._pane
        parts = [
            (f" {number} {pane.TITLE} ", "reverse" if pane is current else "dim")
            for number, pane in enumerate(self._panes, 1)
        ]
        return Content.assemble(*parts, ("  ", ""), *current.notes())

    @property
    def _node(self) -> Node | None:
        row = self._tree.row
        return None if row is None else row.node

    def hints(self) -> list[Hint]:
        own = self._pane.hints() if self._pane.has_focus_within else []
        return [
            *own,
            ("e", "next problem", "problem"),
            ("R", "re-run step", "rerun"),
            ("c", "resume", "resume"),
            ("x", "cancel", "cancel"),
            ("y", "copy", "copy"),
            ("o", "edit", "edit"),
            ("b", f"show: {self._tree.model.show.value}", "show"),
            ("S", "save", "save"),
            ("]", "next tab", "next_tab(1)"),
            ("/", "search", "search"),
            ("esc", "back", "back"),
            (":", "commands", "app.palette"),
            ("?", "keys", "app.help"),
        ]

    # -- keys --------------------------------------------------------------------------------------------------------

    def on_line_view_moved(self, message: LineView.Moved) -> None:
        if message.view is self._tree:
            self._tell_pane()
        self._draw()

    def on_line_view_chosen(self, message: LineView.Chosen) -> None:
        if message.view is self._tree:
            self._open(self.info)

    def action_back(self) -> None:
        if self._field.display:
            self._search("", typing=False)
            self._end_search()
        elif self.has_class("-side"):
            self._leave_side()
        else:
            self.dashboard.close_run()

    def action_other_pane(self) -> None:
        if self._tree.has_focus:
            self._open(self._pane)
        else:
            self._leave_side()

    def _leave_side(self) -> None:
        self.remove_class("-side")
        self.set_focus(self._tree)
        self._draw()

    def _open(self, pane: Pane) -> None:
        self.query_one(ContentSwitcher).current = pane.NAME
        self.add_class("-side")
        self.set_focus(pane.body)
        self._tell_pane()
        self._draw()

    def action_tab(self, number: int) -> None:
        if number <= len(self._panes):
            self._open(self._panes[number - 1])

    def action_next_tab(self, by: int) -> None:
        self._open(self._panes[(self._panes.index(self._pane) + by) % len(self._panes)])

    def action_log(self) -> None:
        self._open(self.query_one(LogsPane))

    async def action_pane(self, action: str) -> None:
        """What a key of the tab does, for a click on its hint."""
        await self._pane.run_action(action)

    def on_logs_pane_step_chosen(self, message: LogsPane.StepChosen) -> None:
        """Put the cursor on the step that an entry of the log is of."""
        node = None if self.state.run is None else self.state.run.tree.find(message.run, message.step)
        if node is None:
            self.app.bell()
            return
        if not self.query_one("#tree").display:
            self._leave_side()
        self._tree.go_to(node)

    # -- the step under the cursor -----------------------------------------------------------------------------------

    @property
    def selected(self) -> Node | None:
        return self._node

    @property
    def info(self) -> InfoPane:
        return self.query_one(InfoPane)

    def show_info(self) -> None:
        if not self._is_seen(self.info):
            self._open(self.info)

    def show_step(self, run: str, step: int) -> None:
        self._goal = (run, step)
        if self.state.run is not None and self.state.run.tree.find(run, step) is None:
            self.dashboard.open_run(run)
        self.flush()

    def line(self) -> str:
        return self._pane.line() if self._pane.has_focus_within else ""

    def _go_to_goal(self) -> None:
        if self._goal is not None and self.state.run is not None:
            found = self.state.run.tree.find(*self._goal)
            if found is not None:
                self._goal = None
                self._tree.go_to(found)

    # -- searching ---------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Priority bindings come before a text field: a slash that is typed there is text."""
        return not (isinstance(self.focused, Input) and action in ("search", "other_pane"))

    def action_search(self) -> None:
        """Search the tree, or the tab that has the focus."""
        # At once: `focus()` comes later, and what is typed meanwhile would go to another widget.
        self._searches_pane = self._pane.has_focus_within
        self._field.display = True
        self._field.value = self._pane.searched() if self._searches_pane else ""
        self.set_focus(self._field)

    def on_input_changed(self, message: Input.Changed) -> None:
        if message.input is self._field and self._field.display:
            self._search(message.value, typing=True)

    def on_input_submitted(self, message: Input.Submitted) -> None:
        if message.input is self._field:
            self._search(message.value, typing=False)
            self._end_search()

    def _search(self, text: str, *, typing: bool) -> None:
        if self._searches_pane:
            self._pane.search(text, typing=typing)
        else:
            self._tree.filter(text)

    def _end_search(self) -> None:
        self._field.display = False
        self.set_focus(self._pane.body if self._searches_pane else self._tree)
        self._draw()

    def go_to(self, node: Node) -> None:
        """Put the cursor on a node of the tree."""
        self._leave_side()
        self._tree.go_to(node)

    def search_log(self, text: str) -> None:
        """Show the lines of the log with this text in them."""
        pane = next(pane for pane in self._panes if isinstance(pane, LogsPane))
        self._open(pane)
        pane.search(text, typing=False)
        self._draw()

    # -- doing -------------------------------------------------------------------------------------------------------

    def action_problem(self) -> None:
        self._tree.action_problem(False)

    def action_show(self) -> None:
        self._tree.action_show()

    def action_zoom(self) -> None:
        self.toggle_class("-zoom")

    def action_rerun(self) -> None:
        node = self._node
        if node is not None and node.kind is Kind.STEP:
            (run, step), *_ = node.keys
            self.dashboard.rerun(run, step)

    def action_resume(self) -> None:
        if self.state.run is not None:
            self.dashboard.rerun(self.state.run.id, 1, resume=True)

    def action_cancel(self) -> None:
        node = self._node
        if node is not None and node.execution is not None:
            below = [f"{count} {state}" for state, count in node.below.items() if count and state in UNFINISHED]
            about = f"with {' and '.join(below)} below it" if below else "nothing below it is unfinished"
            self.dashboard.cancel(node.execution.id, about)

    def action_cancel_run(self) -> None:
        if self.state.run is not None:
            counts = self.state.run.tree.counts
            self.dashboard.cancel(
                self.state.run.id, f"{sum(counts[state] for state in UNFINISHED)} steps are unfinished"
            )
