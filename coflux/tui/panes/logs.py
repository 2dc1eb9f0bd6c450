"""The log of a run, or of the step under the cursor."""

from __future__ import annotations

from enum import Enum
from itertools import islice
from typing import ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from coflux.executor.log_search import Field
from coflux.logs import Level
from coflux.tui.log_painting import Look, Times
from coflux.tui.log_query import parse_moment, parse_search, shown_text
from coflux.tui.open_run import OpenRun
from coflux.tui.painting import Glyphs, Piece
from coflux.tui.panes.base import Pane
from coflux.tui.text import cell_len, clean, fit
from coflux.tui.tree import Kind, Node
from coflux.tui.updates import (
    LogEntriesAsked,
    LogEntryAsked,
    LogFilter,
    LogsAsked,
    LogSearch,
    LogSearchAsked,
    LogTimeAsked,
)
from coflux.tui.widgets.key_bar import Hint
from coflux.tui.widgets.log_bar import LogBar, Part
from coflux.tui.widgets.log_view import LogView

__all__ = ["LogsPane"]

LEVELS = (Level.DEBUG, Level.INFO, Level.WARNING, Level.ERROR)  # from which on entries are shown


class Scope(Enum):
    """Whose entries are shown."""

    RUN = "whole run"
    BELOW = "step and below"
    ATTEMPT = "this attempt"


class Seeking(NamedTuple):
    """A match is looked for from the cursor on, at which one may be as well if `here`."""

    backwards: bool
    here: bool


