"""The register: every run that has not settled, with its steps and executions."""

from __future__ import annotations

from collections.abc import Iterator

from coflux.encoded import Value
from coflux.executor.core.commands import Settled
from coflux.executor.core.effects import Outbox
from coflux.executor.core.handles import numbered
from coflux.executor.core.state import Execution, Family, Host, Instant, Run, Step
from coflux.executor.messages import TargetSpec

__all__ = ["Register"]


class Register:
    def __init__(self, order: Iterator[int], outbox: Outbox) -> None:
        """
        Args:
            order: numbers the executions in the order of their creation.
            outbox: takes what is to be written.
        """
        self.runs: dict[str, Run] = {}
        self.families: dict[str, Family] = {}  # by the id of the root run
        self._order = order
        self._outbox = outbox

    # -- looking up ----------------------------------------------------------------------------------------------

    def find(self, execution_id: str) -> Execution | None:
        run = self.runs.get(execution_id.partition(":")[0])
        return None if run is None else run.family.executions.get(execution_id)

    def resolve(self, execution: Execution, handle: str) -> Execution | None:
        """What a handle means when `execution` says it; `None` if nobody knows it."""
        return numbered(execution, handle) or self.find(handle)

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
    ) -> Execution:
        """Enter a step of `run`, called by `parent`, and its first attempt."""
        run.steps += 1
        depth, host = (0, run.family.host) if parent is None else (parent.step.depth + 1, parent.host)
        step = Step(run, run.steps, parent, group, spec, encoded, arguments, depth, now.wall)
        self._outbox.steps.append(step)
        return self.create_execution(step, 1, host, now)

    def create_execution(self, step: Step, attempt: int, host: Host | None, now: Instant) -> Execution:
        """Enter an attempt that will run on `host`."""
        execution = Execution(step, attempt, None, next(self._order), now.wall)
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

    def adopt_execution(self, execution: Execution) -> None:
        """Take an execution in, a new one or one from the store."""
        family = execution.step.run.family
        family.executions[execution.id] = execution
        if execution.unfinished:
            family.unfinished += 1

    # -- leaving -------------------------------------------------------------------------------------------------

    def check_settled(self, family: Family) -> None:
        """Strike the family off if nothing of it is unfinished and none of its processes is left."""
        if family.unfinished or family.leaving or family.root.settled:
            return
        for run in family.runs:
            run.settled = True
            self._outbox.runs[run] = None
            self.runs.pop(run.id, None)
        self.families.pop(family.root.id, None)
        self._outbox.commands.append(Settled(family.root.id, family.root.status.value))
