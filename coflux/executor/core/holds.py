"""Holds: queued executions that wait for others to end, whatever their outcome."""

from __future__ import annotations

from collections.abc import Iterable

from coflux.encoded import Reference
from coflux.executor.core.admission import Admission
from coflux.executor.core.cycles import closed_cycle
from coflux.executor.core.register import Register
from coflux.executor.core.state import Execution, Hold
from coflux.executor.messages import Succeeded

__all__ = ["Holds"]

SHOWN = 3  # handles that a reason names


class Holds:
    def __init__(self, register: Register, admission: Admission) -> None:
        """
        Args:
            register: what handles mean.
            admission: takes what waits no longer.
        """
        self._register = register
        self._admission = admission

    def for_arguments(self, execution: Execution) -> bool:
        """Let it wait for the handles in the parameters that its target's `wait` names, at any depth, and in their
        results. Returns False, and does nothing, if all have ended."""
        spec = execution.step.spec
        hold = Hold(execution, any=False)
        for name, argument in zip(spec.parameters, execution.step.arguments, strict=False):
            if name in spec.options.wait:
                self._add(hold, argument.references)
        return self._begin(hold, "arguments") if hold.unresolved else False

    def for_any(self, execution: Execution, targets: Iterable[Execution]) -> None:
        """Let it wait for the first of `targets` to end, if none has."""
        hold = Hold(execution, any=True)
        hold.targets = list(targets)
        if hold.targets and all(target.end().unfinished for target in hold.targets):
            hold.unresolved = len(hold.targets)
            self._begin(hold, "what it was suspended for")

    def _begin(self, hold: Hold, what: str) -> bool:
        execution = hold.execution
        execution.hold = hold
        for target in hold.targets:
            target.end().waiters.append(hold)
        names = ", ".join(target.id for target in hold.targets[:SHOWN])
        more = f" and {len(hold.targets) - SHOWN} more" if len(hold.targets) > SHOWN else ""
        self._admission.set_reason(execution, f"waiting for {what}: {names}{more}")
        self._check(hold, hold.targets)
        return True

    def _add(self, hold: Hold, references: Iterable[Reference]) -> list[Execution]:
        """Take unfinished executions among these, and in the results of the finished ones, into the hold."""
        added = []
        stack = list(references)
        while stack:
            reference = stack.pop()
            if reference.kind != "execution" or reference.id in hold.known:
                continue
            hold.known.add(reference.id)
            found = self._register.known(reference.id)
            if found is None:
                continue  # deleted meanwhile: who asks for its result gets to know
            end = found.end()
            if end.unfinished:
                added.append(found)
            elif isinstance(end.outcome, Succeeded):
                stack.extend(end.outcome.value.references)
        hold.targets += added
        hold.unresolved += len(added)
        return added

    def ended(self, hold: Hold, end: Execution) -> None:
        """A chain that it waits for has ended."""
        if hold.over:
            return
        hold.unresolved -= 1
        if not hold.any:
            if isinstance(end.outcome, Succeeded):
                added = self._add(hold, end.outcome.value.references)
                for target in added:
                    target.end().waiters.append(hold)
                self._check(hold, added)
            if hold.unresolved:
                return
        self.drop(hold.execution)
        self._admission.due.append(hold.execution)

    def drop(self, execution: Execution) -> None:
        """It waits no longer. Nothing happens if it does not."""
        hold, execution.hold = execution.hold, None
        if hold is None:
            return
        hold.over = True
        for target in hold.targets:
            waiters = target.end().waiters
            if hold in waiters:
                waiters.remove(hold)

    # -- sources of the cache --------------------------------------------------------------------------------------

    def link(self, execution: Execution, source: Execution) -> None:
        """Let it wait for the result of an equal execution."""
        execution.source = source
        source.links.append(execution)
        self._admission.set_reason(execution, f"linked to {source.id}, which computes the same for the cache")

    def unlink(self, execution: Execution) -> None:
        """It has no source any more. Nothing happens if it had none."""
        if execution.source is not None:
            execution.source.links.remove(execution)
            execution.source = None

    def unlink_one(self, cycle: list[Execution]) -> bool:
        """Let one of those in a cycle that wait for a result of the cache be executed instead; False if none does."""
        linked = next((execution for execution in cycle if execution.source is not None), None)
        if linked is None:
            return False
        self.unlink(linked)
        self._admission.due.append(linked)
        return True

    def closed_cycle(self, hold: Hold) -> list[Execution] | None:
        """The cycle because of which the hold could never end; `None` when it can."""
        execution = hold.execution
        if hold.any:
            return closed_cycle(execution, hold.targets)
        while hold.unchecked:
            target = hold.unchecked[-1]
            cycle = closed_cycle(execution, [target]) if target.end().unfinished else None
            if cycle is not None:
                return cycle
            hold.unchecked.pop()
        return None

    def _check(self, hold: Hold, added: list[Execution]) -> None:
        """Have it seen whether the hold closes a cycle, now that it waits for these."""
        if added:
            hold.unchecked += added
            self._admission.due.append(hold.execution)
