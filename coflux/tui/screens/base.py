"""What all screens have in common: the line at the top; they are told to `flush` what has changed, and to `tick` once a
second."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.screen import Screen

from coflux.tui.screens.compositor import PreciseCompositor
from coflux.tui.state import State
from coflux.tui.widgets.key_bar import Hint
from coflux.tui.widgets.system_strip import SystemStrip

if TYPE_CHECKING:
    from coflux.tui.app import Dashboard

__all__ = ["View"]


class View(Screen[None]):
    PROSE = ""
    """What the screen shows, for its help."""

    ready = False
    """Whether its widgets are there."""

    def __init__(self) -> None:
        super().__init__()
        self._compositor = PreciseCompositor()

    @property
    def dashboard(self) -> Dashboard:
        return cast("Dashboard", self.app)

    @property
    def state(self) -> State:
        return self.dashboard.state

    def on_mount(self) -> None:  # Textual calls those of the subclasses, too
        self.mount(SystemStrip(self.dashboard.write_strip), before=0)

    def flush_strip(self) -> None:
        """Draw the line at the top."""
        for strip in self.query(SystemStrip):
            strip.flush()

    def flush(self) -> None:
        """Draw what has changed."""

    def tick(self) -> None:
        """A second has gone by."""

    def hints(self) -> list[Hint]:
        """The keys that are named at the bottom."""
        return []

    def commands(self) -> list[tuple[str, str]]:
        """What can be done here without a key of its own, for the palette: titles, and actions of the screen."""
        return []
