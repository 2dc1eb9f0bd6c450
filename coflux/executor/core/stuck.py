"""Runs that cannot get on, since what they wait for has no worker group that could ever run it."""

from __future__ import annotations

from coflux.executor.core.state import Execution, Family, State

__all__ = ["why_stuck"]

SHOWN = 5  # steps that a message names


def why_stuck(family: Family) -> str | None:
    """Why nothing of a family with unroutable executions can ever get on; `None` if something can."""
    if family.active > family.lent or family.leaving:
        return None
    if any(execution.unfinished and _can_get_on(execution) for execution in family.executions.values()):
        return None
    unroutable = list(family.unroutable)
    named = [f"{one.id} {one.step.spec.module}/{one.step.spec.name}: {one.reason}" for one in unroutable[:SHOWN]]
    more = f" (and {len(unroutable) - SHOWN} more steps)" if len(unroutable) > SHOWN else ""
    return f"nothing of run {family.root.id} can ever get on: {'; '.join(named)}{more}"


def _can_get_on(execution: Execution) -> bool:
    """Whether it may end, or start, without that another execution of its family does."""
    if execution.state is State.RUNNING:
        if execution.step.spec.options.timeout > 0 or not execution.waits:
            return True
        return any(wait.timed or wait.resolved or _leaves(execution, wait.targets) for wait in execution.waits.values())
    if execution in execution.step.run.family.unroutable:
        return False
    if execution.source is not None:
        return _leaves(execution, [execution.source])
    if execution.superseded_by is not None:
        return _leaves(execution, [execution.superseded_by])
    return execution.hold is None or _leaves(execution, execution.hold.targets)


def _leaves(execution: Execution, targets: list[Execution]) -> bool:
    """Whether one of these belongs to another family, so that other rules decide on it."""
    family = execution.step.run.family
    return any(target.end().step.run.family is not family for target in targets)
