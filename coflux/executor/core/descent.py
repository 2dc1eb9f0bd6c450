"""What follows from an execution: the attempts after it, and what it has submitted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from coflux.executor.core.state import Execution, State, Step
from coflux.executor.messages import EarlierChild

__all__ = [
    "all_below",
    "attempts_from",
    "awaited_failure",
    "begins_chain",
    "earlier_children",
    "everything_below",
    "has_failed",
    "newest_chain",
    "with_all_below",
]


def begins_chain(execution: Execution) -> bool:
    """Whether it is what a handle stands for: somebody submitted it, or asked for it again."""
    return execution.trigger in {"submission", "rerun"}


def has_failed(end: Execution) -> bool:
    """Whether the end of a chain is of no use to anybody who wants the result."""
    return not end.unfinished and end.state is not State.SUCCEEDED and end.state is not State.CACHED


def newest_chain(step: Step, workspace: str) -> Execution:
    """The beginning of the step's newest chain in a workspace; where it has none there, of the newest of all."""
    heads = [execution for execution in step.executions if begins_chain(execution)]
    return next((head for head in reversed(heads) if head.workspace == workspace), heads[-1])


def earlier_children(execution: Execution) -> tuple[EarlierChild, ...]:
    """What the attempts before this one have submitted, for an attempt that resumes."""
    attempts = [attempt for attempt in execution.step.executions if attempt.attempt < execution.attempt]
    steps = {child.step: None for attempt in attempts for child in attempt.children}
    heads = [newest_chain(step, execution.workspace) for step in steps]
    return tuple(
        EarlierChild(
            head.id, head.step.spec.module, head.step.spec.name, head.step.arguments, not has_failed(head.end())
        )
        for head in heads
    )


def awaited_failure(parent: Execution, memo_key: bytes) -> Execution | None:
    """What the attempts before this one were suspended for, and which has failed: the n-th of those for the n-th
    submission with this memo key. Memo does not share failures, so it would be executed again, the attempt suspended
    again, and nobody ever told of the failure. `None` when there is none (left)."""
    if parent.trigger != "resumption":
        return None
    failed: dict[Execution, None] = {}
    attempts = parent.step.executions
    for before in reversed(attempts[: attempts.index(parent)]):
        if before.suspension is None or not before.suspension.targets:
            break
        failed.update((one, None) for one in before.suspension.targets if _has_failed_for(one, memo_key))
    if not failed:
        return None
    position = sum(one.step.memo_key == memo_key for one in parent.submissions)
    oldest_first = list(reversed(failed))
    return oldest_first[position] if position < len(oldest_first) else None


def _has_failed_for(execution: Execution, memo_key: bytes) -> bool:
    return execution.step.memo_key == memo_key and has_failed(execution.end())


def attempts_from(execution: Execution) -> Iterator[Execution]:
    """The execution and those that follow it, through retries, suspensions, recurrences and into a run of its own; but
    not those that it has its result from: these belong to somebody else."""
    following: Execution | None = execution
    while following is not None:
        yield following
        following = None if following.state is State.DEFERRED else following.successor


def everything_below(execution: Execution) -> list[Execution]:
    """All attempts at all that was submitted by this one, and below, whoever asked for them, and in any workspace."""
    found: dict[Execution, None] = {}
    stack = _submitted_by(execution)
    while stack:
        for one in stack.pop().executions:
            if one not in found:
                found[one] = None
                stack += _submitted_by(one)
                if one.state is State.SPAWNED and one.successor is not None:
                    stack.append(one.successor.step)
    return list(found)


def with_all_below(roots: Iterable[Execution]) -> list[Execution]:
    """What is to be cancelled with `roots`: the attempts from there on, and those of everything below any of them.

    A step whose handle was given to several executions is spared while one of these can still use it.
    """
    return _closure(list(roots), {})


def all_below(execution: Execution) -> list[Execution]:
    """What is to be cancelled below an attempt, without the attempts after it. Shared steps: as above, and the attempt
    after it has yet to ask for any."""
    after = execution.end()
    found = {execution: None, after: None}
    return [one for one in _closure([], found, execution.children) if one is not execution and one is not after]


def _closure(
    stack: list[Execution], found: dict[Execution, None], children: Iterable[Execution] = ()
) -> list[Execution]:
    shared: list[Execution] = []
    _sort_out(children, stack, shared)
    while stack or shared:
        while stack:
            for execution in attempts_from(stack.pop()):
                if execution in found:
                    break
                found[execution] = None
                _sort_out(execution.children, stack, shared)
        # Those that only doomed executions share are doomed too, which may doom others.
        stack = [child for child in shared if child not in found and not _is_needed(child, found)]
        shared = [child for child in shared if child not in found] if stack else []
    return list(found)


def _sort_out(children: Iterable[Execution], stack: list[Execution], shared: list[Execution]) -> None:
    for child in children:
        (shared if child.step.shared_by else stack).extend(_attempts_at(child))


def _submitted_by(execution: Execution) -> list[Step]:
    return [child.step for child in execution.children if child.step.parent is execution]


def _attempts_at(child: Execution) -> list[Execution]:
    """What somebody submitted, and what was executed again later on at its place."""
    again = [one for one in child.step.executions if one.trigger == "rerun" and one.workspace == child.workspace]
    return [child, *again] if again else [child]


def _is_needed(child: Execution, found: dict[Execution, None]) -> bool:
    """Whether an unfinished execution that is not in `found` has its handle."""
    owners = child.step.shared_by if child.step.parent is None else [child.step.parent, *child.step.shared_by]
    ends = [owner.end() for owner in owners]
    return any(end.unfinished and end not in found for end in ends)
