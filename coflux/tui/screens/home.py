"""Home: what can be run, and what has been."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from coflux.tui.screens.base import View
from coflux.tui.widgets.key_bar import Hint, KeyBar
from coflux.tui.widgets.line_view import LineView
from coflux.tui.widgets.lists import RunsView, TargetsView
from coflux.tui.widgets.one_line import OneLine

__all__ = ["Home"]


class Home(View):
    TITLE = "Home"
    PROSE = "What can be run, with how its last runs ended and how long they took; below, all runs."

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "other_pane", "pane", show=False, id="home.pane", priority=True),
        Binding("r", "run", "run", id="home.run"),
        Binding("R", "rerun", "re-run", id="home.rerun"),
        Binding("x", "cancel", "cancel", id="home.cancel"),
    ]

    def compose(self) -> ComposeResult:
        app = self.dashboard
        yield OneLine(id="targets-title", classes="title")
        yield TargetsView(app.state, app.glyphs, app.clock, id="targets")
        yield OneLine(id="runs-title", classes="title")
        yield RunsView(app.state.runs, app.glyphs, app.clock, id="runs")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self._targets = self.query_one(TargetsView)
        self._runs = self.query_one(RunsView)
        self._shown_targets: object = None
        self.set_focus(self._targets)
        self.ready = True
        self.flush()

    def flush(self) -> None:
        self._runs.flush()
        if self._shown_targets is not self.state.engine.targets:
            self._shown_targets = self.state.engine.targets
            self._targets.styles.height = max(min(len(self.state.engine.targets), self.size.height // 2 - 2), 1)
            self._targets.lines_changed()
        self._titles()

    def tick(self) -> None:
        self._targets.lines_changed()
        self._runs.lines_changed()
        self._titles()

    def _titles(self) -> None:
        app, state = self.dashboard, self.state
        targets = len(state.engine.targets)
        self.query_one("#targets-title", OneLine).update(app.rule(f"Targets {targets}", self.size.width))
        self.query_one("#runs-title", OneLine).update(app.rule(f"Runs {len(state.runs)}", self.size.width))
        self.query_one(KeyBar).show(self.hints())

    def hints(self) -> list[Hint]:
        return [
            ("enter", "open", "open"),
            ("r", "run…", "run"),
            ("R", "re-run", "rerun"),
            ("x", "cancel", "cancel"),
            ("tab", "pane", "other_pane"),
            (":", "commands", "app.palette"),
            ("?", "keys", "app.help"),
            ("q", "quit", "app.leave"),
        ]

    def action_other_pane(self) -> None:
        self.set_focus(self._runs if self._targets.has_focus else self._targets)

    def action_open(self) -> None:
        focused = self.focused
        if isinstance(focused, LineView):
            focused.action_choose()

    def on_line_view_chosen(self, message: LineView.Chosen) -> None:
        if message.view is self._runs:
            row = self._runs.run
            if row is not None:
                self.dashboard.open_run(row.id)
        else:
            self.action_run()

    def action_run(self) -> None:
        target = self._targets.target
        if target is not None:
            self.dashboard.start(target)

    def action_rerun(self) -> None:
        row = self._runs.run
        if row is not None:
            self.dashboard.rerun(row.id, 1)

    def action_cancel(self) -> None:
        row = self._runs.run
        if row is not None:
            self.dashboard.cancel(row.id, f"{row.module}/{row.name}")
