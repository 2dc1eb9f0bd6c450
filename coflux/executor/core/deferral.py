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
        self._groups: dict[tuple[str, bytes], list[Execution]] = {}  # all that are queued, oldest first

    def submitted(self, execution: Execution) -> Execution | None:
        """Take in a submission; return the one that it supersedes, if there is one."""
        group = self._groups.setdefault(_key(execution), [])
        group.append(execution)
        return group[-2] if len(group) > 1 else None

    def left_queue(self, execution: Execution) -> None:
        """It has started, or will have a result without. Nothing happens if it takes no part in deferral."""
        if execution.step.defer_key is None:
            return
        group = self._groups.get(_key(execution))
        if group is None or execution not in group:
            return
        if group[-1] is not execution:
            self._remove(group, execution)  # refused, with everything of its family
            return
        del self._groups[_key(execution)]
        if len(group) > 1:
            self.started.append(Started(execution, group[:-1]))

    def cancelled(self, execution: Execution) -> None:
        """It was cancelled before it started."""
        if execution.step.defer_key is None:
            return
        group = self._groups.get(_key(execution))
        if group is None or execution not in group:
            return
        if group[-1] is not execution:
            self._remove(group, execution)
            return
        group.pop()
        if group:
            self.revived.append(group[-1])
        else:
            del self._groups[_key(execution)]

    def _remove(self, group: list[Execution], superseded: Execution) -> None:
        """One that is superseded has ended: whatever it superseded itself is, from now on, by what superseded it."""
        position = group.index(superseded)
        group.remove(superseded)
        older, newer = superseded.supersedes, superseded.superseded_by
        group[position].supersedes = older
        if older is not None:
            older.superseded_by = newer


def _key(execution: Execution) -> tuple[str, bytes]:
    assert execution.step.defer_key is not None
    return execution.workspace, execution.step.defer_key
