"""The tree of a run as data: rows of the store go in, lines come out. No terminal, clock or store in here.

A line per step, under the step that submitted it, and a line per group. A step shows its latest attempt and what that
one submitted; what earlier attempts submitted is one line once it has ended, and soon only a number: a recurrent step
may have any number of them. A step that became a child run shows that run's root in its place. A node counts the states
below it as they change, so drawing costs what fits on the screen, not what the run has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from coflux.display.marks import GROUP, MORE, SHARED
from coflux.display.reasons import reason_of
from coflux.display.text import duration
from coflux.executor.document import StepInfo
from coflux.executor.messages import Usage
from coflux.executor.rows import ExecutionRow, GroupRow, SharedRow, parse_execution_id
from coflux.previews import byte_size

__all__ = ["PROBLEMS", "Branch", "Line", "RunView", "describe_counts", "usage_text"]

PROBLEMS = ("failed", "timed_out", "abandoned")
_UNCOUNTED = (GROUP, SHARED)
_UNFINISHED = ("running", "queued")
_ORDER = (*_UNFINISHED, *PROBLEMS, "cancelled", "suspended", "succeeded")

_Rank = tuple[int, ...]
"""Which attempt of a step: its number, followed by that of the child run's root if it became one. Greater is later."""


class Line(NamedTuple):
    """`state` is a status word, or GROUP, or SHARED for a call that was given the handle of a step that is elsewhere in
    the tree, or MORE for a line that stands for several. `seconds` is None for a step that has not started, and `usage`
    says what one has used that has ended, "" where that is unknown. `title` is text of the user's code, as it is."""

    depth: int
    state: str
    title: str
    note: str = ""
    seconds: float | None = None
    usage: str = ""


class Branch(NamedTuple):
    """A line with all that is below it. `execution` is the attempt that is shown, `problem` why it did not succeed;
    `below` counts the states of steps at any depth, `earlier` of those that earlier attempts submitted."""

    line: Line
    execution: ExecutionRow | None
    problem: str
    below: Counter[str]
    earlier: Counter[str]
    children: list[Branch]

    @property
    def failed(self) -> bool:
        return self.line.state in PROBLEMS

    @property
    def quiet(self) -> bool:
        """Nothing runs or went wrong here and below."""
        return not any(self.line.state == state or self.below[state] for state in ("running", *PROBLEMS))


class _Node:
    __slots__ = (
        "below",
        "call",
        "children",
        "dropped",
        "execution",
        "group",
        "note",
        "parent",
        "problem",
        "progress",
        "rank",
        "ranks",
        "state",
        "title",
        "under",
    )

    def __init__(self, parent: _Node | None, state: str, title: str, under: _Rank = ()) -> None:
        self.parent: _Node | None = None
        self.state = state
        self.call = title
        self.title = title  # the call, and what there is to know about it
        self.under = under  # which attempt of the parent submitted it
        self.note = ""
        self.problem = ""
        self.progress = ""  # of the attempt that is shown
        self.group: tuple[str, int, int, int] | None = None  # which one it shows
        self.ranks: dict[tuple[str, int], _Rank] = {}  # the steps that it shows, with what comes before their attempts
        self.rank: _Rank = ()  # of the attempt that is shown
        self.execution: ExecutionRow | None = None
        self.children: dict[_Node, None] = {}
        self.below: Counter[str] = Counter()  # states of all nodes below this one
        self.dropped: Counter[str] = Counter()  # states of those that were, before they were dropped
        if parent is not None:
            self.move(parent)

    def ancestors(self) -> Iterator[_Node]:
        node = self.parent
        while node is not None:
            yield node
            node = node.parent

    def move(self, parent: _Node) -> None:
        """Stand below `parent` from now on, with all that is below."""
        self.leave()
        self.parent = parent
        parent.children[self] = None
        for ancestor in self.ancestors():
            ancestor.below[self.state] += 1
            ancestor.below.update(self.below)

    def leave(self) -> None:
        if self.parent is not None:
            del self.parent.children[self]
            for ancestor in self.ancestors():
                ancestor.below[self.state] -= 1
                ancestor.below.subtract(self.below)
            self.parent = None

    def enter(self, state: str) -> None:
        if state != self.state:
            for ancestor in self.ancestors():
                ancestor.below[self.state] -= 1
                ancestor.below[state] += 1
            self.state = state

    def is_quiet(self) -> bool:
        """Nothing to see: queued, or finished well, and so is everything below."""
        return not self.has("running", *PROBLEMS)

    def is_over(self) -> bool:
        """It was submitted by an attempt that is not the latest, and nothing of it is unfinished."""
        assert self.parent is not None
        return self.under < self.parent.rank and not self.has(*_UNFINISHED)

    def has(self, *states: str) -> bool:
        return self.state in states or any(self.below[state] for state in states)


