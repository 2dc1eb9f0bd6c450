"""The tree of a run as data: rows of the store go in, lines come out. No terminal, clock or store in here.

A line per step, under the step that submitted it, and a line per group. A step shows its latest attempt; a step that
became a child run shows that run's root in its place. A node counts the states below it as they change, so drawing
costs what fits on the screen, not what the run has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from coflux.executor.document import StepInfo
from coflux.executor.rows import ExecutionRow, GroupRow, parse_execution_id

__all__ = ["GROUP", "MORE", "PROBLEMS", "Line", "RunView", "describe_counts"]

GROUP = "group"
MORE = "more"
PROBLEMS = ("failed", "timed_out", "abandoned")
_ORDER = ("running", "queued", *PROBLEMS, "cancelled", "suspended", "succeeded")


class Line(NamedTuple):
    """`state` is a status word, or GROUP, or MORE for a line that stands for several. `seconds` is None for a step that
    has not started. `title` is text of the user's code, as it is."""

    depth: int
    state: str
    title: str
    note: str = ""
    seconds: float | None = None


class _Node:
    __slots__ = ("attempt", "below", "children", "execution", "note", "parent", "state", "title")

    def __init__(self, parent: _Node | None, state: str, title: str) -> None:
        self.parent = parent
        self.state = state
        self.title = title
        self.note = ""
        self.attempt = 0
        self.execution: ExecutionRow | None = None
        self.children: list[_Node] = []
        self.below: Counter[str] = Counter()  # states of all nodes below this one
        if parent is not None:
            parent.children.append(self)
            for ancestor in self.ancestors():
                ancestor.below[state] += 1

    def ancestors(self) -> Iterator[_Node]:
        node = self.parent
        while node is not None:
            yield node
            node = node.parent

    def enter(self, state: str) -> None:
        if state != self.state:
            for ancestor in self.ancestors():
                ancestor.below[self.state] -= 1
                ancestor.below[state] += 1
            self.state = state

    def is_quiet(self) -> bool:
        """Nothing to see: queued, or finished well, and so is everything below."""
        loud = ("running", *PROBLEMS)
        return self.state not in loud and not any(self.below[state] for state in loud)


class RunView:
    """The tree of a run and its child runs."""

    def __init__(self) -> None:
        self._top = _Node(None, MORE, "")
        self._steps: dict[tuple[str, int], _Node] = {}
        self._groups: dict[tuple[str, int, int, int], _Node] = {}

    @property
    def counts(self) -> Counter[str]:
        """How many steps are in which state."""
        return Counter({state: count for state, count in self._top.below.items() if count and state != GROUP})

    def add_group(self, row: GroupRow) -> None:
        """Add a group, after the step it belongs to and before the steps in it."""
        key = (row.run, row.step, row.attempt, row.number)
        if key in self._groups or (row.run, row.step) not in self._steps:
            return
        parent = self._place(row.run, row.step, row.attempt, row.parent)
        self._groups[key] = _Node(parent, GROUP, row.name or "group")

    def add_step(self, row: StepInfo, spawned_by: str | None = None) -> None:
        """Add a step, after the step that submitted it. `spawned_by` is the execution that a child run's root takes the
        place of."""
        key = (row.run, row.number)
        if key in self._steps:
            return
        if spawned_by is not None:
            run, step, _ = parse_execution_id(spawned_by)
            place = self._steps.get((run, step))
            if place is not None:
                self._steps[key] = place
                place.title += f" [{row.run}]"
                return
        parent = self._top
        if row.parent is not None:
            parent = self._place(*parse_execution_id(row.parent), row.group)
        self._steps[key] = _Node(parent, "queued", f"{row.name}({', '.join(row.arguments)})")

    def update(self, row: ExecutionRow, problem: str = "") -> None:
        """Take in the state of an execution; an attempt older than the one shown changes nothing."""
        node = self._steps[row.run, row.step]
        shown = node.execution
        if shown is not None and shown.run == row.run and shown.attempt > row.attempt:
            return
        if shown is not None and shown.run != row.run and row.status == "spawned":
            return  # the child run is shown in its place already
        node.execution = row
        node.note = _note(row, problem)
        node.enter(row.status)

    def lines(self, limit: int, now: float) -> list[Line]:
        """The tree in at most `limit` lines: the whole of it if it fits, else what runs or went wrong, and counts of
        the rest. `now` is the wall-clock time up to which running steps are timed."""
        folded = sum(self._top.below.values()) > limit
        return list(self._walk(self._top, 0, _Budget(limit - folded), folded, now))

    def _place(self, run: str, step: int, attempt: int, group: int | None) -> _Node:
        if group is not None and (run, step, attempt, group) in self._groups:
            return self._groups[run, step, attempt, group]
        return self._steps.get((run, step), self._top)

    def _walk(self, node: _Node, depth: int, budget: _Budget, folded: bool, now: float) -> Iterator[Line]:
        """The lines below `node`. When folded, the caller has kept one line of the budget free for the last one."""
        hidden: Counter[str] = Counter()
        for child in node.children:
            cost = 1 + (folded and bool(child.children))
            quiet = child.is_quiet() and node is not self._top  # how the run itself is, is what one looks for first
            if folded and (quiet or budget.left < cost):
                hidden.update(child.below)
                hidden[child.state] += 1
                continue
            budget.left -= cost
            yield _line(child, depth, now)
            yield from self._walk(child, depth + 1, budget, folded, now)
        del hidden[GROUP]
        if hidden:
            yield Line(depth, MORE, describe_counts(hidden), "not shown")
        elif folded and node.children:
            budget.left += 1


class _Budget:
    """The lines that may still be drawn."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left


def describe_counts(counts: Counter[str]) -> str:
    """`2 running, 39 succeeded`: the words of the states, unfinished and failed ones first."""
    words = sorted((state for state in counts if counts[state]), key=lambda state: (_rank(state), state))
    return ", ".join(f"{counts[state]} {state.replace('_', ' ')}" for state in words)


def _rank(state: str) -> int:
    return _ORDER.index(state) if state in _ORDER else len(_ORDER)


def _line(node: _Node, depth: int, now: float) -> Line:
    if node.state == GROUP:
        counts = Counter({state: count for state, count in node.below.items() if state != GROUP})
        return Line(depth, GROUP, node.title, describe_counts(counts))
    row = node.execution
    seconds = None
    if row is not None and row.started_at is not None:
        seconds = max((now if row.finished_at is None else row.finished_at) - row.started_at, 0.0)
    return Line(depth, node.state, node.title, node.note, seconds)


def _note(row: ExecutionRow, problem: str) -> str:
    parts: Iterable[str] = (
        f"attempt {row.attempt}" if row.attempt > 1 else "",
        problem or row.reason,
        row.status.replace("_", " ") if row.status not in ("queued", "running", "succeeded", "failed") else "",
    )
    return ", ".join(part for part in dict.fromkeys(parts) if part)
