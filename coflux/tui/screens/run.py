"""A run: its tree, and beside or in place of it what there is to know about it, a tab each."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import ContentSwitcher, Input, Static

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
from coflux.tui.peek import paint_peek
from coflux.tui.run_layout import PARTS, Layout, Part
from coflux.tui.screens.parts import PartsScreen
from coflux.tui.screens.step import StepScreen
from coflux.tui.text import clean
from coflux.tui.timeline import TimeWindow
from coflux.tui.tree import PROBLEMS, UNFINISHED, Kind, Node, RunTree, Show
from coflux.tui.updates import DetailsAsked
from coflux.tui.ways import first_problem
from coflux.tui.widgets.axis_line import AxisLine
from coflux.tui.widgets.key_bar import Hint, KeyBar
from coflux.tui.widgets.lanes_view import LanesView
from coflux.tui.widgets.line_view import LineView
from coflux.tui.widgets.one_line import OneLine
from coflux.tui.widgets.peek import Peek
from coflux.tui.widgets.rail import RunsRail
from coflux.tui.widgets.tree_view import TreeView

__all__ = ["RunScreen"]


class RunScreen(PartsScreen, StepScreen):
    TITLE = "A run"
    PROSE = (
        "The tree of its steps: each below the one that called it. Beside it, what is known of the step under the\n"
        "cursor, the log, and when everything happened. With a wide terminal the newest runs are at the left, and\n"
        "bars of time on the rows of the tree."
    )

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "back", id="run.back"),
        *(Binding(str(number), f"tab({number})", "", show=False, id=f"run.tab{number}") for number in range(1, 7)),
        Binding("right_square_bracket", "next_tab(1)", "next tab", show=False, id="run.next_tab"),
        Binding("left_square_bracket", "next_tab(-1)", "previous tab", show=False, id="run.previous_tab"),
        Binding("slash", "search", "search", id="run.search", priority=True),
        Binding("L", "log", "log", show=False, id="run.log"),
        Binding("plus", "zoom_time(True)", "zoom into the time", show=False, id="time.zoom_in"),
        Binding("minus", "zoom_time(False)", "zoom out of the time", show=False, id="time.zoom_out"),
        Binding("less_than_sign", "pan_time(-1)", "earlier time", show=False, id="time.earlier"),
        Binding("greater_than_sign", "pan_time(1)", "later time", show=False, id="time.later"),
        Binding("0", "fit_time", "all of the time", show=False, id="time.fit"),
        Binding("R", "rerun", "re-run", id="run.rerun"),
        Binding("c", "resume", "resume", id="run.resume"),
        Binding("x", "cancel", "cancel", id="run.cancel"),
        Binding("X", "cancel_run", "cancel run", show=False, id="run.cancel_run"),
    ]

    def compose(self) -> ComposeResult:
        app = self.dashboard
        self._window = TimeWindow()
        self._panes: list[Pane] = [
            InfoPane(),
            LogsPane(app.glyphs),
            MetricsPane(app.state.metrics, app.glyphs),
            TimelinePane(app.glyphs, app.clock, self._window),
            AssetsPane(app.state.assets, app.glyphs),
        ]
        yield OneLine(id="head")
        with Horizontal(id="body"):
            yield RunsRail(app.state.runs, app.glyphs, app.clock)
            with Vertical(id="tree-box"):
                tree = TreeView(RunTree(), app.glyphs, app.clock, self._window, id="tree")
                yield AxisLine(self._window, lambda: tree.bars_width)
                yield tree
                yield Peek()
            with Vertical(id="side"):
                yield OneLine(id="tabs")
                with ContentSwitcher(initial=self._panes[0].NAME):
                    yield from self._panes
        yield Input(id="search", compact=True, placeholder="search", select_on_focus=False)
        yield KeyBar(id="keys")
        yield Static("enlarge the window", id="tiny", markup=False)

    def on_mount(self) -> None:
        self._tree = self.query_one("#tree", TreeView)
        self._rail = self.query_one(RunsRail)
        self._time = self.query_one(TimelinePane)
        self._tree.twin, self._time.view.twin = self._time.view, self._tree
        self._field = self.query_one("#search", Input)
        self._shown: OpenRun | None = None
        self._had_failed: bool | None = None  # when it was opened; `None` until that is read
        self._told: tuple[object, ...] = ()  # to which pane, of which run and node
        self._searches_pane = False
        self._goal: tuple[str, int] | None = None  # a step that the cursor is to go to, in the run that is open
        self._peeked = ""  # the execution whose result was asked for
        self.bring(self.front)
        self.ready = True
        self.flush()

    # -- the parts ---------------------------------------------------------------------------------------------------

    def box_of(self, part: Part) -> Widget:
        return self.query_one({"tree": "#tree-box", "side": "#side", "rail": "#rail"}[part])

    def body_of(self, part: Part) -> Widget:
        return {"tree": self._tree, "side": self._pane.body, "rail": self._rail}[part]

    @property
    def is_typing(self) -> bool:
        return bool(self._field.display and self._field.has_focus)

    def show_parts(self, layout: Layout) -> None:
        for name in ("head", "body", "keys"):
            self.query_one(f"#{name}").display = bool(layout.parts)
        self.query_one("#tiny").display = not layout.parts
        for part in PARTS:
            self.box_of(part).display = part in layout.parts
        self.query_one("#tree-box > AxisLine").display = self._tree.bars = layout.bars
        self.query_one(Peek).display = layout.peek
        self.box_of("side").set_class(not layout.tree, "-alone")
        # Beside the tree the timeline has bars only, on the very rows of the tree.
        aligned = layout.tree and self._is_seen(self._time) and not self._time.by_worker
        self.box_of("tree").set_class(aligned, "-aligned")
        self._time.view.bare = aligned

    def part_brought(self) -> None:
        self._tell_pane()
        self._draw()

    # -- drawing -----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        run = self.state.run
        if run is None:
            return
        if self._shown is not run:
            self._shown, self._had_failed = run, None
            self._window.fit()
            self._tree.load(run.tree, run.waits.spans)
        self._see_time(run)
        self._tree.flush()
        self._go_to_failure(run)
        self._go_to_goal()
        self._rail.show(run.id)
        self._tell_pane()
        if self._is_seen(self._pane):
            self._pane.flush()
        self._draw()
        super().flush()

    def tick(self) -> None:
        if self.state.run is not None:
            self._see_time(self.state.run)
        self._tree.tick()
        self._rail.tick()
        if self.state.run is not None and self._is_seen(self._pane):
            self._pane.tick()
        self._draw()

    def _go_to_failure(self, run: OpenRun) -> None:
        """In a run that had failed when it was opened, the cursor is on what failed first, until it is moved. The run
        comes in portions."""
        if run.row is not None and self._had_failed is None:
            self._had_failed = run.row.status in PROBLEMS
        if self._had_failed and self._tree.untouched and (found := first_problem(run.tree)) is not None:
            self._tree.place_on(found)

    def _see_time(self, run: OpenRun) -> None:
        """Follow the time of the run, and paint all bars again if another part of it is shown."""
        if run.row is None:
            return
        before, now = self._window.shown, self.dashboard.clock()
        ended = max(run.row.finished_at, run.tree.ended) if run.row.settled and run.row.finished_at else None
        self._window.set_run(run.row.created_at, ended, now)
        if self._window.shown != before:
            self._repaint_time()

    def _repaint_time(self) -> None:
        if self.layout_now.bars:
            self._tree.lines_changed()
            self.query_one("#tree-box > AxisLine").refresh()
        if self._is_seen(self._time):
            self._time.repaint()

    @property
    def _pane(self) -> Pane:
        current = self.query_one(ContentSwitcher).current
        return next(pane for pane in self._panes if current == pane.NAME)

    def _is_seen(self, pane: Pane) -> bool:
        return pane is self._pane and self.layout_now.side

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
            if self.layout_now.peek:
                self._draw_peek(self.state.run)

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
        if run.tree.text:
            parts.append((f"  /{clean(run.tree.text, 40)}/ {len(run.tree.found):,} found ", "yellow"))
        if run.tree.show is not Show.ALL:
            parts.append((f"  only {run.tree.show.value} ", "yellow"))
        if self._tree.follows:
            parts.append(("  following ", "cyan"))
        return Content.assemble(*parts)

    def _draw_peek(self, run: OpenRun) -> None:
        node, app = self._node, self.dashboard
        if node is None:
            return
        row = (node.shared or node).execution
        wanted = "" if row is None or row.finished_at is None else row.id
        if wanted and wanted != self._peeked:  # what it returned
            app.ask(DetailsAsked(wanted))
        self._peeked = wanted
        lines = paint_peek(run.tree, node, self.state.details, self.size.width, app.clock(), app.glyphs)
        self.query_one(Peek).show(lines)

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
            ("f", "following" if self._tree.follows else "follow", "follow"),
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
        if isinstance(message.view, TreeView):
            self._tell_pane()
        self._draw()

    def on_line_view_chosen(self, message: LineView.Chosen) -> None:
        if isinstance(message.view, TreeView):
            self._open(self.info)
        elif message.view is self._rail and (run := self._rail.run) is not None:
            self.bring("tree")
            if self.state.run is None or run.id != self.state.run.id:
                self.dashboard.open_run(run.id)

    def on_timeline_pane_turned(self) -> None:
        self.bring(self.front)

    def on_lanes_view_looked(self, message: LanesView.Looked) -> None:
        self._tree.go_to(message.node)

    def action_back(self) -> None:
        """Leave what one came into last: the search, a tab, the zoom, the filter, the run."""
        if self._field.display:
            self._search("", typing=False)
            self._end_search()
        elif self.front != "tree":
            self._leave_side()
        elif self.zoomed:
            self.action_zoom()
        elif self._tree.model.text:
            self._tree.filter("")
            self._draw()
        else:
            self.dashboard.close_run()

    def _leave_side(self) -> None:
        self.bring("tree")

    def _open(self, pane: Pane) -> None:
        self.query_one(ContentSwitcher).current = pane.NAME
        self.bring("side")

    def action_tab(self, number: int) -> None:
        if number <= len(self._panes):
            self._open(self._panes[number - 1])

    def action_next_tab(self, by: int) -> None:
        self._open(self._panes[(self._panes.index(self._pane) + by) % len(self._panes)])

    def action_log(self) -> None:
        self._open(self.query_one(LogsPane))

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
        if action in ("zoom_time", "pan_time", "fit_time"):
            return self.ready and (self.layout_now.bars or self._is_seen(self._time))
        return not (isinstance(self.focused, Input) and action in ("search", "other_pane"))

    def action_search(self) -> None:
        """Search the tree, or the tab that has the focus."""
        # At once: `focus()` comes later, and what is typed meanwhile would go to another widget.
        self._searches_pane = self._pane.has_focus_within and self._pane is not self._time
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
        self.bring("side" if self._searches_pane else "tree")

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

    def action_follow(self) -> None:
        self._tree.action_follow()

    async def action_pane(self, action: str) -> None:
        """What a key of the tab does, for a click on its hint."""
        await self._pane.run_action(action)

    # -- the time ----------------------------------------------------------------------------------------------------

    def action_zoom_time(self, inwards: bool) -> None:
        """Show less or more of the time, around the step under the cursor."""
        row = None if self._node is None else self._node.execution
        self._window.zoom(inwards, None if row is None else row.started_at)
        self._repaint_time()

    def action_pan_time(self, direction: int) -> None:
        self._window.pan(direction)
        self._repaint_time()

    def action_fit_time(self) -> None:
        self._window.fit()
        self._repaint_time()

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
