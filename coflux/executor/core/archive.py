"""What the scheduler asks of the world while it decides. The store answers at once; the simulation pretends to."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from coflux.executor.core.state import State
from coflux.executor.messages import Outcome

__all__ = ["Archive", "Recorded"]


class Recorded(NamedTuple):
    """An execution that is in the store and has ended for good."""

    id: str
    state: State
    outcome: Outcome
    fingerprint: bytes = b""
    created_at: float = 0.0
    module: str = ""
    name: str = ""


class Archive(Protocol):
    def cached(self, workspaces: tuple[str, ...], key: bytes, since: float) -> Recorded | None:
        """The newest execution with this cache key in one of these workspaces that has succeeded at or after `since` on
        the wall clock. One whose value cannot be read is passed over, with a warning."""

    def recall(self, execution_id: str) -> Recorded | None:
        """The end of the execution's chain; `None` if it has not ended, or if there is no such execution."""

    def end_of(self, execution_id: str) -> str | None:
        """The id of the last execution of the chain that is recorded, ended or not; `None` if there is none."""

    def lineage(self, workspace: str) -> tuple[str, ...]:
        """The workspace and its ancestors, nearest first."""

    def new_run_id(self) -> str:
        """An id that no run has."""
