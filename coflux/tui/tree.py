"""The tree of a run as data: rows of the store go in, rows of the screen come out. No terminal, clock or store in here.

    a step          below the one that submitted it, or below that one's group; a step that became a run of its own
                    shows that run's root in its place
    a group         between them
    a link          in place of a step that is elsewhere in the tree, since its handle was shared (memo)
    a fold          one line that stands for siblings which ended well, where there are many
    earlier         one line that stands for what earlier attempts of a step submitted

Every node counts the states below it as they change. What is on the screen is worked out again only when something
comes, goes, or is unfolded; any other change is told by its node, so that a line can be painted for it alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import NamedTuple

from coflux.executor.document import StepInfo
from coflux.executor.news import Key
from coflux.executor.rows import ExecutionRow, GroupRow, SharedRow, parse_execution_id
from coflux.executor.series import Progress
from coflux.tui.updates import Spark, StepKey

__all__ = ["MANY", "PROBLEMS", "UNFINISHED", "Kind", "Node", "RunTree", "Show", "TreeRow"]

MANY = 50  # siblings from which on those that ended well are folded

PROBLEMS = frozenset({"failed", "timed_out", "abandoned"})
UNFINISHED = frozenset({"queued", "running"})
_WELL = frozenset({"", "succeeded", "cached", "spawned", "recurred", "deferred"})

Rank = tuple[int, ...]
"""Which attempt of a step: its number, followed by that of the child run's root if it became one. Greater is later."""


class Kind(Enum):
    STEP = "step"
    GROUP = "group"
    LINK = "link"


class Show(Enum):
    """Which steps are shown; those that lead to one always are."""

    ALL = "all"
    ACTIVE = "active and problems"
    PROBLEMS = "problems"


class Node:
    """A step, a group or a link.

    Attributes:
        attempts: every attempt of a step that is known, by rank; a step that became a run has those of its root, too.
        below: how many steps below it are in which state.
        unfinished, failed: how many steps have not ended, or did not succeed: itself and those below.
        opened: unfolded or folded by hand; `None` leaves it to the tree.
        unfolded: whether those children are shown that a fold stands for.
        recalled: whether what earlier attempts submitted is shown.
    """

    __slots__ = (
        "attempts",
        "below",
        "children",
        "failed",
        "info",
        "keys",
        "kind",
        "opened",
        "parent",
        "problems",
        "progress",
        "rank",
        "recalled",
        "shared",
        "state",
        "submitted_by",
        "title",
        "unfinished",
        "unfolded",
    )

    def __init__(self, kind: Kind, title: str, submitted_by: Rank = ()) -> None:
        self.kind = kind
        self.title = title
        self.submitted_by = submitted_by  # which attempt of the step above
        self.parent: Node | None = None
        self.children: dict[Node, None] = {}
        self.below: Counter[str] = Counter()
        self.state = "queued" if kind is Kind.STEP else ""
        self.unfinished = int(kind is Kind.STEP)
        self.failed = 0
        self.info: StepInfo | None = None
        self.keys: dict[StepKey, Rank] = {}  # the steps that it shows, with what comes before their attempts
        self.attempts: dict[Rank, ExecutionRow] = {}
        self.problems: dict[Rank, str] = {}  # one line for each attempt that did not succeed
        self.rank: Rank = ()  # of the newest attempt
        self.shared: Node | None = None  # of a link: the step
        self.progress: Progress | None = None
        self.opened: bool | None = None
        self.unfolded = False
        self.recalled = False

    @property
    def execution(self) -> ExecutionRow | None:
        """The newest attempt."""
        return self.attempts.get(self.rank)

    @property
    def tries(self) -> int:
        """How many attempts there were, of the child run's root for a step that became one."""
        return sum(len(rank) == len(self.rank) and rank[:-1] == self.rank[:-1] for rank in self.attempts)

    @property
    def problem(self) -> str:
        return self.problems.get(self.rank, "")

    @property
    def ended_well(self) -> bool:
        """Nothing of it is unfinished or failed: where there are many like it, one need not be seen."""
        return not self.unfinished and not self.failed and self.state in _WELL and self.kind is not Kind.LINK

    def ancestors(self) -> Iterator[Node]:
        node = self.parent
        while node is not None:
            yield node
            node = node.parent

    def _is_earlier(self) -> bool:
        """It was submitted by an attempt that is not the newest, and has ended."""
        step = self.parent
        while step is not None and step.kind is Kind.GROUP:
            step = step.parent
        return step is not None and self.submitted_by < step.rank and not self.unfinished


class TreeRow(NamedTuple):
    """A line of the screen. With `folded` it stands for that many children of `node` that ended well, with `earlier`
    for steps below `node` that earlier attempts submitted, else for `node` itself."""

    node: Node
    depth: int
    folded: int = 0
    earlier: int = 0

    @property
    def key(self) -> tuple[Node, bool, bool]:
        """Tells the row from all others, also after they have moved."""
        return self.node, self.folded > 0, self.earlier > 0


