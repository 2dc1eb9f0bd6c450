"""What can be done with the step under the cursor: copy something of it, save something, open its source."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import ClassVar, get_args

from textual.binding import Binding, BindingType

from coflux.executor.causes import users_frames
from coflux.executor.messages import Failed, Succeeded, TargetInfo
from coflux.tui.clipboard import Copy, copies, fits, has_clipboard, sendable
from coflux.tui.details import ToRun, ToStep
from coflux.tui.editor import Place
from coflux.tui.panes.info import InfoPane
from coflux.tui.screens.ask import Ask
from coflux.tui.screens.choose import Choice, Choose
from coflux.tui.screens.editing import EditingView
from coflux.tui.screens.save_as import SaveAs
from coflux.tui.tree import Kind, Node
from coflux.tui.updates import Details, DetailsAsked, KeepAsked, Saveable, SaveAsked

__all__ = ["StepScreen"]


class StepScreen(EditingView):
    """A screen with a cursor on a step, and a tab with what there is to know about it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("comma", "attempt(-1)", "earlier attempt", show=False, id="step.earlier_attempt"),
        Binding("full_stop", "attempt(1)", "later attempt", show=False, id="step.later_attempt"),
        Binding("y", "copy", "copy…", id="step.copy"),
        Binding("S", "save", "save…", id="step.save"),
        Binding("o", "edit", "open in editor", id="step.edit"),
    ]

    _needed: tuple[str, Callable[[Details], None]] | None = None  # an execution's details, and what then

    # -- what a screen says of itself -------------------------------------------------------------------------------

    @property
    def selected(self) -> Node | None:
        """What is under the cursor."""
        raise NotImplementedError

    @property
    def info(self) -> InfoPane:
        raise NotImplementedError

    def show_info(self) -> None:
        """Bring the tab to the screen."""
        raise NotImplementedError

    def show_step(self, run: str, step: int) -> None:
        """Put the cursor on a step, in whichever run it is."""
        raise NotImplementedError

    def line(self) -> str:
        """What is under the cursor of the tab that has the focus: an entry of a log, a file; "" for nothing."""
        return ""

    # -- what has come -----------------------------------------------------------------------------------------------

    def flush(self) -> None:
        details = self.state.details
        if self._needed is not None and details is not None and details.row.id == self._needed[0]:
            then, self._needed = self._needed[1], None
            then(details)
        elif self.state.unsaved:
            self._ask_to_overwrite(self.state.unsaved.pop(0))

    def _with_details(self, then: Callable[[Details], None]) -> None:
        """Go on when it is known what is stored of the selected attempt."""
        node, details = self.selected, self.state.details
        row = None if node is None or node.kind is Kind.GROUP else self.info.row_of(node)
        if row is None:
            self.app.bell()
        elif details is not None and details.row == row:
            then(details)
        else:
            self._needed = row.id, then
            self.dashboard.ask(DetailsAsked(row.id))

    def on_info_pane_followed(self, message: InfoPane.Followed) -> None:
        match message.link:
            case ToRun(run):
                self.dashboard.open_run(run)
            case ToStep(run, step):
                self.show_step(run, step)

    def action_attempt(self, by: int) -> None:
        self.show_info()
        self.info.browse(by)

    # -- copying -----------------------------------------------------------------------------------------------------

    def action_copy(self) -> None:
        self._with_details(self._choose_copy)

    def _choose_copy(self, details: Details) -> None:
        target = self._target(details)
        found = copies(details, None if target is None else target.parameters)
        line = self.line()
        if line:
            found.append(Copy("l", "line", line, f"{details.row.id.replace(':', '-')}.line.txt"))
        choices = [Choice(one.key, one.what, one.glimpse) for one in found]

        def chosen(key: str | None) -> None:
            for one in found:
                if one.key == key:
                    self._copy(one, details)

        self.app.push_screen(Choose(f"Copy from {details.row.id}", choices, self.dashboard.glyphs.ellipsis), chosen)

    def _copy(self, copy: Copy, details: Details) -> None:
        """To the clipboard of the terminal, or to a file where that does not take it."""
        what = f"{copy.what} of {details.row.id}"
        text = sendable(copy.text)
        if not has_clipboard(os.environ) or not fits(text):
            self.dashboard.ask(KeepAsked(what, copy.file, text))
            return
        self.app.copy_to_clipboard(text)
        hint = " (tmux passes it on with `set -g set-clipboard on`)" if "TMUX" in os.environ else ""
        self.notify(f"{what} copied: {len(text):,} characters{hint}", markup=False)

    # -- saving ------------------------------------------------------------------------------------------------------

    def action_save(self) -> None:
        self._with_details(self._choose_what_to_save)

    def _choose_what_to_save(self, details: Details) -> None:
        choices = [Choice("l", "log", "what the attempt printed and logged")]
        if isinstance(details.outcome, Succeeded) and details.result is not None:
            choices.insert(0, Choice("r", "result", details.result.preview))
        elif details.outcome is not None:
            choices.insert(0, Choice("t", "traceback", "with all causes"))

        def chosen(key: str | None) -> None:
            for what in get_args(Saveable):
                if key == what[0]:
                    self._choose_file(what, details)

        self.app.push_screen(Choose(f"Save from {details.row.id}", choices, self.dashboard.glyphs.ellipsis), chosen)

    def _choose_file(self, what: Saveable, details: Details) -> None:
        result = details.result
        is_document = result is not None and result.json is not None and not result.json.startswith('"')
        kind = "json" if what == "result" and is_document else "txt"
        name = details.row.id.replace(":", "-")

        def chosen(path: str | None) -> None:
            if path:
                self.dashboard.ask(SaveAsked(details.row.id, what, path))

        proposed = f"{name}.log" if what == "log" else f"{name}-{what}.{kind}"
        self.app.push_screen(SaveAs(f"{what} of {details.row.id}", proposed), chosen)

    def _ask_to_overwrite(self, request: SaveAsked) -> None:
        def answered(key: str | None) -> None:
            if key == "y":
                self.dashboard.ask(request._replace(overwrite=True))

        about = f"the {request.what} of {request.execution} would take the place of what is in it"
        self.app.push_screen(Ask(f"{request.path} is there. Overwrite it?", [about], [("y", "overwrite")]), answered)

    # -- the source --------------------------------------------------------------------------------------------------

    def action_edit(self) -> None:
        """Open the source where it failed, else where the target is defined."""
        self._with_details(self._edit)

    def _edit(self, details: Details) -> None:
        place = self._place(details)
        if place is None:
            module = f"{details.step.module}/{details.step.name}"
            self.notify(f"the source of {module} is not known", severity="warning", markup=False)
            return
        self.edit(place)

    def edited(self) -> None:
        self.info.look_again()

    def _place(self, details: Details) -> Place | None:
        if isinstance(details.outcome, Failed):
            for cause in details.causes:
                for frame in reversed(users_frames(cause.frames)):
                    if os.path.isabs(frame.file):
                        return Place(frame.file, frame.line)
        target = self._target(details)
        return None if target is None else Place(target.file, target.line)

    def _target(self, details: Details) -> TargetInfo | None:
        """As it was discovered."""
        place = details.step.module, details.step.name
        targets = self.state.engine.targets
        return next((one for one in targets if (one.spec.module, one.spec.name) == place), None)