class RunView:
    """The tree of a run and its child runs."""

    def __init__(self) -> None:
        self._top = _Node(None, MORE, "")
        self._steps: dict[tuple[str, int], _Node] = {}
        self._groups: dict[tuple[str, int, int, int], _Node] = {}
        self._links: dict[tuple[_Node, _Node], int] = {}

    @property
    def counts(self) -> Counter[str]:
        """How many steps are in which state."""
        return _counted(self._top.below + self._top.dropped)

    def add_group(self, row: GroupRow) -> None:
        """Add a group, after the step it belongs to and before the steps in it."""
        key = (row.run, row.step, row.attempt, row.number)
        if key in self._groups or (row.run, row.step) not in self._steps:
            return
        parent = self._place(row.run, row.step, row.attempt, row.parent)
        self._groups[key] = group = _Node(
            parent, GROUP, row.name or "group", self._rank(row.run, row.step, row.attempt)
        )
        group.group = key

    def add_step(self, row: StepInfo, spawned_by: str | None = None) -> None:
        """Add a step, after the step that submitted it. `spawned_by` is the execution that a child run's root takes the
        place of."""
        key = (row.run, row.number)
        if key in self._steps:
            return
        if spawned_by is not None:
            run, step, attempt = parse_execution_id(spawned_by)
            place = self._steps.get((run, step))
            if place is not None:
                self._steps[key] = place
                place.ranks[key] = self._rank(run, step, attempt)
                place.title = f"{place.call} [{row.run}]"
                return
        parent, under = self._top, _Rank()
        if row.parent is not None:
            run, step, attempt = parse_execution_id(row.parent)
            if (run, step) not in self._steps:
                return  # that one was dropped
            parent, under = self._place(run, step, attempt, row.group), self._rank(run, step, attempt)
        self._steps[key] = node = _Node(parent, "queued", _call(row), under)
        node.ranks[key] = ()

    def add_shared(self, row: SharedRow) -> None:
        """Add a submission that was answered with a step that was there already, after that step."""
        run, step, _ = parse_execution_id(row.child)
        shared = self._steps.get((run, step))
        if shared is None or (row.run, row.step) not in self._steps:
            return
        place = self._place(row.run, row.step, row.attempt, row.group)
        under = self._rank(row.run, row.step, row.attempt)
        if _owner(shared) is self._steps[row.run, row.step]:
            if under > shared.under:  # an earlier attempt submitted it
                shared.under = under
                shared.move(place)
            return
        times = self._links[place, shared] = self._links.get((place, shared), 0) + 1
        if times == 1:
            link = _Node(place, SHARED, shared.call, under)
            link.note = f"{run}:{step}"

    def update(self, row: ExecutionRow, problem: str = "") -> None:
        """Take in the state of an execution; an attempt older than the one shown changes nothing."""
        node = self._steps.get((row.run, row.step))
        if node is None:
            return
        rank = self._rank(row.run, row.step, row.attempt)
        if rank < node.rank:
            return
        if rank > node.rank:
            self._drop_before(node, node.rank)
            node.rank = rank
            node.progress = ""
        node.execution = row
        node.problem = problem
        node.enter(row.status)

    def tell_progress(self, key: tuple[str, int, int], text: str) -> bool:
        """Show how far an execution has got, while it runs; return whether that changes anything."""
        node = self._steps.get(key[:2])
        if node is None or node.execution is None or key != _key(node.execution) or node.progress == text:
            return False
        node.progress = text
        return True

    def lines(self, limit: int, now: float) -> list[Line]:
        """The tree in at most `limit` lines: the whole of it if it fits, else what runs or went wrong, and counts of
        the rest. `now` is the wall-clock time up to which running steps are timed."""
        folded = _exceeds(self._top, limit)
        budget = _Budget(limit - folded)
        lines: list[Line] = []
        levels = [self._level(self._top, 0, budget, folded, now)]
        while levels:  # not by recursion: calls may nest deeper than Python's
            match next(levels[-1], None):
                case None:
                    levels.pop()
                case Line() as line:
                    lines.append(line)
                case node:
                    levels.append(self._level(node, len(levels), budget, folded, now))
        return lines

    def branches(self, now: float) -> list[Branch]:
        """The whole tree as it is now: the run's root, of a run that has begun."""
        whole = Branch(Line(-1, MORE, ""), None, "", Counter(), Counter(), [])
        made: list[tuple[Branch, Branch]] = []  # each with what it is below of, which comes before it
        stack = [(self._top, whole)]
        while stack:  # not by recursion: calls may nest deeper than Python's
            node, parent = stack.pop()
            for child in node.children:
                if child.is_over():
                    parent.earlier.update(_counted(child.below + Counter([child.state])))
                    continue
                line = _line(child, parent.line.depth + 1, now)
                branch = Branch(line, child.execution, child.problem, Counter(), _counted(child.dropped), [])
                parent.children.append(branch)
                made.append((branch, parent))
                stack.append((child, branch))
        for branch, parent in reversed(made):
            parent.below.update(_counted(branch.below + Counter([branch.line.state])))
        return whole.children

    def _drop_before(self, node: _Node, rank: _Rank) -> None:
        """Forget what attempts before that one submitted, as far as it has ended. What the attempt itself submitted is
        kept: the next one may be given the same steps."""
        for child in list(node.children):
            if child.under >= rank:
                break  # they stand in the order of their attempts
            if child.is_over():
                for counter in (node.dropped, self._top.dropped):
                    counter.update(child.below)
                    counter[child.state] += 1
                child.leave()
                self._forget(child)

    def _forget(self, node: _Node) -> None:
        gone = {node}
        stack = [node]
        while stack:
            below = stack.pop()
            gone.add(below)
            stack.extend(below.children)
            for key in below.ranks:
                self._steps.pop(key, None)
            if below.group is not None:
                self._groups.pop(below.group, None)
        self._links = {
            link: times for link, times in self._links.items() if link[0] not in gone and link[1] not in gone
        }

    def _rank(self, run: str, step: int, attempt: int) -> _Rank:
        return (*self._steps[run, step].ranks[run, step], attempt)

    def _place(self, run: str, step: int, attempt: int, group: int | None) -> _Node:
        if group is not None and (run, step, attempt, group) in self._groups:
            return self._groups[run, step, attempt, group]
        return self._steps.get((run, step), self._top)

    def _level(self, node: _Node, depth: int, budget: _Budget, folded: bool, now: float) -> Iterator[Line | _Node]:
        """The lines of what is directly below `node`, each followed by its node: the place for what is below that. When
        folded, the caller has kept one line of the budget free for the last one."""
        hidden: Counter[str] = Counter()
        earlier = Counter(node.dropped) if node is not self._top else Counter()
        for child in node.children:
            if child.is_over():
                earlier.update(child.below)
                earlier[child.state] += 1
                continue
            cost = 1 + (folded and bool(child.children))
            quiet = child.is_quiet() and node is not self._top  # how the run itself is, is what one looks for first
            if folded and (quiet or budget.left < cost):
                hidden.update(child.below)
                hidden[child.state] += 1
                continue
            budget.left -= cost
            yield _line(child, depth, now)
            yield child
        if folded:
            hidden.update(earlier)
            earlier.clear()
        for counts, note in ((hidden, "not shown"), (earlier, "of earlier attempts")):
            if described := describe_counts(_counted(counts)):
                yield Line(depth, MORE, described, note)
        if folded and node.children and not _counted(hidden):
            budget.left += 1


