"""A restart: a new scheduler is given what the shelf has, as `executor.persistence` does it with the store.

First all runs, steps and executions, in the order of their creation; then what leads from one to another, also into
other families; then what was queued is queued, and what ran is abandoned.
"""

from __future__ import annotations

from coflux.executor.core.descent import begins_chain
from coflux.executor.core.detached import detached_execution
from coflux.executor.core.scheduler import Scheduler
from coflux.executor.core.state import Execution, Instant, Run, State, Step, Suspension
from tests.core.shelf import ExecutionRow, Shelf

__all__ = ["load_family", "restore"]


def restore(scheduler: Scheduler, shelf: Shelf, now: Instant) -> None:
    """Take in every family that has not settled."""
    roots = {run.root for run in shelf.runs.values() if run.id == run.root and not run.settled}
    intake = _Intake(scheduler, shelf, roots)
    lost = []
    for execution, row in intake.taken:
        if execution.state is State.RUNNING:
            if row.suspends and row.due_wall is not None:
                due_at = now.elapsed + row.due_wall - now.wall
                execution.suspension = Suspension(due_at, row.due_wall, intake.awaited(row))
            lost.append(execution)
        elif execution.state is State.QUEUED:
            scheduler.requeue(execution, row.due_wall, now, intake.awaited(row))
    for execution in lost:
        scheduler.abandon(execution, "the engine ended while it was running", now)
    scheduler.settle_restored(now)


def load_family(scheduler: Scheduler, shelf: Shelf, root: str) -> None:
    """Take in a family that has settled, since something of it is to be executed again."""
    _Intake(scheduler, shelf, {root})


class _Intake:
    def __init__(self, scheduler: Scheduler, shelf: Shelf, roots: set[str]) -> None:
        self._scheduler = scheduler
        self._shelf = shelf
        self._steps: dict[tuple[str, int], Step] = {}
        rows = [row for row in shelf.rows.values() if shelf.runs[row.run].root in roots]
        self.taken = [(self._take(row), row) for row in rows]
        for execution, row in self.taken:
            self._lead_on(execution, row)
        for execution, row in self.taken:
            if execution.state is State.SUSPENDED:
                execution.suspension = Suspension(0.0, 0.0, self.awaited(row))
        for step in self._steps.values():
            spawned = shelf.steps[step.run.id, step.number].spawned
            step.spawned = None if spawned is None else scheduler.runs.get(spawned)
        for sharing, shared in shelf.shared:
            self._share(sharing, shared)

    def awaited(self, row: ExecutionRow) -> tuple[Execution, ...]:
        found = [self.find(awaited) for awaited in row.awaits]
        return tuple(execution for execution in found if execution is not None)

    def find(self, execution_id: str) -> Execution | None:
        found = self._scheduler.find(execution_id)
        if found is None:
            recorded = self._shelf.recall(execution_id)
            found = None if recorded is None else detached_execution(recorded)
        return found

    def _take(self, row: ExecutionRow) -> Execution:
        step = self._steps.get((row.run, row.step)) or self._take_step(row)
        register = self._scheduler.register
        execution = register.restored_execution(step, row.attempt, row.created_at)
        execution.state, execution.outcome = row.state, row.outcome
        execution.trigger, execution.workspace, execution.resumes = row.trigger, row.workspace, row.resumes
        execution.due_wall, execution.finished_at = row.due_wall, row.finished_at
        register.adopt_execution(execution)
        if begins_chain(execution) and step.number == 1:
            step.run.root = execution
            if step.run.family.root is step.run:
                self._scheduler.placement.settle_restored(step.run)
        if row.attempt == 1 and step.parent is not None:
            step.parent.children.append(execution)
        return execution

    def _take_step(self, row: ExecutionRow) -> Step:
        register, recorded = self._scheduler.register, self._shelf.steps[row.run, row.step]
        run = self._scheduler.runs.get(row.run) or self._take_run(row.run)
        parent = None if recorded.parent is None else run.family.executions[recorded.parent]
        step = Step(
            run,
            row.step,
            parent,
            None,
            recorded.spec,
            b"",
            recorded.arguments,
            recorded.depth,
            recorded.created_at,
            recorded.keys,
        )
        run.steps = max(run.steps, row.step)
        register.adopt_step(step)
        self._steps[row.run, row.step] = step
        return step

    def _take_run(self, run_id: str) -> Run:
        recorded = self._shelf.runs[run_id]
        top = None if recorded.root == run_id else self._scheduler.runs[recorded.root].family
        parent = None if top is None or recorded.parent is None else top.executions[recorded.parent]
        run = Run(run_id, top, parent, recorded.options, recorded.created_at)
        run.steps = recorded.steps
        if top is None:
            run.family.cap = recorded.options.concurrency
        else:
            top.runs.append(run)
        self._scheduler.register.adopt_run(run)
        return run

    def _lead_on(self, execution: Execution, row: ExecutionRow) -> None:
        if execution.state is State.CACHED:
            execution.cached_from = row.following
        elif row.following:
            execution.successor = self.find(row.following)
            if execution.successor is not None and execution.successor.trigger == "retry":
                execution.successor.streak = execution.streak + 1

    def _share(self, sharing: str, shared: str) -> None:
        execution, child = self._scheduler.find(sharing), self._scheduler.find(shared)
        if execution is None or child is None or execution.step not in self._steps.values():
            return
        self._scheduler.register.share(execution, child)
