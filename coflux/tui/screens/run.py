"""A run: its tree, and beside or in place of it what there is to know about the step under the cursor."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import ContentSwitcher, Input, Static

from coflux.display.marks import MARKS
from coflux.display.text import duration
from coflux.logs import Level
from coflux.tui.details import describe
from coflux.tui.painting import counts_text, seconds_of
from coflux.tui.screens.base import View
from coflux.tui.text import clean
from coflux.tui.tree import UNFINISHED, Kind, Node, RunTree
from coflux.tui.updates import DetailsAsked, LogFilter, LogPageAsked, LogsAsked
from coflux.tui.widgets.key_bar import Hint, KeyBar
from coflux.tui.widgets.line_view import LineView
from coflux.tui.widgets.log_view import LogView
from coflux.tui.widgets.text_view import TextView
from coflux.tui.widgets.timeline_view import TimelineView
from coflux.tui.widgets.tree_view import TreeView

__all__ = ["RunScreen"]

TABS = (("info", "Info"), ("logs", "Logs"), ("time", "Time"))
LEVELS = (Level.DEBUG, Level.INFO, Level.WARNING, Level.ERROR)  # from which on entries are shown


class RunScreen(View):
    TITLE = "A run"
    PROSE = (
        "The tree of its steps: each below the one that called it. Beside it, what is known of the step under the\n"
        "cursor, the log, and when everything happened."
    )

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "back", id="run.back"),
        Binding("tab", "other_pane", "pane", show=False, id="run.pane", priority=True),
        Binding("1", "tab('info')", "info", show=False, id="run.info"),
        Binding("2", "tab('logs')", "logs", show=False, id="run.logs"),
        Binding("3", "tab('time')", "timeline", show=False, id="run.timeline"),
        Binding("slash", "filter", "filter", id="run.filter", priority=True),
        Binding("v", "level", "level", show=False, id="run.level"),
        Binding("z", "zoom", "zoom", show=False, id="run.zoom"),
        Binding("a", "scope", "all or step", show=False, id="run.scope"),
        Binding("R", "rerun", "re-run", id="run.rerun"),
        Binding("c", "resume", "resume", id="run.resume"),
        Binding("x", "cancel", "cancel", id="run.cancel"),
        Binding("X", "cancel_run", "cancel run", show=False, id="run.cancel_run"),
    ]

    def compose(self) -> ComposeResult:
        app = self.dashboard
        yield Static(id="head", markup=False)
        with Horizontal(id="body"):
            yield TreeView(RunTree(), app.glyphs, app.clock, id="tree")
            with Vertical(id="side"):
                yield Static(id="tabs", markup=False)
                with ContentSwitcher(initial="info"):
                    yield TextView(id="info")
                    yield LogView(app.glyphs, id="logs")
                    yield TimelineView(app.glyphs, app.clock, id="time")
        yield Input(id="filter", compact=True, placeholder="filter", select_on_focus=False)
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self._tree = self.query_one(TreeView)
        self._info = self.query_one(TextView)
        self._logs = self.query_one(LogView)
        self._time = self.query_one(TimelineView)
        self._level = Level.DEBUG
        self._log_text = ""
        self._shown: object = None
        self._whole_run = True
        self._filters_log = False  # what is typed into the filter
        self._asked = ""  # the execution whose details were asked for
        self.set_focus(self._tree)
        self.ready = True
        self.ready = True
        self.flush()

    # -- drawing -----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        run = self.state.run
        if run is None:
            return
        if self._shown is not run:
            self._shown = run
            self._asked = ""
            self._tree.load(run.tree)
            self._logs.names = run.names
            self._ask_for_log()
        self._tree.flush()
        self._flush_log()
        self._draw()

    def tick(self) -> None:
        self._tree.tick()
        self._draw()

    def _flush_log(self) -> None:
        state = self.state
        if self._logs.model is not state.log:
            row = None if state.run is None else state.run.row
            self._logs.load(state.log, 0.0 if row is None else row.created_at)
        if not self._logs.began and state.run is not None and state.run.row is not None:
            self._logs.began = state.run.row.created_at
            self._logs.lines_changed()
        if state.log_lines is None:
            self._logs.lines_changed()
        elif state.log_lines:
            self._logs.lines_changed(state.log_lines)
        state.log_lines = set()
        if state.log_grew:
            state.log_grew = False
            self._logs.lines_added()

    def _draw(self) -> None:
        app, run = self.dashboard, self.state.run
        if run is None:
            return
        node = self._node
        self._ask_for_details(node)
        details, now = self.state.details, app.clock()
        self._info.show(lambda width: describe(node, details, width, now, app.glyphs))
        if self._time.display and run.row is not None:
            ends = run.row.finished_at or app.clock()
            self._time.show(run.tree, (run.row.created_at, max(ends, run.row.created_at + 0.001)))
        self.query_one("#head", Static).update(self._head())
        self.query_one("#tabs", Static).update(self._tabs())
        self.query_one(KeyBar).show(self.hints())

    def _head(self) -> Content:
        run = self.state.run
        assert run is not None
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
        current = self.query_one(ContentSwitcher).current
        parts = [
            (f" {number} {name} ", "reverse" if key == current else "dim") for number, (key, name) in enumerate(TABS, 1)
        ]
        if current == "logs":
            scope = "whole run" if self._whole_run else "this step"
            level = "" if self._level is Level.DEBUG else f"  {self._level.name.lower()} and above"
            text = f"  /{clean(self._log_text)}/" if self._log_text else ""
            parts.append((f"  {scope}{level}{text}  {len(self.state.log):,}", "dim"))
        return Content.assemble(*parts)

    @property
    def _node(self) -> Node | None:
        row = self._tree.row
        return None if row is None else row.node

    def hints(self) -> list[Hint]:
        return [
            ("e", "next problem", "problem"),
            ("R", "re-run step", "rerun"),
            ("c", "resume", "resume"),
            ("x", "cancel", "cancel"),
            ("b", f"show: {self._tree.model.show.value}", "show"),
            ("1-3", "info logs time", "next_tab"),
            ("/", "filter", "filter"),
            ("esc", "back", "back"),
            ("?", "keys", "app.help"),
        ]

    # -- asking ------------------------------------------------------------------------------------------------------

    def _ask_for_details(self, node: Node | None) -> None:
        """Ask when the cursor is on another execution, or its state is another."""
        shown = None if node is None else node.shared or node
        row = None if shown is None else shown.execution
        wanted = "" if row is None else f"{row.id} {row.status}"
        if wanted != self._asked:
            self._asked = wanted
            if row is not None:
                self.dashboard.ask(DetailsAsked(row.id))

    def _ask_for_log(self) -> None:
        run = self.state.run
        assert run is not None
        levels = None if self._level is Level.DEBUG else [level for level in Level if level >= self._level]
        wanted = LogFilter(run.id, levels=levels, text=self._log_text or None)
        node = self._node
        if not self._whole_run and node is not None and node.kind is Kind.STEP:
            (step_run, step), *_ = node.keys
            wanted = wanted._replace(run=step_run, step=step)
        self.dashboard.ask(LogsAsked(self.state.open_log(wanted), wanted))

    def on_log_view_wanted(self) -> None:
        for page, ids in self.state.log.take_wanted():
            self.dashboard.ask(LogPageAsked(self.state.log_number, page, ids))

    # -- keys --------------------------------------------------------------------------------------------------------

    def on_line_view_moved(self, message: LineView.Moved) -> None:
        if message.view is self._tree:
            self._draw()
            if not self._whole_run:
                self._ask_for_log()

    def on_line_view_chosen(self, message: LineView.Chosen) -> None:
        if message.view is self._tree:
            self.action_tab("info")

    def action_back(self) -> None:
        if self.query_one("#filter", Input).display:
            if not self._filters_log:
                self._tree.filter("")
            self._end_filter()
        elif self.has_class("-side"):
            self.remove_class("-side")
            self.set_focus(self._tree)
        else:
            self.dashboard.close_run()

    def action_other_pane(self) -> None:
        if self._tree.has_focus:
            self.action_tab(self.query_one(ContentSwitcher).current or "info")
        else:
            self.remove_class("-side")
            self.set_focus(self._tree)

    def action_tab(self, name: str) -> None:
        self.query_one(ContentSwitcher).current = name
        self.add_class("-side")
        self.set_focus(self.query_one(f"#{name}"))
        self._draw()

    def action_next_tab(self) -> None:
        names = [name for name, _ in TABS]
        self.action_tab(names[(names.index(self.query_one(ContentSwitcher).current or "info") + 1) % len(names)])

    def action_level(self) -> None:
        self._level = LEVELS[(LEVELS.index(self._level) + 1) % len(LEVELS)]
        self._ask_for_log()
        self._draw()

    # -- the filter --------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Priority bindings come before a text field: a slash that is typed there is text."""
        return not (isinstance(self.focused, Input) and action in ("filter", "other_pane"))

    def action_filter(self) -> None:
        # At once: `focus()` comes later, and what is typed meanwhile would go to another widget.
        self._filters_log = self._logs.display and (self.has_class("-side") or self._logs.has_focus)
        field = self.query_one("#filter", Input)
        field.display = True
        field.value = self._log_text if self._filters_log else ""
        self.set_focus(field)

    def on_input_changed(self, message: Input.Changed) -> None:
        if not message.input.display:
            return
        if not self._filters_log:
            self._tree.filter(message.value)

    def on_input_submitted(self, message: Input.Submitted) -> None:
        if self._filters_log:
            self._log_text = message.value
            self._ask_for_log()
        self._end_filter()

    def _end_filter(self) -> None:
        self.query_one("#filter", Input).display = False
        self.set_focus(self._logs if self._filters_log else self._tree)
        self._draw()

    def action_problem(self) -> None:
        self._tree.action_problem(False)

    def action_show(self) -> None:
        self._tree.action_show()

    def action_zoom(self) -> None:
        self.toggle_class("-zoom")

    def action_scope(self) -> None:
        self._whole_run = not self._whole_run
        self._ask_for_log()
        self._draw()

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
