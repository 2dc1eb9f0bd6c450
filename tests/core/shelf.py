"""A pretend store: it has what was committed, as the scheduler's effects told it."""

from __future__ import annotations

from typing import NamedTuple

from coflux.executor.core.archive import Recorded
from coflux.executor.core.effects import Effects
from coflux.executor.core.state import Execution, State
from coflux.executor.messages import Outcome

__all__ = ["Shelf"]


class _Row(NamedTuple):
    id: str
    state: State
    outcome: Outcome | None
    following: str
    cache_key: bytes | None
    workspace: str
    created_at: float
    sequence: int
    finished_at: float | None


class Shelf:
    """An `Archive`. `bases` has the base of each workspace that has one."""

    def __init__(self) -> None:
        self.rows: dict[str, _Row] = {}
        self.bases: dict[str, str] = {}
        self._runs = 0

    def commit(self, effects: Effects) -> None:
        for execution in effects.executions:
            self.rows[execution.id] = _row(execution)
        for execution in effects.pruned:
            del self.rows[execution.id]

    def cached(self, workspaces: tuple[str, ...], key: bytes, since: float) -> Recorded | None:
        usable = [
            row
            for row in self.rows.values()
            if row.cache_key == key
            and row.state is State.SUCCEEDED
            and row.workspace in workspaces
            and row.finished_at is not None
            and row.finished_at >= since
        ]
        newest = max(usable, key=lambda row: (row.created_at, row.sequence), default=None)
        return None if newest is None else _recorded(newest)

    def recall(self, execution_id: str) -> Recorded | None:
        row = self.rows.get(execution_id)
        while row is not None and row.following:
            row = self.rows.get(row.following)
        return None if row is None or row.outcome is None else _recorded(row)

    def lineage(self, workspace: str) -> tuple[str, ...]:
        names = [workspace]
        while names[-1] in self.bases:
            names.append(self.bases[names[-1]])
        return tuple(names)

    def new_run_id(self) -> str:
        self._runs += 1
        return f"C{self._runs}"


def _row(execution: Execution) -> _Row:
    successor = execution.successor
    return _Row(
        execution.id,
        execution.state,
        None if execution.state is State.CACHED else execution.outcome,
        execution.cached_from if successor is None else successor.id,
        execution.step.cache_key,
        execution.workspace,
        execution.created_at,
        execution.sequence,
        execution.finished_at,
    )


def _recorded(row: _Row) -> Recorded:
    assert row.outcome is not None
    return Recorded(row.id, row.state, row.outcome, created_at=row.created_at)
