"""Runs that cannot get on, since what they wait for has no worker group that could ever run it."""

from __future__ import annotations

from coflux.executor.core.cycles import queued_behind
from coflux.executor.core.state import Execution, Family, State

__all__ = ["why_stuck"]

SHOWN = 5  # steps that a message names


def why_stuck(family: Family) -> str | None:
    """Why nothing of a family with unroutable executions can ever get on; `None` if something can."""
    if family.active > family.lent or family.leaving or _can_get_on(family):
        return None
    unroutable = list(family.unroutable)
    named = [f"{one.id} {one.step.spec.module}/{one.step.spec.name}: {one.reason}" for one in unroutable[:SHOWN]]
    more = f" (and {len(unroutable) - SHOWN} more steps)" if len(unroutable) > SHOWN else ""
    return f"nothing of run {family.root.id} can ever get on: {'; '.join(named)}{more}"


def _can_get_on(family: Family) -> bool:
    """Whether anything of a family may end, or start, be it since something of another family does."""
    unfinished = [execution for execution in family.executions.values() if execution.unfinished]
    if not all(map(_needs, unfinished)):
        return True
    waiting: dict[Execution, list[list[Execution]]] = {}
    line = unfinished
    while line:
        execution = line.pop()
        if execution.unfinished and execution not in waiting:
            needs = waiting[execution] = _needs(execution)
            line += [end for need in needs for end in need]
    stuck = set(waiting)
    while free := [one for one in stuck if all(not stuck.issuperset(need) for need in waiting[one])]:
        stuck.difference_update(free)
    return any(execution not in stuck for execution in waiting if execution.step.run.family is family)


def _needs(execution: Execution) -> list[list[Execution]]:
    """For each thing that must happen before it may end, or start: the executions of which one must do so."""
    if execution.state is State.QUEUED:
        return [[]] if execution in execution.step.run.family.unroutable else queued_behind(execution)
    waits = execution.waits.values()
    if not waits or execution.step.spec.options.timeout > 0 or any(wait.timed or wait.resolved for wait in waits):
        return []
    return [[target.end() for wait in waits for target in wait.targets]]
