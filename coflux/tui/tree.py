"""The tree of a run as data: rows of the store go in, rows of the screen come out. No terminal, clock or store in here.

    a step          below the one that submitted it, or below that one's group; a step that became a run of its own
                    shows that run's root in its place
    a group         between them
    a link          in place of a step that is elsewhere in the tree, since its handle was shared (memo)
    a fold          one line that stands for siblings which ended well, where there are many
    earlier         one line that stands for what earlier attempts of a step submitted

Every node counts the states below it as they change. What is on the screen is worked out again only when something
comes, goes, or is unfolded; any other change is told by its node, so that a line can be painted for it alone.

Each node keeps the lines directly below it until they may be others. So laying out 21,000 lines in 1,000 groups takes
half a millisecond when a few of the groups have changed and 5 ms when all have (20,000 steps below one: 5 ms), and
steps that come by the hundreds a second do not keep the screen busy, though all of it is laid out twenty times in one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from enum import Enum

from coflux.executor.document import StepInfo
from coflux.executor.news import Key
from coflux.executor.rows import ExecutionRow, GroupRow, SharedRow, parse_execution_id
from coflux.executor.series import Progress
from coflux.tui.node import PROBLEMS, UNFINISHED, Kind, Node, Rank, TreeRow
from coflux.tui.updates import Spark, StepKey

__all__ = ["MANY", "PROBLEMS", "UNFINISHED", "Kind", "Node", "Rank", "RunTree", "Show", "TreeRow"]

MANY = 50  # siblings from which on those that ended well are folded


class Show(Enum):
    """Which steps are shown; those that lead to one always are."""

    ALL = "all"
    ACTIVE = "active and problems"
    PROBLEMS = "problems"


class RunTree:
    """The tree of a run and its child runs.

    Attributes:
        rows: what is on the screen, after `layout`.
        changed: nodes that look different since the last `take_changed`.
        ended: when the last of the executions that have ended did, in seconds since the epoch; 0 before.
        sparks: what executions measure, in a few points each.
        show, text: what is shown; see `filter`.
        full: in a word, that no worker is free for what is ready; "" while one is, or nobody knows.
        found, leading: the steps with `text` in them; those and all that lead to them.
    """

    def __init__(self) -> None:
        self.top = Node(Kind.GROUP, "")
        self.top.opened = True
        self.rows: list[TreeRow] = []
        self.changed: set[Node] = set()
        self.ended = 0.0
        self.sparks: dict[Key, Spark] = {}
        self.show = Show.ALL
        self.full = ""
        self.text = ""
        self.found: set[Node] = set()
        self.leading: set[Node] = set()
        self._waiting: set[Node] = set()
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
                self._touch(place)
        elif (place, shared) not in self._links:
            node = Node(Kind.LINK, shared.title, self._rank(row.run, row.step, row.attempt))
            node.shared, node.info = shared, shared.info
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
            node.haystack = ""
            self._match(node)
        self.changed.add(node)
        self.ended = max(self.ended, row.finished_at or 0.0)
        _extend_groups(node, row)
        if rank < node.rank:
            return
        if rank > node.rank:
            node.rank = rank
            self._touch_with_groups(node)
        if row.status != "running":
            node.waiting = False
        self._enter(node, row.status)

    def set_progress(self, run: str, step: int, progress: Progress) -> None:
        """How far a running step has got."""
        node = self._steps.get((run, step))
        if node is not None and node.progress != progress:
            node.progress = progress
            self.changed.add(node)

    def set_waiting(self, keys: Collection[StepKey]) -> None:
        """These steps, of all that run, were seen to wait for others."""
        found = {self._steps.get(key) for key in keys}
        waiting = {node for node in found if node is not None and node.state == "running"}
        for node in waiting ^ self._waiting:
            node.waiting = node in waiting
            self.changed.add(node)
        self._waiting = waiting

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

    def nodes(self) -> list[Node]:
        """The steps as they are shown: one that became a run is there once."""
        return list(dict.fromkeys(self._steps.values()))

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
        if not parent.children and parent.parent is not None:
            parent.parent.flat = False
        node.put(parent)
        if node.state:
            for ancestor in node.ancestors():
                ancestor.below[node.state] += 1
                self._count(ancestor, 1, 0)
        self._match(node)
        self._touch(parent)
        self.changed.add(parent)

    def _enter(self, node: Node, state: str) -> None:
        before = node.state
        if state == before:
            return
        well = node.ended_well
        node.state = state
        unfinished = (state in UNFINISHED) - (before in UNFINISHED)
        failed = (state in PROBLEMS) - (before in PROBLEMS)
        self._count(node, unfinished, failed)
        if well != node.ended_well and node.parent is not None and len(node.parent.children) > MANY:
            self._touch(node.parent)
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
        parent = node.parent
        if before != (node.unfinished > 0, node.failed > 0) and parent is not None:
            # One that earlier attempts submitted is hidden when it has ended.
            earlier = node.submitted_by < parent.step_rank()
            if earlier or self.show is not Show.ALL or len(parent.children) > MANY:
                self._touch(parent)

    def _touch(self, node: Node) -> None:
        """The lines directly below a node may be others."""
        node.rows = None
        self._shape = True

    def _touch_with_groups(self, node: Node) -> None:
        if node.children:
            self._touch(node)
            for child in node.children:
                if child.kind is Kind.GROUP:
                    self._touch_with_groups(child)

    def _touch_all(self) -> None:
        stack = [self.top]
        while stack:
            node = stack.pop()
            node.rows = None
            stack.extend(child for child in node.children if child.children)
        self._shape = True

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
        self._touch(node)

    def toggle_all(self) -> bool:
        """Unfold all but what earlier attempts submitted; if nothing is folded, fold all below the first step. Returns
        which."""
        nodes = []
        stack = [self.top]
        while stack:
            node = stack.pop()
            below = [child for child in node.children if child.children]
            nodes += below
            stack += below
        unfold = any(not self.is_open(node) or (len(node.children) > MANY and not node.unfolded) for node in nodes)
        for node in nodes:
            node.opened = unfold or node.parent is self.top
            node.unfolded = unfold
            node.recalled = node.recalled and unfold
        self._touch_all()
        return unfold

    def reveal(self, node: Node) -> None:
        """Unfold all that hides a node."""
        if not self._passes(node):
            self.filter(Show.ALL, self.text if node in self.leading else "")
        child = node
        for ancestor in node.ancestors():
            ancestor.opened = True
            ancestor.unfolded = ancestor.unfolded or (len(ancestor.children) > MANY and child.ended_well)
            ancestor.recalled = ancestor.recalled or child.is_earlier
            self._touch(ancestor)
            child = ancestor

    def filter(self, show: Show, text: str = "") -> None:
        """Show the steps of some states only, and those whose name, arguments or problems have `text` in them, in upper
        or lower case."""
        self.show = show
        self.text = text.lower()
        self.found, self.leading = set(), set()
        if self.text:
            for node in self._steps.values():
                self._match(node)
        self._touch_all()

    def layout(self) -> bool:
        """Work out `rows`, if they may have changed. Returns whether they were."""
        if not self._shape:
            return False
        self._shape = False
        self.rows = self._walk()
        return True

    def take_changed(self) -> set[Node]:
        changed, self.changed = self.changed, set()
        return changed

    def _walk(self) -> list[TreeRow]:
        rows: list[TreeRow] = []
        stack = [iter(self._rows_below(self.top))]
        while stack:
            for row in stack[-1]:
                rows.append(row)
                node = row.node
                if node.children and row is node.row and self.is_open(node):
                    below = self._rows_below(node)
                    if not node.flat:
                        stack.append(iter(below))
                        break
                    rows += below
            else:
                stack.pop()
        return rows

    def _rows_below(self, node: Node) -> list[TreeRow]:
        """The lines directly below a node, without what is below those."""
        if node.rows is not None:
            return node.rows
        rows: list[TreeRow] = []
        folded = earlier = 0
        all_pass = self.show is Show.ALL and not self.text
        folds = len(node.children) > MANY and not node.unfolded and not self.text
        newest = node.step_rank() if not node.recalled else ()
        flat = True
        for child in node.children:
            if not (all_pass or self._passes(child)):
                continue
            if child.submitted_by < newest and not child.unfinished:
                earlier += 1
            elif folds and child.ended_well:
                folded += 1
            else:
                rows.append(child.row)
                flat = flat and not child.children
        depth = node.row.depth + 1
        if folded:
            rows.append(TreeRow(node, depth, folded=folded))
        if earlier:
            rows.append(TreeRow(node, depth, earlier=earlier))
        node.rows, node.flat = rows, flat
        return rows

    def _passes(self, node: Node) -> bool:
        if self.text and node not in self.leading:
            return False
        if self.show is Show.ALL:
            return True
        return node.failed > 0 or (self.show is Show.ACTIVE and node.unfinished > 0)

    def _match(self, node: Node) -> None:
        """Look for the text in a node that is new, or has a problem more; what was found stays."""
        if not self.text or node.kind is not Kind.STEP or node in self.found:
            return
        if not node.haystack:
            node.haystack = _haystack(node)
        if self.text not in node.haystack:
            return
        self.found.add(node)
        found: Node | None = node
        while found is not None and found not in self.leading:
            self.leading.add(found)
            found = found.parent
            if found is not None:
                self._touch(found)


def _extend_groups(node: Node, row: ExecutionRow) -> None:
    """The groups that a step is in last from the first of their steps to the last."""
    began, ended = row.started_at, row.finished_at
    parent = node.parent
    while began is not None and parent is not None and parent.kind is Kind.GROUP:
        parent.began = began if parent.began is None else min(parent.began, began)
        if ended is not None:
            parent.ended = ended if parent.ended is None else max(parent.ended, ended)
        parent = parent.parent


def _haystack(node: Node) -> str:
    arguments = "" if node.info is None else ", ".join(node.info.arguments)
    return f"{node.title}({arguments}) {' '.join(node.problems.values())}".lower()