class RunTree:
    """The tree of a run and its child runs.

    Attributes:
        rows: what is on the screen, after `layout`.
        changed: nodes that look different since the last `take_changed`.
        sparks: what executions measure, in a few points each.
    """

    def __init__(self) -> None:
        self.top = Node(Kind.GROUP, "")
        self.top.opened = True
        self.rows: list[TreeRow] = []
        self.changed: set[Node] = set()
        self.sparks: dict[Key, Spark] = {}
        self.show = Show.ALL
        self._text = ""
        self._matches: set[Node] | None = None  # with all that lead to them
        self._steps: dict[StepKey, Node] = {}
        self._groups: dict[tuple[str, int, int, int], Node] = {}
        self._links: dict[tuple[Node, Node], Node] = {}
        self._shape = True  # the rows have to be laid out anew

    # -- rows of the store -------------------------------------------------------------------------------------------

    def add_group(self, row: GroupRow) -> None:
        """Add a group, after the step it belongs to and before the steps in it."""
        key = (row.run, row.step, row.attempt, row.number)
        if key in self._groups or (row.run, row.step) not in self._steps:
            return
        node = Node(Kind.GROUP, row.name or "group", self._rank(row.run, row.step, row.attempt))
        self._groups[key] = node
        self._put(node, self._place(row.run, row.step, row.attempt, row.parent))

    def add_step(self, info: StepInfo, spawned_by: str | None = None) -> None:
        """Add a step, after the one that submitted it. `spawned_by` is the execution that a child run's root takes the
        place of."""
        key = (info.run, info.number)
        if key in self._steps:
            return
        if spawned_by is not None:
            run, step, attempt = parse_execution_id(spawned_by)
            caller = self._steps.get((run, step))
            if caller is not None:
                self._steps[key] = caller
                caller.keys[key] = self._rank(run, step, attempt)
                return
        place, submitted_by = self.top, Rank()
        if info.parent is not None:
            run, step, attempt = parse_execution_id(info.parent)
            place = self._place(run, step, attempt, info.group)
            submitted_by = self._rank(run, step, attempt) if (run, step) in self._steps else ()
        node = Node(Kind.STEP, info.name, submitted_by)
        node.info = info
        node.keys[key] = ()
        self._steps[key] = node
        self._put(node, place)

    def add_shared(self, row: SharedRow) -> None:
        """Add a submission that was given the handle of a step that was there already."""
        run, step, _ = parse_execution_id(row.child)
        shared = self._steps.get((run, step))
        if shared is None or (row.run, row.step) not in self._steps:
            return
        place = self._place(row.run, row.step, row.attempt, row.group)
        if shared.parent is place:
            rank = self._rank(row.run, row.step, row.attempt)
            if rank > shared.submitted_by:  # an earlier attempt submitted it
                shared.submitted_by = rank
                self._shape = True
        elif (place, shared) not in self._links:
            node = Node(Kind.LINK, shared.title, self._rank(row.run, row.step, row.attempt))
            node.shared = shared
            self._links[place, shared] = node
            self._put(node, place)

    def update(self, row: ExecutionRow, problem: str = "") -> None:
        """Take in the state of an execution; `problem` is one line on why it did not succeed."""
        node = self._steps.get((row.run, row.step))
        if node is None:
            return
        rank = self._rank(row.run, row.step, row.attempt)
        node.attempts[rank] = row
        if problem:
            node.problems[rank] = problem
        self.changed.add(node)
        if rank < node.rank:
            return
        if rank > node.rank:
            node.rank = rank
            self._shape = self._shape or bool(node.children)
        self._enter(node, row.status)

    def set_progress(self, run: str, step: int, progress: Progress) -> None:
        """How far a running step has got."""
        node = self._steps.get((run, step))
        if node is not None and node.progress != progress:
            node.progress = progress
            self.changed.add(node)

    def set_sparks(self, sparks: Mapping[Key, Spark]) -> None:
        """What executions measure, whether their steps are here by now or not."""
        self.sparks.update(sparks)
        self.changed.update(node for run, step, _ in sparks if (node := self._steps.get((run, step))) is not None)

    def find(self, run: str, step: int) -> Node | None:
        return self._steps.get((run, step))

    def group_key(self, node: Node) -> tuple[str, int, int, int] | None:
        """Run, step, attempt and number of a group."""
        return next((key for key, group in self._groups.items() if group is node), None)

    def steps(self) -> list[tuple[StepKey, Node]]:
        """All of them, in the order in which they came."""
        return list(self._steps.items())

    @property
    def counts(self) -> Counter[str]:
        """How many steps are in which state."""
        return Counter({state: count for state, count in self.top.below.items() if count})

    def _rank(self, run: str, step: int, attempt: int) -> Rank:
        return (*self._steps[run, step].keys[run, step], attempt)

    def _place(self, run: str, step: int, attempt: int, group: int | None) -> Node:
        if group is not None and (found := self._groups.get((run, step, attempt, group))) is not None:
            return found
        return self._steps.get((run, step), self.top)

    def _put(self, node: Node, parent: Node) -> None:
        node.parent = parent
        parent.children[node] = None
        if node.state:
            for ancestor in node.ancestors():
                ancestor.below[node.state] += 1
                ancestor.unfinished += 1
        self._shape = True
        self.changed.add(parent)

    def _enter(self, node: Node, state: str) -> None:
        before = node.state
        if state == before:
            return
        node.state = state
        unfinished = (state in UNFINISHED) - (before in UNFINISHED)
        failed = (state in PROBLEMS) - (before in PROBLEMS)
        self._count(node, unfinished, failed)
        for ancestor in node.ancestors():
            ancestor.below[before] -= 1
            ancestor.below[state] += 1
            self._count(ancestor, unfinished, failed)
            if ancestor.kind is Kind.GROUP and ancestor is not self.top:
                self.changed.add(ancestor)

    def _count(self, node: Node, unfinished: int, failed: int) -> None:
        """Something of a node has ended or failed, or begun again: the node itself may come or go thereby."""
        before = node.unfinished > 0, node.failed > 0
        node.unfinished += unfinished
        node.failed += failed
        if before != (node.unfinished > 0, node.failed > 0) and node.parent is not None:
            self._shape = self._shape or self.show is not Show.ALL or len(node.parent.children) > MANY

    # -- what is shown -----------------------------------------------------------------------------------------------

    def is_open(self, node: Node) -> bool:
        """Whether the children of a node are shown. Groups that ended well fold themselves where they are many."""
        if node.opened is not None:
            return node.opened
        parent = node.parent
        return parent is None or len(parent.children) <= MANY or not node.ended_well

    def toggle(self, row: TreeRow, to: bool | None = None) -> None:
        """Unfold or fold: a node's children, or what a fold stands for."""
        node = row.node
        if row.folded:
            node.unfolded = True
        elif row.earlier:
            node.recalled = True
        else:
            node.opened = (not self.is_open(node)) if to is None else to
            if not node.opened:
                node.unfolded = node.recalled = False
        self._shape = True

    def reveal(self, node: Node) -> None:
        """Unfold all that hides a node."""
        self.show = Show.ALL if not self._passes(node) else self.show
        child = node
        for ancestor in node.ancestors():
            ancestor.opened = True
            ancestor.unfolded = ancestor.unfolded or self._folds(ancestor, child)
            ancestor.recalled = ancestor.recalled or child._is_earlier()
            child = ancestor
        self._shape = True

    def filter(self, show: Show, text: str = "") -> None:
        """Show the steps of some states only, and those whose name, arguments or problem have `text` in them, in upper
        or lower case."""
        self.show = show
        self._text = text.lower()
        self._matches = None
        if self._text:
            self._matches = set()
            for node in self._steps.values():
                if self._text in _haystack(node):
                    self._matches.add(node)
                    self._matches.update(node.ancestors())
        self._shape = True

    def layout(self) -> bool:
        """Work out `rows`, if they may have changed. Returns whether they were."""
        if not self._shape:
            return False
        self._shape = False
        if self._text:
            self.filter(self.show, self._text)
            self._shape = False
        self.rows = list(self._walk())
        return True

    def take_changed(self) -> set[Node]:
        changed, self.changed = self.changed, set()
        return changed

    def next_problem(self, after: Node | None, backwards: bool = False) -> Node | None:
        """The step after (or before) a node, in the order of the tree, that did not succeed; the search goes round."""
        nodes = [node for node in self._all() if node is after or (node.state in PROBLEMS and node.kind is Kind.STEP)]
        if backwards:
            nodes.reverse()
        start = nodes.index(after) + 1 if after in nodes else 0
        ordered = nodes[start:] + nodes[:start]
        return next((node for node in ordered if node.state in PROBLEMS), None)

    def _all(self) -> Iterator[Node]:
        stack = [self.top]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))

    def _walk(self) -> Iterator[TreeRow]:
        stack = list(reversed(self._rows_below(self.top, 0)))
        while stack:
            row = stack.pop()
            yield row
            node = row.node
            if not row.folded and not row.earlier and node.children and self.is_open(node):
                stack.extend(reversed(self._rows_below(node, row.depth + 1)))

    def _rows_below(self, node: Node, depth: int) -> list[TreeRow]:
        rows: list[TreeRow] = []
        folded = earlier = 0
        folds = len(node.children) > MANY and not node.unfolded and self._matches is None
        for child in node.children:
            if not self._passes(child):
                continue
            if not node.recalled and child._is_earlier():
                earlier += 1
            elif folds and child.ended_well:
                folded += 1
            else:
                rows.append(TreeRow(child, depth))
        if folded:
            rows.append(TreeRow(node, depth, folded=folded))
        if earlier:
            rows.append(TreeRow(node, depth, earlier=earlier))
        return rows

    def _folds(self, parent: Node, child: Node) -> bool:
        return len(parent.children) > MANY and child.ended_well

    def _passes(self, node: Node) -> bool:
        if self._matches is not None and node not in self._matches:
            return False
        if self.show is Show.ALL:
            return True
        return node.failed > 0 or (self.show is Show.ACTIVE and node.unfinished > 0)


def _haystack(node: Node) -> str:
    info = node.info
    arguments = "" if info is None else ", ".join(info.arguments)
    return f"{node.title}({arguments}) {node.problem}".lower()
