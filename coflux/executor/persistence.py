"""From the scheduler's objects to the store's rows, and back after a restart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from coflux.encoded import Value
from coflux.executor.channel import decoder, encode
from coflux.executor.core.effects import Effects
from coflux.executor.core.scheduler import Scheduler
from coflux.executor.core.state import Execution, Instant, Run, State, Step
from coflux.executor.messages import Outcome, RunOptions, Succeeded, TargetSpec
from coflux.executor.rows import Batch, ExecutionRow, GroupRow, LoadedRun, RunRow, StepRow

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["blobs_of", "restore", "to_batch"]

_outcomes = decoder(Outcome)
_specs = decoder(TargetSpec)
_arguments = decoder(tuple[Value, ...])
_options = decoder(RunOptions)


def to_batch(effects: Effects, batch: Batch) -> None:
    """Add the rows of one turn to `batch`."""
    batch.runs += [_run_row(run) for run in effects.runs]
    batch.steps += [_step_row(step) for step in effects.steps]
    batch.executions += [_execution_row(execution) for execution in effects.executions]
    for execution, group in effects.groups:
        step = execution.step
        batch.groups.append(
            GroupRow(step.run.id, step.number, execution.attempt, group.number, group.name, group.parent)
        )


def _run_row(run: Run) -> RunRow:
    assert run.root is not None
    spec = run.root.step.spec
    return RunRow(
        id=run.id,
        workspace=run.options.workspace,
        module=spec.module,
        name=spec.name,
        type=spec.type,
        parent=None if run.parent is None else run.parent.id,
        root_run=run.family.root.id,
        context=run.context,
        idempotency_key=run.options.idempotency_key,
        options=encode(run.options),
        status=run.status.value,
        created_at=run.created_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        settled=run.settled,
    )


def _step_row(step: Step) -> StepRow:
    spec = step.spec
    return StepRow(
        step.run.id,
        step.number,
        None if step.parent is None else step.parent.id,
        step.group,
        spec.module,
        spec.name,
        spec.type,
        step.encoded,
        encode(step.arguments),
        step.depth,
        step.created_at,
    )


def _execution_row(execution: Execution) -> ExecutionRow:
    step = execution.step
    usage = execution.usage
    return ExecutionRow(
        step.run.id,
        step.number,
        execution.attempt,
        execution.state.value,
        execution.reason,
        None if execution.successor is None else execution.successor.id,
        execution.created_at,
        execution.due_wall,
        execution.started_at,
        execution.finished_at,
        execution.pid,
        None if execution.host is None else execution.host.id,
        None if execution.outcome is None else encode(execution.outcome),
        None if usage is None else usage.cpu_seconds,
        None if usage is None else usage.peak_memory,
    )


def blobs_of(effects: Effects) -> Iterable[str]:
    """The blobs that the rows of one turn refer to."""
    for step in effects.steps:
        for value in (*step.arguments, *filter(None, (step.spec.code, step.spec.when))):
            if value.blob is not None:
                yield value.blob
    for execution in effects.executions:
        if isinstance(execution.outcome, Succeeded) and execution.outcome.value.blob is not None:
            yield execution.outcome.value.blob


def restore(scheduler: Scheduler, loaded: list[LoadedRun], now: Instant) -> None:
    """Take unfinished runs back in: what was queued is queued, what ran is abandoned, and retries go on."""
    lost: list[Execution] = []
    queued: list[Execution] = []
    for record in loaded:
        for execution in _restore_run(scheduler, record):
            (lost if execution.state is State.RUNNING else queued).append(execution)
    for execution in queued:
        scheduler.requeue(execution, execution.due_wall, now)
    for execution in lost:
        scheduler.abandon(execution, "the engine ended while it was running", now)
    scheduler.settle_restored()


def _restore_run(scheduler: Scheduler, record: LoadedRun) -> list[Execution]:
    run = Run(record.run.id, None, None, _options.decode(record.run.options), record.run.created_at)
    run.context = record.run.context
    run.family.cap = run.options.concurrency
    run.started_at, run.finished_at = record.run.started_at, record.run.finished_at
    run.steps = max(row.number for row in record.steps)
    scheduler.register.adopt_run(run)
    rows: dict[int, list[ExecutionRow]] = {}
    for row in record.executions:
        rows.setdefault(row.step, []).append(row)
    for step_row in record.steps:
        _restore_step(scheduler, run, step_row, rows.get(step_row.number, []))
    scheduler.placement.settle_restored(run)
    return [execution for execution in run.family.executions.values() if execution.unfinished]


def _restore_step(scheduler: Scheduler, run: Run, row: StepRow, attempts: list[ExecutionRow]) -> None:
    parent = None if row.parent is None else run.family.executions[row.parent]
    spec = _specs.decode(row.target)
    arguments = _arguments.decode(row.arguments)
    step = Step(run, row.number, parent, row.group, spec, row.target, arguments, row.depth, row.created_at)
    streak = 0
    for attempt in attempts:
        execution = scheduler.register.restored_execution(step, attempt.attempt, attempt.created_at)
        execution.state = State(attempt.status)
        execution.due_wall = attempt.due_at
        execution.started_at, execution.finished_at = attempt.started_at, attempt.finished_at
        execution.pid = attempt.pid
        execution.streak = streak
        if attempt.outcome is not None:
            execution.outcome = _decode_outcome(attempt.outcome)
        scheduler.register.adopt_execution(execution)
        streak = streak + 1 if execution.outcome is not None and execution.state is not State.SUCCEEDED else 0
        if attempt.attempt == 1 and parent is not None:
            parent.children.append(execution)
            parent.submissions.append(execution)
        if attempt.attempt == 1 and row.number == 1:
            run.root = execution
    for attempt in attempts:
        if attempt.next is not None:
            run.family.executions[attempt.id].successor = run.family.executions[attempt.next]


def _decode_outcome(data: bytes) -> Outcome:
    try:
        outcome: Outcome = _outcomes.decode(data)
    except msgspec.DecodeError as error:
        raise ValueError(f"the store holds an outcome that cannot be read: {error}") from error
    return outcome
