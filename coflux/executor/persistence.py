"""From the scheduler's objects to the store's rows, and back after a restart."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from msgspec.msgpack import Decoder

from coflux.executor.archive import recorded
from coflux.executor.channel import encode
from coflux.executor.core.detached import detached_execution
from coflux.executor.core.effects import Effects
from coflux.executor.core.scheduler import Scheduler
from coflux.executor.core.state import SUSPENDING, Execution, Instant, Run, State, Step, StepKeys, Suspension
from coflux.executor.database import damaged
from coflux.executor.messages import Succeeded, Usage
from coflux.executor.reading import ARGUMENTS, KEYS, OPTIONS, OUTCOME, TARGET, decode
from coflux.executor.rows import (
    Batch,
    ExecutionRow,
    GroupRow,
    LoadedRun,
    LogRow,
    PrunedRow,
    RunRow,
    SharedRow,
    StepRow,
    format_execution_id,
)
from coflux.executor.store import Store
from coflux.logs import Level
from coflux.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["blobs_of", "load_family", "restore", "to_batch"]

_Decoded = TypeVar("_Decoded")


# -- to the store -----------------------------------------------------------------------------------------------------


def to_batch(effects: Effects, batch: Batch, wall: float, redactor: Redactor) -> None:
    """Add the rows of one turn to `batch`; `wall` is when it was, in seconds since the epoch. Its texts are redacted:
    they name tags and modules, which the user's code has made."""
    batch.runs += [_run_row(run) for run in effects.runs]
    batch.steps += [_step_row(step) for step in effects.steps]
    batch.executions += [_execution_row(execution, redactor) for execution in effects.executions]
    for execution, group in effects.groups:
        step = execution.step
        batch.groups.append(
            GroupRow(step.run.id, step.number, execution.attempt, group.number, group.name, group.parent)
        )
    batch.shared += [
        SharedRow(*_attempt(execution), number, child.id, group) for execution, number, child, group in effects.shared
    ]
    batch.logs += [
        LogRow(*_attempt(execution), wall, Level.WARNING, redactor.text(text), None)
        for execution, text in effects.warnings
    ]
    for execution in effects.pruned:
        submitted = [child.step.number for child in execution.children]
        batch.pruned.append(PrunedRow(*_attempt(execution), min(submitted, default=None)))


def _attempt(execution: Execution) -> tuple[str, int, int]:
    step = execution.step
    return step.run.id, step.number, execution.attempt


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
        steps=run.steps,
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
        encode(step.keys) if step.keys else None,
        step.memo_key,
        step.cache_key,
        step.defer_key,
        None if step.spawned is None else step.spawned.id,
    )


def _execution_row(execution: Execution, redactor: Redactor) -> ExecutionRow:
    step, state = execution.step, execution.state
    usage = execution.usage
    outcome = None if state is State.CACHED else execution.outcome  # that is its source's
    reason = execution.reason
    if reason and reason != SUSPENDING:  # by which `restore` knows it
        reason = redactor.text(reason)
    return ExecutionRow(
        step.run.id,
        step.number,
        execution.attempt,
        state.value,
        reason,
        (execution.cached_from or None) if execution.successor is None else execution.successor.id,
        execution.created_at,
        execution.due_wall,
        execution.started_at,
        execution.finished_at,
        execution.pid,
        None if execution.host is None else execution.host.id,
        None if outcome is None else encode(outcome),
        None if usage is None else usage.cpu_seconds,
        None if usage is None else usage.peak_memory,
        execution.workspace,
        execution.trigger,
        execution.fingerprint or None,
        step.cache_key if state is State.SUCCEEDED else None,
        _awaited(execution) if execution.unfinished or state is State.SUSPENDED else None,
        None if usage is None else usage.read_bytes,
        None if usage is None else usage.written_bytes,
        execution.older_code,
        execution.resumes,
    )


def _awaited(execution: Execution) -> str | None:
    """What it waits for, or was suspended for. Its arguments are left out: they can be thousands, and are in the step's
    row anyway."""
    hold, suspension = execution.hold, execution.suspension
    awaited: Sequence[Execution]
    if suspension is not None:
        awaited = suspension.targets
    elif hold is not None and hold.any and not hold.over:
        awaited = hold.targets
    else:
        awaited = [one for one in (execution.source, execution.superseded_by) if one is not None]
    return " ".join(one.id for one in awaited) or None


