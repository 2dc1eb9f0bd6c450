"""What follows from an execution: the attempts after it, and what it has submitted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from coflux.executor.core.state import Execution, State

__all__ = ["all_below", "attempts_from", "everything_below", "with_all_below"]


def attempts_from(execution: Execution) -> Iterator[Execution]:
    """The execution and those that follow it, through retries, suspensions, recurrences and into a run of its own; but
    not those that it has its result from: these belong to somebody else."""
    following: Execution | None = execution
    while following is not None:
        yield following
        following = None if following.state is State.DEFERRED else following.successor


def everything_below(execution: Execution) -> list[Execution]:
    """All attempts at all that was submitted by this one, and below."""
    found: dict[Execution, None] = {}
    stack = list(_attempts_below(execution))
    while stack:
        one = stack.pop()
        if one not in found:
            found[one] = None
            stack.extend(_attempts_below(one))
            stack.extend(attempts_from(one))
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


def _attempts_below(execution: Execution) -> Iterator[Execution]:
    for child in execution.children:
        if child.step.parent is execution:
            yield from _attempts_at(child)


def _attempts_at(child: Execution) -> list[Execution]:
    """What somebody submitted, and what was executed again later on at its place."""
    again = [one for one in child.step.executions if one.trigger == "rerun" and one.workspace == child.workspace]
    return [child, *again] if again else [child]


def _is_needed(child: Execution, found: dict[Execution, None]) -> bool:
    """Whether an unfinished execution that is not in `found` has its handle."""
    owners = child.step.shared_by if child.step.parent is None else [child.step.parent, *child.step.shared_by]
    ends = [owner.end() for owner in owners]
    return any(end.unfinished and end not in found for end in ends)
