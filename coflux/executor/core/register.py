"""The register: every run that has not settled, with its steps and executions."""

from __future__ import annotations

from collections.abc import Iterator

from coflux.encoded import Value
from coflux.executor.core.archive import Archive
from coflux.executor.core.commands import Settled
from coflux.executor.core.descent import begins_chain, everything_below, has_failed
from coflux.executor.core.detached import detached_execution
from coflux.executor.core.effects import Outbox
from coflux.executor.core.handles import numbered
from coflux.executor.core.sources import Sources
from coflux.executor.core.state import NO_KEYS, Execution, Family, Host, Instant, Run, Step, StepKeys, Trigger
from coflux.executor.messages import TargetSpec

__all__ = ["Register"]


class Register:
    def __init__(self, order: Iterator[int], outbox: Outbox, sources: Sources, archive: Archive) -> None:
        """
        Args:
            order: numbers the executions in the order of their creation.
            outbox: takes what is to be written.
            sources: is told when the store knows of everything.
            archive: knows the runs that have settled.
        """
        self.runs: dict[str, Run] = {}
        self.families: dict[str, Family] = {}  # by the id of the root run
        self._settled: dict[str, Run] = {}  # runs that the store does not know to have settled
        self._order = order
        self._outbox = outbox
        self._sources = sources
        self._archive = archive

    # -- looking up ----------------------------------------------------------------------------------------------

    def find(self, execution_id: str) -> Execution | None:
        """An execution of a run that has not settled."""
        run = self.runs.get(execution_id.partition(":")[0])
        return None if run is None else run.family.executions.get(execution_id)

    def known(self, execution_id: str) -> Execution | None:
        """Any execution; the end of its chain for one that only the store knows, and `None` if there is none."""
        run_id = execution_id.partition(":")[0]
        run = self.runs.get(run_id) or self._settled.get(run_id)
        if run is not None:
            return run.family.executions.get(execution_id)
        ended = self._archive.recall(execution_id)
        if ended is not None:
            return detached_execution(ended)
        # Its run has settled, and it was deferred to one of another run, which has not ended.
        unfinished = self._archive.end_of(execution_id)
        return None if unfinished is None else self.find(unfinished)

    def resolve(self, execution: Execution, handle: str) -> Execution | None:
        """What a handle means when `execution` says it; `None` if nobody knows it."""
        return numbered(execution, handle) or self.known(handle)

    def shareable(self, run: Run, key: bytes, workspace: str) -> Execution | None:
        """The newest execution of the run with this memo key that `workspace` sees and that has not failed."""
        steps = run.memoised.get(key)
        if steps is None:
            return None
        lineage = self._archive.lineage(workspace)
        for step in reversed(steps):
            for execution in reversed(step.executions):
                if begins_chain(execution) and execution.workspace in lineage and not has_failed(execution.end()):
                    return execution
        return None

    # -- entering ------------------------------------------------------------------------------------------------

    def create_step(
        self,
        run: Run,
        parent: Execution | None,
        group: int | None,
        spec: TargetSpec,
        encoded: bytes,
        arguments: tuple[Value, ...],
        now: Instant,
        keys: StepKeys = NO_KEYS,
    ) -> Execution:
        """Enter a step of `run`, called by `parent`, and its first attempt."""
        run.steps += 1
        caller = parent if parent is not None else run.parent
        depth, host = (0, run.family.host) if caller is None else (caller.step.depth, caller.host)
        if parent is not None:
            depth += 1
        workspace = run.options.workspace if caller is None else caller.workspace
        step = Step(run, run.steps, parent, group, spec, encoded, arguments, depth, now.wall, keys)
        self._outbox.steps[step] = None
        self.adopt_step(step)
        return self.create_execution(step, host, now, "submission", workspace)

    def create_execution(
        self, step: Step, host: Host | None, now: Instant, trigger: Trigger, workspace: str
    ) -> Execution:
        """Enter the next attempt of a step, which will run on `host`."""
        attempt = step.executions[-1].attempt + 1 if step.executions else 1
        execution = Execution(step, attempt, None, next(self._order), now.wall)
        execution.trigger = trigger
        execution.workspace = workspace
        execution.bind(host)
        self._outbox.executions[execution] = None
        self.adopt_execution(execution)
        return execution

    def restored_execution(self, step: Step, attempt: int, created_at: float) -> Execution:
        """Make an execution that came from the store; `adopt_execution` takes it in once its state is set."""
        return Execution(step, attempt, None, next(self._order), created_at)

    def adopt_run(self, run: Run) -> None:
        """Take a run in, a new one or one from the store."""
        self.runs[run.id] = run
        self.families.setdefault(run.family.root.id, run.family)

    def adopt_step(self, step: Step) -> None:
        """Take a step in, a new one or one from the store."""
        if step.memo_key is not None:
            step.run.memoised.setdefault(step.memo_key, []).append(step)

    def adopt_execution(self, execution: Execution) -> None:
        """Take an execution in, a new one or one from the store."""
        step = execution.step
        family = step.run.family
        step.executions.append(execution)
        family.executions[execution.id] = execution
        if execution.unfinished:
            family.unfinished += 1

    def share(self, execution: Execution, shared: Execution) -> None:
        """Note that `execution` has got the handle of a step that was there already.

        That makes it responsible for what it shares, as for what it has submitted itself; but not for what it is itself
        below of (recursion): a caller does not go with what it has called.
        """
        caller: Execution | None = execution
        while caller is not None:
            if caller.step is shared.step:
                return
            caller = caller.step.parent or caller.step.run.parent
        step, owners = shared.step, shared.step.shared_by
        # One of the two lists may be very long: that of a step that all share, or of an execution that shares a lot.
        if len(owners) < len(execution.children):
            is_known = step.parent is execution or execution in owners
        else:
            is_known = any(child.step is step for child in execution.children)
        if not is_known:
            owners.append(execution)
        if not is_known or (shared.trigger == "rerun" and shared not in execution.children):
            execution.children.append(shared)

    def renew_step(self, step: Step, spec: TargetSpec, encoded: bytes, keys: StepKeys) -> None:
        """Let the attempts to come be what the code has now: its options, and so what makes it equal to others."""
        self._share_no_more(step)
        step.follow(spec, encoded, keys)
        if not any(one.unfinished for one in step.executions):
            step.resolved, step.route = not spec.stub, None  # these follow from its options, and are found out again
        self.adopt_step(step)
        self._outbox.steps[step] = None

    # -- leaving -------------------------------------------------------------------------------------------------

    def check_settled(self, family: Family) -> None:
        """Strike the family off if nothing of it is unfinished and none of its processes is left."""
        if family.unfinished or family.awaiting or family.leaving or family.root.settled:
            return
        for run in family.runs:
            run.settled = True
            self._outbox.runs[run] = None
            self.runs.pop(run.id, None)
            self._settled[run.id] = run
        self.families.pop(family.root.id, None)
        self._outbox.commands.append(Settled(family.root.id, family.root.status.value))

    def prune(self, execution: Execution) -> bool:
        """Strike off an attempt, with all that it has submitted. Returns False, and does nothing, where something of
        that is unfinished, or others have got it too."""
        below = everything_below(execution)
        if any(one.unfinished or one.step.shared_by for one in below):
            return False
        family = execution.step.run.family
        execution.step.executions.remove(execution)
        for one in (execution, *below):
            family.executions.pop(one.id, None)
            for step in {child.step: None for child in one.children}:
                if step.parent is not one:
                    step.shared_by.remove(one)
        for step in {one.step: None for one in below}:
            self._strike_off(step, execution.step.run)
        self._outbox.pruned.append(execution)
        self._outbox.runs[execution.step.run] = None  # with the number of its steps: none of these gets one's id again
        return True

    def _strike_off(self, step: Step, kept: Run) -> None:
        """Let nobody share a step that is gone; nor is there a run of its own without its root."""
        run = step.run
        self._share_no_more(step)
        if run is not kept and step.number == 1:
            self.runs.pop(run.id)
            run.family.runs.remove(run)

    def _share_no_more(self, step: Step) -> None:
        if step.memo_key is not None:
            memoised = step.run.memoised
            equal = memoised[step.memo_key]
            equal.remove(step)
            if not equal:
                del memoised[step.memo_key]

    def committed(self) -> None:
        """The store knows of everything that has happened."""
        self._settled.clear()
        self._sources.committed()
