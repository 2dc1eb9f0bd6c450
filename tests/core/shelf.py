"""A pretend store: it has what was committed, as the scheduler's effects told it, and nothing of the scheduler's own.

Rows hold values, ids and numbers only: what is rebuilt from them (`rebuilding`) is made of what a store would have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from coflux.encoded import Value
from coflux.executor.core.archive import Recorded
from coflux.executor.core.effects import Effects
from coflux.executor.core.state import SUSPENDING, Execution, Run, State, Step, StepKeys, Trigger
from coflux.executor.messages import Outcome, RunOptions, TargetSpec

__all__ = ["ExecutionRow", "RunRow", "Shelf", "StepRow"]


class RunRow(NamedTuple):
    id: str
    root: str  # of its family
    parent: str | None
    options: RunOptions
    created_at: float
    steps: int  # numbers that were given away, when the row was written
    settled: bool


class StepRow(NamedTuple):
    run: str
    number: int
    parent: str | None
    spec: TargetSpec
    arguments: tuple[Value, ...]
    depth: int
    created_at: float
    keys: StepKeys
    spawned: str | None


class ExecutionRow(NamedTuple):
    id: str
    run: str
    step: int
    attempt: int
    state: State
    outcome: Outcome | None
    following: str  # its successor, or the one that it has its result from
    trigger: Trigger
    workspace: str
    resumes: bool
    cache_key: bytes | None
    created_at: float
    due_wall: float | None
    finished_at: float | None
    awaits: tuple[str, ...]
    suspends: bool  # it runs, and has asked to go on in another attempt


class Shelf:
    """An `Archive`. `bases` has the base of each workspace that has one."""

    def __init__(self) -> None:
        self.runs: dict[str, RunRow] = {}
        self.steps: dict[tuple[str, int], StepRow] = {}
        self.rows: dict[str, ExecutionRow] = {}
        self.shared: list[tuple[str, str]] = []  # execution and child
        self.bases: dict[str, str] = {}
        self._by_cache_key: dict[bytes, dict[str, None]] = {}
        self._runs = 0

    def commit(self, effects: Effects) -> None:
        for run in effects.runs:
            self.runs[run.id] = _run_row(run)
        for step in effects.steps:
            self.steps[step.run.id, step.number] = _step_row(step)
        for execution in effects.executions:
            row = self.rows[execution.id] = self.row(execution)  # keeps its place among the others
            if row.cache_key is not None:
                self._by_cache_key.setdefault(row.cache_key, {})[row.id] = None
        self.shared += [(shared.execution.id, shared.child.id) for shared in effects.shared]
        for execution in effects.pruned:
            self._prune(execution.id)

    def _prune(self, execution: str) -> None:
        """Drop an attempt and all that was submitted by it, and what follows."""
        line, gone = [execution], set()
        while line:
            one = line.pop()
            if one in gone or one not in self.rows:
                continue
            gone.add(one)
            for step in [step for step in self.steps.values() if step.parent == one]:
                line += [row.id for row in self.rows.values() if (row.run, row.step) == (step.run, step.number)]
                del self.steps[step.run, step.number]
            for run in [run for run in self.runs.values() if run.parent == one]:
                line += [row.id for row in self.rows.values() if row.run == run.id]
                del self.runs[run.id]
        for one in gone:
            row = self.rows.pop(one)
            if row.cache_key is not None:
                self._by_cache_key[row.cache_key].pop(one)
        self.shared = [(one, child) for one, child in self.shared if one not in gone]

    # -- what the scheduler asks ---------------------------------------------------------------------------------

    def cached(self, workspaces: tuple[str, ...], key: bytes, since: float) -> Recorded | None:
        rows = [self.rows[known] for known in self._by_cache_key.get(key, ())]
        usable = [
            row
            for row in rows
            if row.state is State.SUCCEEDED
            and row.workspace in workspaces
            and row.finished_at is not None
            and row.finished_at >= since
        ]
        newest = max(reversed(usable), key=lambda row: row.created_at, default=None)
        return None if newest is None else self._recorded(newest)

    def recall(self, execution_id: str) -> Recorded | None:
        row = self._chain_end(execution_id)
        return None if row is None or row.outcome is None else self._recorded(row)

    def end_of(self, execution_id: str) -> str | None:
        row = self._chain_end(execution_id)
        return None if row is None else row.id

    def _chain_end(self, execution_id: str) -> ExecutionRow | None:
        row = self.rows.get(execution_id)
        while row is not None and row.following:
            row = self.rows.get(row.following)
        return row

    def lineage(self, workspace: str) -> tuple[str, ...]:
        names = [workspace]
        while names[-1] in self.bases:
            names.append(self.bases[names[-1]])
        return tuple(names)

    def new_run_id(self) -> str:
        self._runs += 1
        return f"C{self._runs}"

    # -- rows ----------------------------------------------------------------------------------------------------

    def row(self, execution: Execution) -> ExecutionRow:
        """What is recorded of an execution as it is now."""
        step, successor = execution.step, execution.successor
        return ExecutionRow(
            execution.id,
            step.run.id,
            step.number,
            execution.attempt,
            execution.state,
            execution.outcome,
            execution.cached_from if successor is None else successor.id,
            execution.trigger,
            execution.workspace,
            execution.resumes,
            step.cache_key,
            execution.created_at,
            execution.due_wall,
            execution.finished_at,
            tuple(target.id for target in _awaited(execution)),
            execution.state is State.RUNNING and execution.reason == SUSPENDING,
        )

    def _recorded(self, row: ExecutionRow) -> Recorded:
        assert row.outcome is not None
        spec = self.steps[row.run, row.step].spec
        return Recorded(row.id, row.state, row.outcome, created_at=row.created_at, module=spec.module, name=spec.name)


def _awaited(execution: Execution) -> Sequence[Execution]:
    """What it was suspended for, or is to be."""
    if execution.suspension is not None:
        return execution.suspension.targets
    return execution.hold.targets if execution.hold is not None and execution.hold.any else ()


def _run_row(run: Run) -> RunRow:
    parent = None if run.parent is None else run.parent.id
    return RunRow(run.id, run.family.root.id, parent, run.options, run.created_at, run.steps, run.settled)


def _step_row(step: Step) -> StepRow:
    return StepRow(
        step.run.id,
        step.number,
        None if step.parent is None else step.parent.id,
        step.spec,
        step.arguments,
        step.depth,
        step.created_at,
        StepKeys(step.keys, step.memo_key, step.cache_key, step.defer_key),
        None if step.spawned is None else step.spawned.id,
    )