def blobs_of(effects: Effects) -> Iterable[str]:
    """The blobs that the rows of one turn refer to."""
    for step in effects.steps:
        for value in (*step.arguments, *filter(None, (step.spec.code, step.spec.when))):
            if value.blob is not None:
                yield value.blob
    for execution in effects.executions:
        if execution.state is State.SUCCEEDED and isinstance(execution.outcome, Succeeded):
            blob = execution.outcome.value.blob
            if blob is not None:
                yield blob


# -- and back ---------------------------------------------------------------------------------------------------------


def restore(scheduler: Scheduler, store: Store, now: Instant) -> None:
    """Take unfinished runs back in: what was queued is queued, what ran is abandoned, and retries go on.

    Raises `StoreError` if the store cannot be read.
    """
    intake = _Intake(scheduler, store)
    intake.take(store.unfinished())
    lost: list[Execution] = []
    for execution, row in sorted(intake.taken, key=lambda one: one[0].created_at):  # as they were submitted
        if execution.state is State.RUNNING:
            intake.suspend(execution, row, now)
            lost.append(execution)
        elif execution.state is State.QUEUED:
            scheduler.requeue(execution, row.due_at, now, awaits=intake.awaited(row))
    for execution in lost:
        scheduler.abandon(execution, "the engine ended while it was running", now)
    scheduler.settle_restored(now)


def load_family(scheduler: Scheduler, store: Store, run_id: str) -> Run | None:
    """The run, taken in with its whole family if it has settled; `None` if there is no such run.

    Raises `StoreError` if the store cannot be read.
    """
    run = scheduler.runs.get(run_id)
    if run is None:
        _Intake(scheduler, store).take(store.load_family(run_id))
        run = scheduler.runs.get(run_id)
    return run


