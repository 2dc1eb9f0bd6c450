"""A file of an asset on the whole screen, and the question where to write one."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from coflux.tui.assets import FileRow
from coflux.tui.file_lines import heading
from coflux.tui.previews import Picture
from coflux.tui.screens.base import View
from coflux.tui.text import clean
from coflux.tui.updates import PreviewAsked
from coflux.tui.widgets.file_views import PreviewView
from coflux.tui.widgets.key_bar import Hint, KeyBar

__all__ = ["AskDirectory", "FileScreen"]


class FileScreen(View):
    TITLE = "A file"
    PROSE = "A file of an asset: of what is long, the beginning."

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "back", "back", id="file.back"),
        Binding("slash", "search", "search", id="file.search", priority=True),
        Binding("n", "next(1)", "next match", id="file.next"),
        Binding("N", "next(-1)", "previous match", id="file.previous"),
    ]

    def __init__(self, row: FileRow) -> None:
        super().__init__()
        self._row = row
        self._text = ""
        self._asked: tuple[int, int] | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="head", markup=False)
        yield PreviewView(self.dashboard.glyphs, id="file")
        yield Input(id="search", compact=True, placeholder="search", select_on_focus=False)
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self._view = self.query_one(PreviewView)
        self._field = self.query_one("#search", Input)
        self.set_focus(self._view)
        self.ready = True
        self.flush()

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self.flush)

    def flush(self) -> None:
        state, size = self.state.assets, self._view.size
        asked = size.width, size.height
        if asked != self._asked and size.width:
            if self._asked is None or isinstance(state.preview, Picture):
                self.dashboard.ask(PreviewAsked(state.next_preview(), *self._row.key, *asked))
            self._asked = asked
        if state.preview is not None:
            self._view.load(state.preview)
        line = heading(self._row, state.preview, self.size.width, self.dashboard.glyphs)
        self.query_one("#head", Static).update(Content.assemble(*line))
        self.query_one(KeyBar).show(self.hints())

    def hints(self) -> list[Hint]:
        return [("/", "search", "search"), ("n", "next match", "next(1)"), ("esc", "back", "back")]

    # -- searching ---------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return not (isinstance(self.focused, Input) and action == "search")

    def action_search(self) -> None:
        self._field.display = True
        self._field.value = self._text
        self.set_focus(self._field)

    def on_input_submitted(self, message: Input.Submitted) -> None:
        self._text = message.value
        self._end_search()
        self._find(0)

    def _end_search(self) -> None:
        self._field.display = False
        self.set_focus(self._view)

    def action_next(self, by: int) -> None:
        self._find(by)

    def _find(self, by: int) -> None:
        """Go to the next line with the text, from the cursor on; the search goes round."""
        found = self._view.find(self._text, by)
        if found is None:
            self.app.bell()
        else:
            self._view.go(found)

    def action_back(self) -> None:
        if self._field.display:
            self._end_search()
        else:
            self.dashboard.pop_screen()


class AskDirectory(ModalScreen[str]):
    """Answers with the directory that was typed, "" for none."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss('')", "back", id="directory.back")]

    def __init__(self, what: str, suggested: str) -> None:
        super().__init__()
        self._what = what
        self._suggested = suggested

    def compose(self) -> ComposeResult:
        with Vertical(id="ask"):
            yield Static(Content.styled(clean(f"Write {self._what} below which directory?"), "bold"), markup=False)
            yield Input(self._suggested, id="directory", compact=True, select_on_focus=False)
            keys = [("enter", "bold"), (" write   ", ""), ("esc", "bold"), (" back", "")]
            yield Static(Content.assemble(*keys), id="answers", markup=False)

    def on_input_submitted(self, message: Input.Submitted) -> None:
        self.dismiss(message.value.strip())
