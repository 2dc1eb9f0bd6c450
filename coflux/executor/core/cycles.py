"""Waits that can never end, seen before they begin.

An execution cannot end before `waiter` does if one of its waits is for nothing but `waiter` and such executions. Waits
with a timeout end by themselves, so they hold nobody up.
"""

from __future__ import annotations

from coflux.executor.core.state import Execution, Hold, State, Wait

__all__ = ["closed_cycle", "describe_cycle", "queued_behind"]


def closed_cycle(waiter: Execution, targets: list[Execution]) -> list[Execution] | None:
    """The cycle because of which a wait of `waiter` for the first of `targets` could never end; `None` when it can."""
    ends = [target.end() for target in targets]
    if not all(end is waiter or _is_blocked(end) for end in ends):
        return None
    awaiting = _all_awaiting(waiter)
    if not awaiting.issuperset(ends):
        return None
    stuck = _stuck_behind(waiter, ends, awaiting)
    if not stuck.issuperset(ends):
        return None
    return [waiter, *_path_to(ends[0], waiter, stuck)]


def describe_cycle(cycle: list[Execution]) -> str:
    chain = " → ".join(f"{execution.step.spec.name} ({execution.id})" for execution in cycle)
    return f"this wait can never end, it closes a cycle: {chain}"


def _is_blocked(execution: Execution) -> bool:
    """Whether it waits for another, in some way."""
    if execution.state is State.RUNNING:
        return bool(execution.waits)
    return execution.hold is not None or execution.source is not None or execution.superseded_by is not None


def _needs(execution: Execution) -> list[list[Execution]]:
    """For each of its waits that only an outcome ends: the executions of which one must end first."""
    waits = execution.waits.values()
    needs = [[target.end() for target in wait.targets] for wait in waits if not wait.timed and not wait.resolved]
    return needs + queued_behind(execution) if execution.state is State.QUEUED else needs


def queued_behind(execution: Execution) -> list[list[Execution]]:
    """For each thing that keeps a queued execution from starting: the executions of which one must end first, or, where
    it is superseded, start."""
    needs = []
    if execution.source is not None:
        needs.append([execution.source])
    if execution.superseded_by is not None:
        needs.append([execution.superseded_by])
    if execution.hold is not None:
        ends = [target.end() for target in execution.hold.targets]
        needs += [ends] if execution.hold.any else [[end] for end in ends if end.unfinished]
    return needs


def _all_awaiting(execution: Execution) -> set[Execution]:
    """All that wait for it, also by way of others, itself included.

    These are few, mostly none or those that called it, where what it waits for itself may be a thousand steps.
    """
    found: set[Execution] = set()
    stack = [execution]
    while stack:
        awaited = stack.pop()
        if awaited not in found:
            found.add(awaited)
            stack.extend(waiter.execution for waiter in awaited.waiters if isinstance(waiter, Wait | Hold))
            stack.extend(awaited.links)
            if awaited.supersedes is not None:
                stack.append(awaited.supersedes)
    return found


def _stuck_behind(waiter: Execution, ends: list[Execution], awaiting: set[Execution]) -> set[Execution]:
    """Of all that these executions wait for: what cannot end before `waiter` does, itself included. That is only to be
    found among those that wait for it."""
    order: dict[Execution, None] = {waiter: None}
    stack = list(ends)
    while stack:
        execution = stack.pop()
        if execution not in order and execution in awaiting:
            order[execution] = None
            for need in _needs(execution):
                stack.extend(need)
    del order[waiter]
    stuck = {waiter, *order}
    shrinking = True
    while shrinking:
        # From the far end: what is freed there frees those that wait for it in the same pass.
        free = [execution for execution in reversed(order) if _set_free(execution, stuck)]
        shrinking = bool(free)
    return stuck


def _set_free(execution: Execution, stuck: set[Execution]) -> bool:
    """Take an execution out of `stuck` if each of its waits can end; whether that was so."""
    if execution not in stuck or any(stuck.issuperset(need) for need in _needs(execution)):
        return False
    stuck.remove(execution)
    return True


def _path_to(start: Execution, goal: Execution, stuck: set[Execution]) -> list[Execution]:
    """The executions from `start` to `goal` along the waits that cannot end, as far as they lead there."""
    stack = [[start]]
    seen: set[Execution] = set()
    path = [start]
    while stack:
        path = stack.pop()
        last = path[-1]
        if last is goal:
            break
        if last not in seen:
            seen.add(last)
            stack.extend([*path, end] for need in _needs(last) if stuck.issuperset(need) for end in need)
    return path
