"""Home: what can be run, and what has been."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input

from coflux.executor.messages import ModuleError, TargetInfo
from coflux.executor.rows import RunRow
from coflux.tui import documents
from coflux.tui.editor import Place
from coflux.tui.painting import Piece
from coflux.tui.runs import Order, Pick, is_active
from coflux.tui.screens.ask import Ask
from coflux.tui.screens.editing import EditingView
from coflux.tui.screens.page import Page
from coflux.tui.text import clean, fit
from coflux.tui.tree import PROBLEMS
from coflux.tui.updates import DiscoverAsked, MoreRunsAsked
from coflux.tui.widgets.key_bar import Hint, KeyBar
from coflux.tui.widgets.line_view import LineView
from coflux.tui.widgets.lists import RunsView, TargetsView
from coflux.tui.widgets.one_line import OneLine
from coflux.tui.widgets.page_view import PageView

__all__ = ["Home"]

LINES_BESIDE = 5  # of the screen, that are neither a target nor a run


class Home(EditingView):
    TITLE = "Home"
    PROSE = (
        "What can be run: name and parameters, how the last run ended and when, how those before it ended and\n"
        "how long they took, and what is usual. Below, all runs, the newest first."
    )

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab,shift+tab", "other_pane", "pane", show=False, id="home.pane", priority=True),
        Binding("slash", "filter", "filter the list", id="home.filter", priority=True),
        Binding("escape", "clear_filter", "clear the filter", show=False, id="home.clear_filter"),
        Binding("r", "run", "run, with other arguments", id="home.run"),
        Binding("R", "rerun", "run again, same arguments", id="home.rerun"),
        Binding("d", "docs", "documentation and options", id="home.docs"),
        Binding("o", "open_editor", "open in the editor", id="home.editor"),
        Binding("u", "look_again", "look for workflows again", id="home.look_again"),
        Binding("x", "cancel", "cancel", id="home.cancel"),
        Binding("c", "resume", "resume", id="home.resume"),
        Binding("b", "pick", "all, active, problems", id="home.pick"),
        Binding("s", "order", "sort", id="home.order"),
        Binding("D", "delete", "delete", show=False, id="home.delete"),
        Binding("C", "clear", "delete all that have finished", show=False, id="home.clear"),
    ]

    def compose(self) -> ComposeResult:
        app = self.dashboard
        yield OneLine(id="targets-title", classes="title")
        yield TargetsView(app.state, app.glyphs, app.clock, id="targets")
        yield PageView(id="empty")
        yield OneLine(id="doc")
        yield OneLine(id="runs-title", classes="title")
        yield RunsView(
            app.state.runs, app.state.targets, app.glyphs, app.clock, lambda: app.ask(MoreRunsAsked()), id="runs"
        )
        yield Input(id="filter", compact=True, placeholder="filter")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self._targets = self.query_one(TargetsView)
        self._runs = self.query_one(RunsView)
        self._empty = self.query_one("#empty", PageView)
        self._field = self.query_one("#filter", Input)
        self._filtered: LineView = self._targets
        self._described: tuple[object, ...] = ()  # what the page of an empty project was made of
        self.set_focus(self._targets)
        self.ready = True
        self.flush()

    # -- drawing -----------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        changed = self._runs.flush()
        if not self._targets.flush() and changed:
            self._targets.lines_changed(self._targets.lines_shown())  # how their last runs ended
        self._arrange()
        self._titles()

    def tick(self) -> None:
        self._targets.lines_changed(self._targets.lines_shown())
        self._runs.tick()
        self._titles()

    def on_resize(self) -> None:
        if self.ready:
            self._arrange()
            self._titles()

    def on_line_view_moved(self, message: LineView.Moved) -> None:
        self._titles()

    def _arrange(self) -> None:
        """Give each list its share of the height; an empty project has a page in place of the list."""
        engine = self.state.engine
        empty = engine.searched and not engine.targets and not engine.errors
        runs = bool(len(self.state.runs))
        if empty != bool(self._empty.display):
            self._empty.display, self._targets.display = empty, not empty
            self.query_one("#doc").display = not empty
            if not empty:
                self.set_focus(self._targets)
        for widget in (self._runs, self.query_one("#runs-title")):
            widget.display = runs or not empty
        if empty:
            self._show_empty(runs)
        rows = len(self.state.targets.rows)
        room = self.size.height - LINES_BESIDE
        wanted = max(min(rows, max(room - self._runs.count(), room // 2)), 1)
        if self._targets.styles.height is None or self._targets.styles.height.value != wanted:
            self._targets.styles.height = wanted

    def _show_empty(self, runs: bool) -> None:
        engine, glyphs = self.state.engine, self.dashboard.glyphs
        made_of = (engine.root, engine.modules, engine.files)
        if made_of != self._described:
            self._described = made_of
            self._empty.show(lambda width: documents.empty_page(engine, width, glyphs))
        if self._targets.has_focus:
            self.set_focus(self._runs if runs else self._empty)

    def _titles(self) -> None:
        app, width = self.dashboard, self.size.width
        self.query_one("#targets-title", OneLine).update(app.rule(self._targets_title(), width, self._targets_notes()))
        self.query_one("#runs-title", OneLine).update(app.rule(self._runs_title(), width, self._runs_notes()))
        self.query_one("#doc", OneLine).update(Content.assemble(*self._doc(width)))
        self.query_one(KeyBar).show(self.hints())

    def _targets_title(self) -> str:
        targets = self.state.targets
        if not self.state.engine.searched:
            return "Workflows"
        tasks = f", {targets.tasks} task{'s' if targets.tasks != 1 else ''}" if targets.tasks else ""
        return f"Workflows {targets.workflows}{tasks}"

    def _targets_notes(self) -> list[Piece]:
        engine = self.state.engine
        notes: list[Piece] = []
        if engine.searching:
            notes.append((f"looking{self.dashboard.glyphs.ellipsis}", "dim"))
        if engine.errors:
            count = len(engine.errors)
            notes.append((f"{count} module{'s do' if count > 1 else ' does'} not import", "red"))
        return [*notes, *self._filter_note(self.state.targets.text)]

    def _runs_title(self) -> str:
        runs = self.state.runs
        total = max(sum(runs.counts.values()), len(runs))
        return f"Runs {total:,}" if len(runs.shown) in (total, len(runs)) else f"Runs {len(runs.shown):,} of {total:,}"

    def _runs_notes(self) -> list[Piece]:
        runs = self.state.runs
        counts: dict[Pick, int | None] = {
            Pick.ALL: None,
            Pick.ACTIVE: sum(runs.counts.get(state, 0) for state in ("queued", "running", "suspended")),
            Pick.PROBLEMS: sum(count for state, count in runs.counts.items() if state in PROBLEMS),
        }
        notes: list[Piece] = [("b:", "dim")]
        for pick, count in counts.items():
            style = "bold" if pick is runs.pick else "red" if pick is Pick.PROBLEMS and count else "dim"
            notes.append((pick.value if count is None else f"{pick.value} {count:,}", style))
        order = [] if runs.order is Order.START else [(f"by {runs.order.value}", "bold")]
        return [*self._filter_note(runs.text), *notes, *order]

    def _filter_note(self, text: str) -> list[Piece]:
        return [(f"/{fit(clean(text), 30)}", "yellow")] if text else []

    def _doc(self, width: int) -> list[Piece]:
        """A line about what is under the cursor of the upper list."""
        row, engine = self._targets.row, self.state.engine
        bar = "┆" if self.dashboard.glyphs.unicode else ":"
        if row is None and not engine.searched:
            return [(f" {bar} looking for workflows{self.dashboard.glyphs.ellipsis}", "dim")]
        match row:
            case TargetInfo():
                text = clean(row.doc.strip().partition("\n")[0]) or "(no docstring)"
                options = [name for name, _ in documents.describe_options(row.spec.options)]
                said = f"  [{', '.join(options)}]" if options else ""
                room = width - 13 - len(said)
                shown = fit(text, room, self.dashboard.glyphs.ellipsis)
                return [(f" {bar} ", "dim"), (shown, "dim"), (said, "cyan"), ("  d", "bold"), (": docs", "dim")]
            case ModuleError():
                return [
                    (f" {bar} ", "dim"),
                    ("enter", "bold"),
                    (": what is wrong  ", "dim"),
                    ("o", "bold"),
                    (": open", "dim"),
                ]
        return []

    def hints(self) -> list[Hint]:
        last: list[Hint] = [(":", "commands", "app.palette"), ("q", "quit", "app.leave"), ("?", "keys", "app.help")]
        if self._runs.has_focus:
            row = self._runs.run
            named: list[Hint] = [("enter", "open", "open"), ("R", "again", "rerun"), ("r", "change", "run")]
            if row is not None and is_active(row):
                named.append(("x", "cancel", "cancel"))
            elif row is not None and row.status != "succeeded":
                named.append(("c", "resume", "resume"))
            return [*named, ("b", "show", "pick"), ("s", "sort", "order"), ("/", "filter", "filter"), *last]
        if self._empty.has_focus:
            return [("u", "look again", "look_again"), *last]
        return [
            ("enter", "run", "open"),
            ("R", "run again", "rerun"),
            ("d", "docs", "docs"),
            ("/", "filter", "filter"),
            ("u", "look again", "look_again"),
            ("tab", "runs", "other_pane"),
            *last,
        ]

    def commands(self) -> list[tuple[str, str]]:
        return [("Delete all runs that have finished", "clear"), ("Look for workflows again", "look_again")]

    # -- the lists ---------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While something is typed, keys are text."""
        if action in ("filter", "other_pane"):
            return self.focused is not self._field
        return super().check_action(action, parameters)

    def action_other_pane(self) -> None:
        upper: LineView = self._empty if self._empty.display else self._targets
        self.set_focus(self._runs if upper.has_focus and self._runs.display else upper)
        self._titles()

    def action_open(self) -> None:
        focused = self.focused
        if isinstance(focused, LineView):
            focused.action_choose()

    def on_line_view_chosen(self, message: LineView.Chosen) -> None:
        if message.view is self._runs:
            row = self._runs.run
            if row is not None:
                self.dashboard.open_run(row.id)
        elif message.view is self._targets:
            if isinstance(self._targets.row, ModuleError):
                self.action_docs()
            elif self._targets.target is not None:
                self.dashboard.start(self._targets.target)

    def on_descendant_focus(self) -> None:
        if self.ready:
            self._titles()

    def action_filter(self) -> None:
        """Filter the list that has the focus, as one types."""
        self._filtered = self._runs if self._runs.has_focus else self._targets
        self._field.value = self.state.runs.text if self._filtered is self._runs else self.state.targets.text
        self._field.display = True
        self.set_focus(self._field)

    def on_input_changed(self, message: Input.Changed) -> None:
        if message.input is self._field and self._field.display:
            self._filter(message.value)

    def on_input_submitted(self) -> None:
        self._field.display = False
        self.set_focus(self._filtered)

    def action_clear_filter(self) -> None:
        """Show everything again."""
        if self._field.display:
            self.on_input_submitted()
        else:
            self._filtered = self._runs if self._runs.has_focus else self._targets
        self._filter("")

    def _filter(self, text: str) -> None:
        if self._filtered is self._runs:
            self.state.runs.filter(text)
        else:
            self.state.targets.filter(text)
        self.flush()

    def action_pick(self) -> None:
        self.state.runs.next_pick()
        self.flush()

    def action_order(self) -> None:
        self.state.runs.next_order()
        self.flush()

    # -- targets -----------------------------------------------------------------------------------------------------

    def action_look_again(self) -> None:
        self.dashboard.ask(DiscoverAsked())

    def action_docs(self) -> None:
        """Show what there is to know about a target, or what is wrong with a module."""
        app, row = self.dashboard, self._targets.row
        if self._runs.has_focus and self._runs.run is not None:
            row = self.state.targets.find(self._runs.run.module, self._runs.run.name)
        if isinstance(row, TargetInfo):
            info = row
            keys = [("r", "run"), ("o", "open in the editor")]
            title = f"{info.spec.module}/{info.spec.name}"
            self._read(Page(title, lambda width: documents.describe_target(info, width, app.glyphs), keys), info)
        elif isinstance(row, ModuleError):
            error = row
            keys = [("u", "look again"), *([("o", "open in the editor")] if error.file else [])]
            page = Page(f"{error.module} does not import", lambda width: documents.describe_error(error, width), keys)
            self._read(page, error)

    def _read(self, page: Page, of: TargetInfo | ModuleError) -> None:
        def answered(key: str | None) -> None:
            match key:
                case "r" if isinstance(of, TargetInfo):
                    self.dashboard.start(of)
                case "o":
                    self._edit(of)
                case "u":
                    self.action_look_again()

        self.app.push_screen(page, answered)

    def action_open_editor(self) -> None:
        row = self._targets.row
        if isinstance(row, (TargetInfo, ModuleError)):
            self._edit(row)

    def _edit(self, of: TargetInfo | ModuleError) -> None:
        if of.file:
            self.edit(Place(of.file, of.line))

    # -- runs --------------------------------------------------------------------------------------------------------

    @property
    def _subject(self) -> RunRow | None:
        """The run that is meant: the one under the cursor, or the newest of the target under it."""
        if self._runs.has_focus:
            return self._runs.run
        target = self._targets.target
        if target is None:
            return None
        return next(iter(self.state.runs.of_target(target.spec.module, target.spec.name, 1)), None)

    def action_run(self) -> None:
        """Show the form of the target; of a run, with its arguments."""
        row = self._runs.run if self._runs.has_focus else None
        target = self._targets.target if row is None else self.state.targets.find(row.module, row.name)
        if target is not None:
            self.dashboard.start(target, "" if row is None else row.id)
        elif row is not None:
            self.dashboard.say("warning", f"{row.module}/{row.name} is not among the targets that were found")

    def action_rerun(self) -> None:
        row = self._subject
        if row is not None:
            self.dashboard.rerun(row.id, 1)
        elif self._targets.target is not None:
            self.dashboard.say("info", "there is no run of it yet: enter starts one")

    def action_resume(self) -> None:
        row = self._subject
        if row is not None:
            self.dashboard.rerun(row.id, 1, resume=True)

    def action_cancel(self) -> None:
        row = self._subject
        if row is None:
            return
        if not is_active(row):
            self.dashboard.say("info", f"{row.id} has ended: there is nothing to cancel")
            return
        steps = self.state.runs.brief(row.id).steps
        running, queued = (steps.get("running", 0), steps.get("queued", 0))
        text = f"{row.module}/{row.name}: {running:,} running, {queued:,} queued"
        spawned = steps.get("spawned", 0)
        called = f", and what its {spawned:,} child run{'s do' if spawned != 1 else ' does'}" if spawned else ""
        self.dashboard.cancel(row.id, text + called)

    def action_delete(self) -> None:
        """Delete the run under the cursor, if that is meant."""
        row = self._runs.run
        if row is None or not self._runs.has_focus:
            return
        if is_active(row):
            self.dashboard.say("info", f"{row.id} is unfinished: cancel it first (x)")
            return
        about = [
            f"{row.module}/{row.name}, {row.status.replace('_', ' ')}",
            "its steps, logs, metrics and files go, too",
        ]
        self._ask_to_delete(f"Delete {row.id}?", about, [row.id])

    def action_clear(self) -> None:
        """Delete all runs of the list that have finished, if that is meant."""
        finished = self.state.runs.finished()
        if not finished:
            self.dashboard.say("info", "nothing in the list has finished")
            return
        problems = sum(row.status in PROBLEMS for row in finished)
        count = f"{len(finished):,} finished run{'s' if len(finished) != 1 else ''}"
        about = [f"all that are listed now, {problems:,} of them with problems", "unfinished ones stay"]
        self._ask_to_delete(f"Delete {count}?", about, [row.id for row in finished])

    def _ask_to_delete(self, question: str, about: list[str], runs: list[str]) -> None:
        def answered(key: str | None) -> None:
            if key == "y":
                self.dashboard.delete(runs)

        self.app.push_screen(Ask(question, about, [("y", "delete")]), answered)
