"""The start form: a line for each parameter of a target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.events import Click, DescendantFocus
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from coflux.executor.messages import TargetInfo
from coflux.tui.arguments import NOTHING, Call, Given, Slot, call_of, command_line, problems_of
from coflux.tui.list_painting import ago
from coflux.tui.state import State
from coflux.tui.text import cell_len, clean, fit
from coflux.tui.updates import PastCall, PastCallsAsked, RememberAsked, Request, StartAsked
from coflux.tui.widgets.fields import ChoiceField, TextField, field_for
from coflux.tui.widgets.key_bar import Hint, KeyBar

if TYPE_CHECKING:
    from coflux.tui.app import Dashboard

__all__ = ["StartForm"]

AROUND = 13  # lines of the screen that are not for the fields
MOST_LINES = 5  # of why a start was refused
MOST_NAME = 24  # cells of a parameter's name


class _Fields(VerticalScroll, inherit_bindings=False):
    """Scrolls to the field that has the focus; the keys that would scroll are the form's."""


class StartForm(ModalScreen[None]):
    """Asks for a run of a target, and stays until it has started. Begins with what was typed last, or with the
    arguments of `run`."""

    TITLE = "Start"
    PROSE = (
        "What the target is called with. An empty field leaves the default, which is shown in it; where nothing typed\n"
        "may also mean None or the empty text, ctrl+n changes that. The engine has the last word."
    )

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "back", id="form.leave"),
        Binding("ctrl+r", "start", "start", id="form.start", priority=True),
        Binding("enter", "start", "start", show=False, id="form.enter"),
        Binding("down", "field(1)", "next field", show=False, id="form.next"),
        Binding(
            "up", "field(-1)", "previous field; above the first, earlier arguments", show=False, id="form.previous"
        ),
        Binding("pageup", "past(1)", "earlier arguments", id="form.earlier"),
        Binding("pagedown", "past(-1)", "later arguments", id="form.later"),
        Binding("ctrl+y", "copy", "copy the command", id="form.copy", priority=True),
        Binding("ctrl+l", "clear", "all defaults", id="form.clear", priority=True),
    ]

    def __init__(self, target: TargetInfo, run: str = "") -> None:
        super().__init__()
        self._target = target
        self._run = run
        self._asked: Request | None = None  # the start that has not been answered
        self._refusal = ""
        self._calls: list[PastCall] = []
        self._call_at = -1  # which of them is shown; -1 for what was typed
        self._typed: list[Given] = []  # while one of them is shown
        self._note = ""  # what of them has no words
        self._touched: set[str] = set()  # parameters whose problems are shown
        self._ready = False  # whether the widgets are there

    @property
    def dashboard(self) -> Dashboard:
        return cast("Dashboard", self.app)

    @property
    def state(self) -> State:
        return self.dashboard.state

    def compose(self) -> ComposeResult:
        app, spec = self.dashboard, self._target.spec
        self._slots = [Slot(parameter, app.directory) for parameter in self._target.parameters]
        typed: Mapping[str, Given] = {} if self._run else self.state.typed.get((spec.module, spec.name), {})
        names = min(max([cell_len(clean(slot.label)) for slot in self._slots], default=0), MOST_NAME)
        with Vertical(id="form"):
            kind = "" if spec.type == "workflow" else " (task)"
            title = [(clean(f"{spec.module}/"), "dim"), (clean(spec.name), "bold"), (kind, "dim")]
            yield Static(Content.assemble(*title), markup=False)
            if self._target.doc.strip():
                doc = clean(self._target.doc.strip().splitlines()[0])
                yield Static(Content.styled(doc, "dim"), id="form-doc", markup=False)
            with _Fields(id="fields", can_focus=False):
                for slot in self._slots:
                    with Horizontal(classes="field"):
                        yield Static(Content.styled("*" if slot.required else " ", "red bold"), classes="needed")
                        label = Static(fit(clean(slot.label), names), classes="name", markup=False)
                        label.styles.width = names + 2
                        yield label
                        yield field_for(slot, typed.get(slot.name, NOTHING), app.glyphs, app.directory)
                        yield Static(classes="hint", markup=False)
                if not self._slots:
                    yield Static(Content.styled("no parameters", "dim"), markup=False)
            yield Static(id="problem", markup=False)
            yield Static(id="command", markup=False)
            yield KeyBar(id="form-keys")

    def on_mount(self) -> None:
        self._fields = [one for one in self.query("*") if isinstance(one, (ChoiceField, TextField))]
        self._hints = list(self.query(".hint").results(Static))
        self._ready = True
        self._look()
        self.dashboard.ask(PastCallsAsked(self._target.spec.module, self._target.spec.name, self._run))
        if self._fields:
            self.set_focus(self._fields[0])

    # -- what has come -----------------------------------------------------------------------------------------------

    def receive(self) -> None:
        """Take in what has come: what was called before, and why the start was refused, or that there is a run."""
        for failed in [one for one in self.state.refused if one.request == self._asked]:
            self.state.refused.remove(failed)
            self._asked, self._refusal = None, failed.why
            self._look()
        if self._asked is not None and any(started.asked == self._asked for started in self.state.started):
            self.dismiss(None)
        self._take_calls()

    def _take_calls(self) -> None:
        calls, spec = self.state.calls, self._target.spec
        if calls is None or calls.asked != PastCallsAsked(spec.module, spec.name, self._run) or self._calls:
            return
        self._calls = list(calls.calls)
        if self._run and self._calls and self._calls[0].run.id == self._run:
            self.action_past(1)
        self._look()

    # -- what is typed -----------------------------------------------------------------------------------------------

    @property
    def entries(self) -> list[Given]:
        """What is given, by parameter."""
        return [field.given for field in self._fields]

    def on_input_changed(self, message: Input.Changed) -> None:
        if isinstance(message.input, TextField) and message.input.has_focus:
            self._change(message.input.slot)

    def on_choice_field_changed(self) -> None:
        focused = self.focused
        if isinstance(focused, (ChoiceField, TextField)):
            self._change(focused.slot)

    def _change(self, slot: Slot) -> None:
        self._touched.add(slot.name)
        self._refusal = ""
        self._look()

    def on_input_submitted(self) -> None:
        self.action_start()

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        self._look()

    def on_resize(self) -> None:
        self.query_one("#fields").styles.max_height = max(self.size.height - AROUND, 1)
        self.call_after_refresh(self._look)

    def on_click(self, event: Click) -> None:
        if event.widget is self.query_one("#command"):
            self.action_copy()

    # -- actions -----------------------------------------------------------------------------------------------------

    def action_field(self, by: int) -> None:
        """Go to the next or previous field; above the first one are earlier arguments."""
        fields: list[ChoiceField | TextField] = self._fields
        at = fields.index(self.focused) if self.focused in fields else 0
        if at + by < 0:
            self.action_past(1)
        elif at + by < len(fields):
            self.set_focus(fields[at + by])

    def action_past(self, by: int) -> None:
        """Fill in the arguments of an earlier run, or what was typed."""
        at = max(-1, min(self._call_at + by, len(self._calls) - 1))
        if at == self._call_at:
            return
        if self._call_at == -1:
            self._typed = self.entries
        self._call_at, self._note, self._refusal = at, "", ""
        entries = self._typed if at == -1 else self._entries_of(self._calls[at])
        for field, given in zip(self._fields, entries, strict=True):
            field.fill(given)
        self._touched = {slot.name for slot in self._slots}
        self._look()

    def _entries_of(self, call: PastCall) -> list[Given]:
        entries, missing = [], []
        for slot in self._slots:
            value = call.arguments.get(slot.name)
            given = slot.given_by(value) if value is not None else NOTHING
            if isinstance(given, str):
                missing.append(f"{slot.name} ({given})")
                given = NOTHING
            entries.append(given)
        gone = call.arguments.keys() - {slot.name for slot in self._slots}
        missing += [f"{name} (no parameter any more)" for name in sorted(gone)]
        self._note = f"left out: {', '.join(missing)}" if missing else ""
        return entries

    def action_clear(self) -> None:
        for field in self._fields:
            field.fill(NOTHING)
        self._call_at, self._note, self._refusal, self._touched = -1, "", "", set()
        self._look()

    def action_start(self) -> None:
        """Start, unless something is wrong, or a start is under way."""
        if self._asked is not None:
            return
        self._touched = {slot.name for slot in self._slots}
        problems = problems_of(self._slots, self.entries)
        wrong = next((at for at, problem in enumerate(problems) if problem), None)
        if wrong is None:
            self._start()
        else:
            self.set_focus(self._fields[wrong])
        self._look()

    def _start(self) -> None:
        spec = self._target.spec
        call = call_of(self._slots, self.entries)
        self._refusal = ""
        self._asked = StartAsked(spec.module, self._file, spec.name, *call)
        kept = {slot.name: given for slot, given in zip(self._slots, self.entries, strict=True) if not slot.is_secret}
        self.state.typed[spec.module, spec.name] = kept
        self.dashboard.ask(RememberAsked(spec.module, spec.name, kept))
        self.dashboard.ask(self._asked)

    @property
    def _file(self) -> str:
        return self.state.engine.file_of(self._target)

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._command())
        self.notify("The command is in the clipboard", markup=False)

    def action_leave(self) -> None:
        self.dismiss(None)

    # -- drawing -----------------------------------------------------------------------------------------------------

    def _command(self) -> str:
        """The command that does the same, with what is right so far."""
        entries = [
            given if not slot.problem(given) and not (slot.is_secret and self._hides(given)) else NOTHING
            for slot, given in zip(self._slots, self.entries, strict=True)
        ]
        call = call_of(self._slots, entries) if entries else Call()
        return command_line(self._target.spec, self._file, call, self.dashboard.directory)

    def _hides(self, given: Given) -> bool:
        return given.text is not None and not given.text.startswith("env:")

    def _look(self) -> None:
        """Show what is wrong, where it is wrong; and the command that does the same."""
        if not self._ready:
            return
        problems = problems_of(self._slots, self.entries)
        shown, ellipsis = "", self.dashboard.glyphs.ellipsis
        for slot, field, hint, problem in zip(self._slots, self._fields, self._hints, problems, strict=True):
            if problem and slot.name in self._touched:
                hint.update(Content.styled(fit(clean(problem), hint.size.width or 24, ellipsis), "red"))
                if not shown or field.has_focus:
                    shown = f"{slot.label}: {problem}"
            elif isinstance(field, TextField) and field.ambiguous and field.has_focus:
                hint.update(Content.assemble(("^n", "bold"), (f" {field.others}", "dim")))
            else:
                annotation = fit(clean(slot.parameter.annotation or ""), hint.size.width or 24, ellipsis)
                hint.update(Content.styled(annotation, "dim"))
        self._show_status(self._refusal or shown)
        self.query_one("#command", Static).update(Content.assemble(("$ ", "dim"), (clean(self._command()), "cyan")))
        self.query_one(KeyBar).show(self.hints())

    def _show_status(self, problem: str) -> None:
        """What is wrong, and where the arguments come from."""
        parts: list[tuple[str, str]] = []
        if self._asked is not None:
            parts.append(("starting", "cyan"))
        elif problem:
            lines = [clean(line) for line in problem.splitlines()]
            parts.append(("\n".join(lines[:MOST_LINES]), "red"))
        if self._call_at >= 0 and self._asked is None:
            parts += [("\n" if parts else "", ""), (clean(self._past_text()), "dim"), (clean(self._note), "yellow")]
        self.query_one("#problem", Static).update(Content.assemble(*parts))

    def _past_text(self) -> str:
        row = self._calls[self._call_at].run
        place = f"{self._call_at + 1} of {len(self._calls)}"
        return f"arguments of {row.id}, {ago(self.dashboard.clock() - row.created_at)} ({place})  "

    def hints(self) -> list[Hint]:
        past: list[Hint] = [("pgup", "earlier arguments", "past(1)")] if self._calls else []
        return [
            ("enter", "start", "start"),
            *past,
            ("^y", "copy command", "copy"),
            ("^l", "defaults", "clear"),
            ("esc", "back", "leave"),
        ]
