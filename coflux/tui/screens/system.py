"""All about the engine."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from coflux.tui.details import Line
from coflux.tui.screens.base import View
from coflux.tui.system import describe_system
from coflux.tui.widgets.key_bar import Hint, KeyBar
from coflux.tui.widgets.text_view import TextView

__all__ = ["SystemScreen"]


class SystemScreen(View):
    TITLE = "System"
    PROSE = (
        "The engine: its worker processes and what they do, what they use, which code is loaded and what does not\n"
        "import, and all that was said so far, newest first."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,exclamation_mark", "leave", "back", id="system.leave"),
    ]

    def compose(self) -> ComposeResult:
        yield TextView(id="system")
        yield KeyBar(id="keys")

    def on_mount(self) -> None:
        self.set_focus(self.query_one(TextView))
        self.ready = True
        self.flush()

    def flush(self) -> None:
        self.query_one(TextView).show(self._write)
        self.query_one(KeyBar).show(self.hints())

    def _write(self, width: int) -> list[Line]:
        app = self.dashboard
        return describe_system(self.state.engine, app.heard, app.about.data_dir, width, app.glyphs)

    def hints(self) -> list[Hint]:
        return [("esc", "back", "leave"), (":", "commands", "app.palette"), ("?", "keys", "app.help")]

    def action_leave(self) -> None:
        self.dashboard.pop_screen()