class LogsPane(Pane):
    NAME = "logs"
    TITLE = "Logs"

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "scope", "run, step, attempt", id="logs.scope"),
        Binding("v", "level(1)", "from which level", id="logs.level"),
        Binding("V", "level(-1)", "level back", show=False, id="logs.level_back"),
        Binding("n", "match(False)", "next match", id="logs.next_match"),
        Binding("N", "match(True)", "previous match", show=False, id="logs.previous_match"),
        Binding("ampersand", "hide", "hide what does not match", id="logs.hide"),
        Binding("T", "times", "which times", id="logs.times"),
        Binding("t", "time", "go to a time", id="logs.time"),
        Binding("s", "step", "go to the step", id="logs.step"),
        Binding("S", "save", "save", id="logs.save"),
        Binding("escape", "close_field", "", show=False, id="logs.close_field"),
    ]

    class StepChosen(Message):
        """The step of the entry under the cursor is to be shown."""

        def __init__(self, run: str, step: int) -> None:
            super().__init__()
            self.run = run
            self.step = step

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__(id=self.NAME)
        self._view = LogView(glyphs)
        self._bar = LogBar()
        self._time = Input(id="log-time", compact=True, placeholder="12:03:22, +30s or -5m", select_on_focus=False)
        self._glyphs = glyphs
        self._run: OpenRun | None = None
        self._node: Node | None = None
        self._scope = Scope.RUN
        self._level = Level.DEBUG
        self._typed = ""
        self._search: LogSearch | None = None
        self._fields: tuple[Field, ...] = ()
        self._hiding = False
        self._times = Times.RUN
        self._error = ""  # in what is typed
        self._named = 0  # how many steps have names
        self._number_width = self._step_width = 0  # of the longest of them
        self._seeking: Seeking | None = None  # a match is to be gone to when it is found

    def compose(self) -> ComposeResult:
        yield self._bar
        yield self._view
        yield self._time

    @property
    def body(self) -> Widget:
        return self._view

    # -- what is shown -----------------------------------------------------------------------------------------------

    def select(self, run: OpenRun, node: Node | None) -> None:
        moved = node is not self._node and self._scope is not Scope.RUN
        again = run is not self._run or moved
        if run is not self._run:
            self._named = self._number_width = self._step_width = 0
        self._run, self._node = run, node
        if again:
            self._ask()
        self.flush()

    def flush(self) -> None:
        if self._run is None:
            return
        log, view = self.dashboard.state.log, self._view
        began = 0.0 if self._run.row is None else self._run.row.created_at
        one_step = self._scope is Scope.ATTEMPT and self._node is not None and self._node.kind is Kind.STEP
        self._measure_names(self._run)
        view.restyle(
            Look(
                view.look.width,
                self._glyphs,
                began,
                self._run.names,
                self._run.id,
                self._number_width,
                self._step_width,
                one_step,
                self._times,
                self._search,
            )
        )
        if log.changed or view.model is not log.model:
            log.changed, added, log.added = False, log.added, 0
            view.take(log.model, added)
            if view.opened:
                view.repaint_unfolded()
        if log.found is not None:
            view.seek(log.found)
            log.found = None
        if self._seeking is not None:
            self._go_to_match(self._seeking)
        self._draw()

    def _measure_names(self, run: OpenRun) -> None:
        """How wide steps are: of those that have come since the last time."""
        if len(run.names) == self._named:
            return
        for (of_run, step), name in islice(run.names.items(), self._named, None):
            number = str(step) if of_run == run.id else f"{of_run}:{step}"
            self._number_width = max(self._number_width, len(number))
            self._step_width = max(self._step_width, len(number) + 1 + cell_len(clean(name, 40)))
        self._named = len(run.names)

    def _ask(self) -> None:
        """Follow other entries."""
        assert self._run is not None
        self._view.keep_place()
        wanted = self._filter(self._run)
        log = self.dashboard.state.log
        self.dashboard.ask(LogsAsked(log.open(wanted), wanted))
        log.model.hiding = self._hiding
        self._ask_for_matches()

    def _filter(self, run: OpenRun) -> LogFilter:
        levels = None if self._level is Level.DEBUG else [level for level in Level if level >= self._level]
        wanted = LogFilter(run.id, levels=levels, fields=self._fields)
        node = None if self._node is None else self._node.shared or self._node
        if node is None or self._scope is Scope.RUN:
            return wanted
        if node.kind is Kind.GROUP:
            key = run.tree.group_key(node)
            return wanted if key is None else wanted._replace(run=key[0], step=key[1], attempt=key[2], group=key[3])
        row = node.execution
        if self._scope is Scope.ATTEMPT and row is not None:
            return wanted._replace(run=row.run, step=row.step, attempt=row.attempt)
        (of_run, step), *_ = node.keys
        return wanted._replace(run=of_run, step=step)

    def _ask_for_matches(self) -> None:
        log = self.dashboard.state.log
        if self._search is not None or log.model.search is not None:
            number = log.model.look_for(self._search)
            self.dashboard.ask(LogSearchAsked(log.number, number, self._search))

    def on_log_view_wanted(self, message: LogView.Wanted) -> None:
        number = self.dashboard.state.log.number
        if message.whole:
            self.dashboard.ask(LogEntryAsked(number, message.ids[0]))
        else:
            self.dashboard.ask(LogEntriesAsked(number, message.ids))

    def on_line_view_moved(self) -> None:
        self._draw()

    # -- the line above ----------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        parts = [
            Part("a", [(self._scope_text(), "")], "scope"),
            Part(
                "v",
                [("all levels" if self._level is Level.DEBUG else f"{self._level.name.lower()} up", "")],
                "level(1)",
            ),
        ]
        if self._error:
            parts.insert(0, Part("/", [(clean(f"{self._typed}: {self._error}", 200), "red")], "screen.search"))
        elif self._typed:
            parts.insert(
                0,
                Part(
                    "/",
                    [(fit(clean(self._typed, 100), 30, self._glyphs.ellipsis), "yellow"), *self._found()],
                    "screen.search",
                ),
            )
            if self._search is not None:
                parts.insert(1, Part("&", [("only matches" if self._hiding else "dimmed", "")], "hide"))
        parts.append(Part("T", [(self._times.value, "")], "times"))
        parts.append(Part("w", [("wrapped" if self._view.wrap else "cut", "")], "wrap"))
        self._bar.show(parts, self._count())

    def _found(self) -> list[Piece]:
        model = self.dashboard.state.log.model
        if self._search is None:
            return []
        more = f"{self._glyphs.ellipsis}" if model.matches_left else ""
        return [(f" {len(model.matches):,}{more}", "")]

    def _count(self) -> list[Piece]:
        model = self.dashboard.state.log.model
        left = f"{1 - model.left:.0%} of " if model.left and model.ids else ""
        return [(f" {left}{len(model.ids) + len(model.live):,}", "dim")]

    def _scope_text(self) -> str:
        if self._scope is Scope.RUN or self._node is None:
            return Scope.RUN.value
        if self._node.kind is Kind.GROUP:
            return "this group"
        row = (self._node.shared or self._node).execution
        return f"attempt {row.attempt}" if self._scope is Scope.ATTEMPT and row is not None else self._scope.value

    def hints(self) -> list[Hint]:
        return [
            ("space", "unfold", "pane('unfold')"),
            *([("n", "next match", "pane('match(False)')")] if self._search is not None else []),
            ("f", "follow", "pane('follow')"),
            ("t", "time", "pane('time')"),
            ("s", "step", "pane('step')"),
            ("S", "save", "pane('save')"),
        ]

    def line(self) -> str:
        """The text under the cursor, for the clipboard."""
        entry = self._view.chosen
        return "" if entry is None else shown_text(entry)

    # -- searching ---------------------------------------------------------------------------------------------------

    def searched(self) -> str:
        return self._typed

    def search(self, text: str, *, typing: bool) -> None:
        """Mark what is looked for. What it takes the whole log to know, is asked for when the text is complete."""
        try:
            search, fields = parse_search(text)
        except ValueError as error:
            self._typed, self._error = text, str(error)
            self._draw()
            return
        self._typed, self._error = text, ""
        model = self.dashboard.state.log.model
        again = search != model.search
        self._search = search
        if typing:
            self.flush()
            return
        if fields != self._fields:
            self._fields = fields
            self._ask()
        elif again:
            self._view.keep_place()
            self._ask_for_matches()
            self._view.relayout()
        self._seeking = Seeking(backwards=True, here=True) if search is not None and again else None
        self.flush()

    def action_match(self, backwards: bool) -> None:
        if self._search is None:
            self.app.bell()
        else:
            self._seeking = Seeking(backwards, here=False)
            self._go_to_match(self._seeking)

    def _go_to_match(self, seeking: Seeking) -> None:
        """Go to the nearest match, as soon as that can be told; then round the end."""
        model, entry_id = self.dashboard.state.log.model, self._view.chosen_id
        if entry_id is None:
            return
        start = entry_id if not seeking.here else entry_id + 1 if seeking.backwards else entry_id - 1
        found = model.match_from(start, backwards=seeking.backwards)
        if found is None and model.matches_left:
            return
        self._seeking = None
        if found is None and model.matches:
            found = model.matches[-1 if seeking.backwards else 0]
        if found is None:
            self.app.bell()
        else:
            self._view.seek(found)

    def action_hide(self) -> None:
        """Show matches only, or all entries with the others dim."""
        self._view.keep_place()
        self._hiding = not self._hiding
        self.dashboard.state.log.model.hiding = self._hiding
        self._view.relayout()
        self._draw()

    # -- going to a time ---------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Escape is the screen's, but for the field."""
        return action != "close_field" or self._time.display

    def action_time(self) -> None:
        self._time.display = True
        self._time.value = ""
        self.screen.set_focus(self._time)

    def action_close_field(self) -> None:
        self._time.display = False
        self.screen.set_focus(self._view)

    def on_input_changed(self, message: Input.Changed) -> None:
        message.stop()

    def on_input_submitted(self, message: Input.Submitted) -> None:
        message.stop()
        assert self._run is not None
        row = self._run.row
        began = self.dashboard.clock() if row is None else row.created_at
        ended = self.dashboard.clock() if row is None or row.finished_at is None else row.finished_at
        try:
            at = parse_moment(message.value, began, ended)
        except ValueError as error:
            self.notify(str(error), severity="warning", markup=False)
            return
        self.dashboard.ask(LogTimeAsked(self.dashboard.state.log.number, at))
        self.action_close_field()

    # -- the other keys ----------------------------------------------------------------------------------------------

    def action_level(self, by: int) -> None:
        self._level = LEVELS[(LEVELS.index(self._level) + by) % len(LEVELS)]
        self._ask()
        self.flush()

    def action_scope(self) -> None:
        scopes = list(Scope)
        if self._node is not None and self._node.kind is Kind.GROUP:
            scopes.remove(Scope.ATTEMPT)
        at = scopes.index(self._scope) if self._scope in scopes else 0
        self._scope = scopes[(at + 1) % len(scopes)]
        self._ask()
        self.flush()

    def action_times(self) -> None:
        kinds = list(Times)
        self._times = kinds[(kinds.index(self._times) + 1) % len(kinds)]
        self.flush()

    def action_step(self) -> None:
        entry = self._view.chosen
        if entry is None:
            self.app.bell()
        else:
            self.post_message(self.StepChosen(entry.run, entry.step))

    def action_save(self) -> None:
        wanted = self.dashboard.state.log.filter
        if wanted is not None:
            self.dashboard.save_log(wanted, self._search if self._hiding else None)

    def action_unfold(self) -> None:
        self._view.action_choose()

    def action_follow(self) -> None:
        self._view.action_follow()

    def action_wrap(self) -> None:
        self._view.action_wrap()
        self._draw()
