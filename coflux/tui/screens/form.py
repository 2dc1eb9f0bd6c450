"""The start form: a line for each parameter of a target."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from coflux.executor.messages import TargetInfo
from coflux.tui.arguments import command_line, problem_of, words_of
from coflux.tui.text import clean

__all__ = ["StartForm"]


class StartForm(ModalScreen[tuple[str, ...] | None]):
    """Answers with the words for the target's parameters, `None` when it is left. `typed` is what the fields begin
    with, `None` for a parameter that is left to its default."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "back", id="form.leave"),
        Binding("ctrl+r", "start", "start", id="form.start", priority=True),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    def __init__(self, target: TargetInfo, typed: list[str | None] | None = None) -> None:
        super().__init__()
        self._target = target
        self._typed = typed or [None] * len(target.parameters)
        self.refusal = ""

    def compose(self) -> ComposeResult:
        spec = self._target.spec
        with Vertical(id="form"):
            yield Static(Content.assemble((f"{spec.module}/{spec.name}", "bold")), markup=False)
            if self._target.doc:
                yield Static(Content.styled(clean(self._target.doc.strip().splitlines()[0]), "dim"), markup=False)
            with VerticalScroll(id="fields"):
                for index, (parameter, typed) in enumerate(zip(self._target.parameters, self._typed, strict=True)):
                    with Horizontal(classes="field"):
                        yield Static(clean(parameter.name), classes="name", markup=False)
                        yield Input(
                            typed or "",
                            placeholder="" if parameter.default is None else clean(parameter.default),
                            id=f"field-{index}",
                            compact=True,
                        )
                        yield Static(clean(parameter.annotation or ""), classes="hint", markup=False)
            yield Static(id="problem", markup=False)
            yield Static(id="command", markup=False)
            yield Static("enter or ctrl+r start   esc back", classes="keys", markup=False)

    def on_mount(self) -> None:
        self._look()
        for field in self.query(Input):
            self.set_focus(field)
            break

    def fields(self) -> list[str | None]:
        """What was typed, by parameter."""
        return [field.value or None for field in self.query(Input)]

    def on_input_changed(self) -> None:
        self.refusal = ""
        self._look()

    def on_input_submitted(self) -> None:
        self.action_start()

    def action_start(self) -> None:
        if not self._look():
            self.dismiss(self._words())

    def action_leave(self) -> None:
        self.dismiss(None)

    def _words(self) -> tuple[str, ...]:
        return words_of(self._target.parameters, self.fields())

    def _look(self) -> str:
        """Show what is wrong, and return it; else the command that does the same."""
        problems = []
        hints = self.query(".hint").results(Static)
        for parameter, text, hint in zip(self._target.parameters, self.fields(), hints, strict=True):
            problem = problem_of(parameter, text)
            hint.update(Content.styled(problem or clean(parameter.annotation or ""), "red" if problem else "dim"))
            if problem:
                problems.append(f"{parameter.name}: {problem}")
        try:
            shown = command_line(self._target.spec, self._words())
        except ValueError as error:  # quotes that are not closed
            problems.append(str(error))
            shown = ""
        self.query_one("#problem", Static).update(Content.styled(self.refusal or "; ".join(problems), "red"))
        self.query_one("#command", Static).update(Content.styled(clean(shown), "dim"))
        return "; ".join(problems)