class _Budget:
    """The lines that may still be drawn."""

    __slots__ = ("left",)

    def __init__(self, left: int) -> None:
        self.left = left


def _exceeds(top: _Node, limit: int) -> bool:
    """Whether the tree has more than `limit` lines, with a last one for what is over where there is some."""
    length = 0
    stack = [top]
    while stack and length <= limit:
        node = stack.pop()
        current = [child for child in node.children if not child.is_over()]
        over = len(current) < len(node.children) or (node is not top and bool(node.dropped))
        length += len(current) + over
        stack.extend(current)
    return length > limit


def _call(row: StepInfo) -> str:
    return f"{row.name}({', '.join(row.arguments)})"


def _owner(node: _Node) -> _Node | None:
    """The step that submitted it, from inside a group or not."""
    owner = node.parent
    while owner is not None and owner.state == GROUP:
        owner = owner.parent
    return owner


def _counted(states: Counter[str]) -> Counter[str]:
    return Counter({state: count for state, count in states.items() if count and state not in _UNCOUNTED})


def describe_counts(counts: Counter[str]) -> str:
    """`2 running, 39 succeeded`: the words of the states, unfinished and failed ones first."""
    words = sorted((state for state in counts if counts[state]), key=lambda state: (_rank(state), state))
    return ", ".join(f"{counts[state]} {state.replace('_', ' ')}" for state in words)


def _rank(state: str) -> int:
    return _ORDER.index(state) if state in _ORDER else len(_ORDER)


def _line(node: _Node, depth: int, now: float) -> Line:
    if node.state == GROUP:
        return Line(depth, GROUP, node.title, describe_counts(_counted(node.below)))
    row = node.execution
    if row is None:
        return Line(depth, node.state, node.title, node.note)
    seconds = None
    if row.started_at is not None:
        seconds = max((now if row.finished_at is None else row.finished_at) - row.started_at, 0.0)
    note = _note(row, node.problem, node.progress, now)
    return Line(depth, node.state, node.title, note, seconds, usage_text(row))


def usage_text(usage: ExecutionRow | Usage) -> str:
    """`0.8s CPU, 120 MiB`; "" where nothing is known."""
    if usage.cpu_seconds is None or usage.peak_memory is None:
        return ""
    return f"{duration(usage.cpu_seconds)} CPU, {byte_size(usage.peak_memory)}"


def _key(row: ExecutionRow) -> tuple[str, int, int]:
    return row.run, row.step, row.attempt


def _note(row: ExecutionRow, problem: str, progress: str, now: float) -> str:
    parts: Iterable[str] = (
        progress if row.status == "running" else "",
        f"attempt {row.attempt}" if row.attempt > 1 else "",
        problem or reason_of(row, now),
        row.status.replace("_", " ") if row.status not in ("queued", "running", "succeeded", "failed") else "",
        "older code" if row.older_code else "",
    )
    return ", ".join(part for part in dict.fromkeys(parts) if part)
