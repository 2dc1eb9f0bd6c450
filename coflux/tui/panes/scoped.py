"""What tabs have in common that show data of the step under the cursor, of those below it too, or of the whole run."""

from __future__ import annotations

from coflux.tui.open_run import OpenRun
from coflux.tui.panes.base import Pane
from coflux.tui.scope import Scope
from coflux.tui.tree import Node

__all__ = ["ScopedPane"]


class ScopedPane(Pane):
    """Subclasses bind a key to `scope`, and ask (`ask`) for what is meant whenever that may be something else."""

    def __init__(self) -> None:
        super().__init__(id=self.NAME)
        self._run: OpenRun | None = None
        self._node: Node | None = None
        self._scope = Scope.BELOW

    def ask(self) -> None:
        """Ask when other steps are meant than before."""
        raise NotImplementedError

    def select(self, run: OpenRun, node: Node | None) -> None:
        self._run, self._node = run, node
        self.tick()

    def tick(self) -> None:
        self.ask()  # there may be steps below that were not there
        self.flush()

    def action_scope(self) -> None:
        self._scope = self._scope.next
        self.tick()
