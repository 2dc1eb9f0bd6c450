"""What all tabs of the run screen have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual.containers import Vertical
from textual.widget import Widget

from coflux.tui.open_run import OpenRun
from coflux.tui.painting import Piece
from coflux.tui.tree import Node
from coflux.tui.widgets.key_bar import Hint

if TYPE_CHECKING:
    from coflux.tui.app import Dashboard

__all__ = ["Pane"]


class Pane(Vertical):
    """A tab. It shows something of the run that is open, maybe of the step under the cursor of its tree.

    It is told only while it is seen: of the run and the cursor (`select`), when something has come (`flush`), and once
    a second (`tick`). When it comes to be seen, `select` is the first; `leave` is the last.
    """

    NAME: ClassVar[str]
    """Its id among the tabs, and what they call it."""

    TITLE: ClassVar[str]

    @property
    def dashboard(self) -> Dashboard:
        return cast("Dashboard", self.app)

    @property
    def body(self) -> Widget:
        """The widget that is focused with the tab."""
        raise NotImplementedError

    def select(self, run: OpenRun, node: Node | None) -> None:
        """Another run was opened, the cursor is on another node, or the tab comes to be seen."""

    def leave(self) -> None:
        """Another tab comes to be seen: what only this one shows need not be read any more."""

    def flush(self) -> None:
        """Draw what has changed."""

    def tick(self) -> None:
        """A second has gone by."""

    def notes(self) -> list[Piece]:
        """What stands beside the tabs: a filter, a count."""
        return []

    def hints(self) -> list[Hint]:
        """Its own keys, for the bar at the bottom."""
        return []

    def line(self) -> str:
        """What is under its cursor, for the clipboard: an entry of a log, a file's path; "" for nothing."""
        return ""

    def searched(self) -> str:
        """What is searched for in it now."""
        return ""

    def search(self, text: str, *, typing: bool) -> None:
        """Search for a text, "" for none any more; `typing`: it may go on. Those that cannot, ring the bell."""
        if not typing:
            self.app.bell()