class _Intake:
    """Makes the scheduler's objects of recorded runs: first all executions, then the links between them.

    Links lead from one family into others, also into some that are not taken in.
    """

    def __init__(self, scheduler: Scheduler, store: Store) -> None:
        self.taken: list[tuple[Execution, ExecutionRow]] = []
        self._scheduler = scheduler
        self._store = store
        self._steps: list[tuple[Step, StepRow]] = []
        self._elsewhere: dict[str, Execution | None] = {}

    def take(self, loaded: list[LoadedRun]) -> None:
        """Take in whole families, each root run before its child runs."""
        for record in loaded:
            self._take_run(record)
        for execution, row in self.taken:
            if row.next is not None:
                self._link(execution, row.next)
        for execution, row in self.taken:
            if execution.state is State.SUSPENDED:
                execution.suspension = Suspension(
                    0.0, 0.0, self._suspended_for(row)
                )  # the times do not matter any more
        for step, step_row in self._steps:
            if step_row.spawned is not None:
                step.spawned = self._scheduler.runs.get(step_row.spawned)
        for record in loaded:
            for shared in record.shared:
                self._link_shared(shared)

    def awaited(self, row: ExecutionRow) -> list[Execution]:
        """What an attempt after a suspension was told to wait for; nothing, if some of it is not there any more."""
        found = [self._find(awaited) for awaited in row.waits_for] if row.trigger == "resumption" else []
        targets = [execution for execution in found if execution is not None]
        return targets if len(targets) == len(found) else []

    def suspend(self, execution: Execution, row: ExecutionRow, now: Instant) -> None:
        """If it had asked to go on in another attempt, it still does so, although its process is gone."""
        if row.reason == SUSPENDING and row.due_at is not None:
            due_at = now.elapsed + row.due_at - now.wall
            execution.suspension = Suspension(due_at, row.due_at, self._suspended_for(row))

    def _suspended_for(self, row: ExecutionRow) -> tuple[Execution, ...]:
        found = [self._find(awaited) for awaited in row.waits_for]
        return tuple(execution for execution in found if execution is not None)

    # -- runs, steps and executions -----------------------------------------------------------------------------------

    def _take_run(self, record: LoadedRun) -> None:
        row, register = record.run, self._scheduler.register
        top = None if row.root_run == row.id else register.runs[row.root_run]
        parent = None if top is None or row.parent is None else top.family.executions[row.parent]
        run = Run(
            row.id, None if top is None else top.family, parent, self._decode(OPTIONS, row.options), row.created_at
        )
        run.context = row.context
        run.started_at, run.finished_at = row.started_at, row.finished_at
        run.steps = max(row.steps, *(step.number for step in record.steps))
        if top is None:
            run.family.cap = run.options.concurrency
        else:
            run.family.runs.append(run)
        register.adopt_run(run)
        attempts: dict[int, list[ExecutionRow]] = {}
        for execution_row in record.executions:
            attempts.setdefault(execution_row.step, []).append(execution_row)
        for step_row in record.steps:
            step = self._take_step(run, step_row, attempts.get(step_row.number, []))
            if step.number == 1:
                own = [one for one in step.executions if one.workspace == run.options.workspace]
                run.root = _head(own or step.executions)
        if top is None:
            self._scheduler.placement.settle_restored(run)

    def _take_step(self, run: Run, row: StepRow, attempts: list[ExecutionRow]) -> Step:
        parent = None if row.parent is None else run.family.executions[row.parent]
        spec, arguments = self._decode(TARGET, row.target), self._decode(ARGUMENTS, row.arguments)
        arguments_keys = () if row.keys is None else self._decode(KEYS, row.keys)
        keys = StepKeys(arguments_keys, row.memo_key, row.cache_key, row.defer_key)
        step = Step(run, row.number, parent, row.group, spec, row.target, arguments, row.depth, row.created_at, keys)
        self._scheduler.register.adopt_step(step)
        executions = [self._take_execution(step, attempt) for attempt in attempts]
        for earlier, later in pairwise(executions):
            if later.trigger == "retry":
                later.streak = earlier.streak + 1
        self._steps.append((step, row))
        if parent is not None:
            parent.children.append(executions[0])
            parent.submissions.append(executions[0])
        return step

    def _take_execution(self, step: Step, row: ExecutionRow) -> Execution:
        register = self._scheduler.register
        execution = register.restored_execution(step, row.attempt, row.created_at)
        execution.state = State(row.status)
        execution.reason = row.reason
        execution.due_wall = row.due_at
        execution.started_at, execution.finished_at = row.started_at, row.finished_at
        execution.pid = row.pid
        if row.outcome is not None:
            execution.outcome = self._decode(OUTCOME, row.outcome)
        if row.cpu_seconds is not None and row.peak_memory is not None:
            execution.usage = Usage(row.cpu_seconds, row.peak_memory, row.read_bytes, row.written_bytes)
        execution.workspace, execution.trigger = row.workspace, row.trigger
        execution.fingerprint = row.fingerprint or b""
        execution.older_code, execution.resumes = row.older_code, row.resumes
        register.adopt_execution(execution)
        self.taken.append((execution, row))
        return execution

    # -- the links between them ---------------------------------------------------------------------------------------

    def _link(self, execution: Execution, following: str) -> None:
        found = self._find(following)
        if found is None:
            raise damaged(self._store.path, f"{execution.id} leads to {following}, which is not there")
        if execution.state is State.CACHED:
            execution.cached_from = following
            execution.outcome = found.end().outcome
        else:
            execution.successor = found

    def _link_shared(self, row: SharedRow) -> None:
        """Submissions are in the order of their numbers, so rows have to come in that order."""
        execution = self._scheduler.register.runs[row.run].family.executions[
            format_execution_id(row.run, row.step, row.attempt)
        ]
        child = self._find(row.child)
        if child is None:
            raise damaged(self._store.path, f"{execution.id} shares {row.child}, which is not there")
        execution.submissions.insert(row.number - 1, child)
        self._scheduler.register.share(execution, child)

    def _find(self, execution_id: str) -> Execution | None:
        """An execution, wherever it is; in the place of one that was pruned or not taken in, the end of its chain."""
        found = self._scheduler.find(execution_id)
        if found is not None:
            return found
        if execution_id not in self._elsewhere:
            end = self._store.chain_end(execution_id)
            self._elsewhere[execution_id] = None if end is None else self._scheduler.find(end.id) or self._detached(end)
        return self._elsewhere[execution_id]

    def _decode(self, decoder: Decoder[_Decoded], data: bytes) -> _Decoded:
        return decode(self._store.path, decoder, data)

    def _detached(self, row: ExecutionRow) -> Execution | None:
        found = recorded(self._store, row)
        return None if found is None else detached_execution(found)


def _head(attempts: list[Execution]) -> Execution:
    """The first attempt of the newest chain, as far as it is there."""
    head = attempts[-1]
    for earlier in reversed(attempts[:-1]):
        if head.trigger in ("submission", "rerun") or earlier.attempt != head.attempt - 1:
            break
        head = earlier
    return head
