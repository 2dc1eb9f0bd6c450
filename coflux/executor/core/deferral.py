"""Deferral: of equal submissions that have not started, the newest survives.

The others wait as superseded until the survivor starts, and are then deferred to it; when it is cancelled before, the
newest of them takes its place.
"""

from __future__ import annotations

from typing import NamedTuple

from coflux.executor.core.state import Execution

__all__ = ["Deferral", "Started"]


class Started(NamedTuple):
    survivor: Execution
    superseded: list[Execution]


class Deferral:
    """Which submissions are equal, over all runs of a workspace.

    Attributes:
        started: survivors that have left the queue, with those that are to be deferred to them.
        revived: executions that are superseded no more, since the newer ones were cancelled.
    """

    def __init__(self) -> None:
        self.started: list[Started] = []
        self.revived: list[Execution] = []
        self._newest: dict[tuple[str, bytes], Execution] = {}

    def submitted(self, execution: Execution) -> Execution | None:
        """Take in a submission; return the one that it supersedes, if there is one."""
        older = self._newest.get(_key(execution))
        self._newest[_key(execution)] = execution
        execution.supersedes = older
        return older

    def left_queue(self, execution: Execution) -> None:
        """It has started, or will have a result without. Nothing happens if it takes no part in deferral."""
        if execution.step.defer_key is None:
            return
        if self._newest.get(_key(execution)) is not execution:
            self._remove(execution)  # it was refused, with everything of its family; or it had started before
            return
        del self._newest[_key(execution)]
        superseded = []
        older, execution.supersedes = execution.supersedes, None
        while older is not None:
            superseded.append(older)
            older.supersedes, older = None, older.supersedes
        if superseded:
            self.started.append(Started(execution, superseded))

    def cancelled(self, execution: Execution) -> None:
        """It was cancelled before it started."""
        if execution.step.defer_key is None:
            return
        if self._newest.get(_key(execution)) is not execution:
            self._remove(execution)
            return
        older, execution.supersedes = execution.supersedes, None
        if older is None:
            del self._newest[_key(execution)]
        else:
            self._newest[_key(execution)] = older
            self.revived.append(older)

    def _remove(self, execution: Execution) -> None:
        """If it is superseded: what it superseded itself is, from now on, by what superseded it."""
        newer = execution.superseded_by
        if newer is None or newer.supersedes is not execution:
            return
        newer.supersedes, execution.supersedes = execution.supersedes, None
        if newer.supersedes is not None:
            newer.supersedes.superseded_by = newer


def _key(execution: Execution) -> tuple[str, bytes]:
    assert execution.step.defer_key is not None
    return execution.workspace, execution.step.defer_key
