"""A node of the run tree: a step, a group or a link, with what is known of it and counted below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from coflux.executor.document import StepInfo
from coflux.executor.rows import ExecutionRow
from coflux.executor.series import Progress
from coflux.tui.updates import StepKey

__all__ = ["PROBLEMS", "UNFINISHED", "Kind", "Node", "Rank", "TreeRow"]

PROBLEMS = frozenset({"failed", "timed_out", "abandoned"})
UNFINISHED = frozenset({"queued", "running"})
_WELL = frozenset({"", "succeeded", "cached", "spawned", "recurred", "deferred"})

Rank = tuple[int, ...]
"""Which attempt of a step: its number, followed by that of the child run's root if it became one. Greater is later."""


class Kind(Enum):
    STEP = "step"
    GROUP = "group"
    LINK = "link"


class _Calls:
    """The calls of one target among siblings: by which of their arguments they can be told apart."""

    __slots__ = ("differing", "first")

    def __init__(self, first: tuple[str, ...]) -> None:
        self.first = first
        self.differing: frozenset[int] = frozenset()

    def add(self, arguments: tuple[str, ...]) -> None:
        if len(self.differing) < len(self.first):
            pairs = enumerate(zip(self.first, arguments, strict=False))
            self.differing |= {at for at, (one, other) in pairs if one != other}


class Node:
    """A step, a group or a link.

    Attributes:
        attempts: every attempt of a step that is known, by rank; a step that became a run has those of its root, too.
        below: how many steps below it are in which state.
        unfinished, failed: how many steps have not ended, or did not succeed: itself and those below.
        began, ended: of a group, when the first of its steps began and the last one ended; `None` before.
        waiting: it was seen to wait for others, while it runs.
        opened: unfolded or folded by hand; `None` leaves it to the tree.
        unfolded: whether those children are shown that a fold stands for.
        recalled: whether what earlier attempts submitted is shown.
        row: its line of the screen, wherever that is.
        rows: the lines directly below it, as they were worked out last; `None` if that was too long ago.
        flat: whether none of these has children.
    """

    __slots__ = (
        "attempts",
        "began",
        "below",
        "children",
        "ended",
        "failed",
        "flat",
        "haystack",
        "info",
        "keys",
        "kind",
        "opened",
        "parent",
        "problems",
        "progress",
        "rank",
        "recalled",
        "row",
        "rows",
        "shared",
        "state",
        "submitted_by",
        "targets",
        "title",
        "unfinished",
        "unfolded",
        "waiting",
    )

    def __init__(self, kind: Kind, title: str, submitted_by: Rank = ()) -> None:
        self.kind = kind
        self.title = title
        self.submitted_by = submitted_by  # which attempt of the step above
        self.parent: Node | None = None
        self.children: dict[Node, None] = {}
        self.targets: dict[str, _Calls] = {}  # that children call, by name
        self.below: Counter[str] = Counter()
        self.state = "queued" if kind is Kind.STEP else ""
        self.unfinished = int(kind is Kind.STEP)
        self.failed = 0
        self.began: float | None = None
        self.ended: float | None = None
        self.info: StepInfo | None = None
        self.keys: dict[StepKey, Rank] = {}  # the steps that it shows, with what comes before their attempts
        self.attempts: dict[Rank, ExecutionRow] = {}
        self.problems: dict[Rank, str] = {}  # one line for each attempt that did not succeed
        self.rank: Rank = ()  # of the newest attempt
        self.shared: Node | None = None  # of a link: the step
        self.progress: Progress | None = None
        self.waiting = False
        self.opened: bool | None = None
        self.unfolded = False
        self.recalled = False
        self.row = TreeRow(self, -1)
        self.rows: list[TreeRow] | None = None
        self.flat = False
        self.haystack = ""  # what a search looks through; made when it is needed

    def put(self, parent: Node) -> None:
        """Become the last child of `parent`."""
        self.parent = parent
        self.row = TreeRow(self, parent.row.depth + 1)
        parent.children[self] = None
        if self.info is not None:
            calls = parent.targets.get(self.title)
            if calls is None:
                parent.targets[self.title] = _Calls(self.info.arguments)
            else:
                calls.add(self.info.arguments)

    @property
    def execution(self) -> ExecutionRow | None:
        """The newest attempt."""
        return self.attempts.get(self.rank)

    @property
    def latest(self) -> list[ExecutionRow]:
        """Its attempts, the newest last; those of the child run's root for a step that became one."""
        prefix, length = self.rank[:-1], len(self.rank)
        return [row for rank, row in sorted(self.attempts.items()) if len(rank) == length and rank[:-1] == prefix]

    @property
    def tries(self) -> int:
        """How many attempts there were, of the child run's root for a step that became one."""
        return len(self.latest)

    @property
    def retries(self) -> int:
        """How many retries in a row have led to the newest attempt."""
        count = 0
        for row in reversed(self.latest):
            if row.trigger != "retry":
                break
            count += 1
        return count

    @property
    def problem(self) -> str:
        return self.problems.get(self.rank, "")

    @property
    def last_problem(self) -> str:
        """Why the newest of the attempts that did not succeed did not."""
        return self.problems[max(self.problems)] if self.problems else ""

    @property
    def child_run(self) -> str:
        """The run that the step became, "" if it is none."""
        runs = list(self.keys)
        return runs[-1][0] if len(runs) > 1 else ""

    @property
    def telling(self) -> frozenset[int]:
        """By which arguments it can be told from its siblings that call the same target."""
        calls = None if self.parent is None else self.parent.targets.get(self.title)
        return frozenset() if calls is None else calls.differing

    @property
    def ended_well(self) -> bool:
        """Nothing of it is unfinished or failed: where there are many like it, one need not be seen."""
        return not self.unfinished and not self.failed and self.state in _WELL and self.kind is not Kind.LINK

    def ancestors(self) -> Iterator[Node]:
        node = self.parent
        while node is not None:
            yield node
            node = node.parent

    def step_rank(self) -> Rank:
        """The newest attempt of the step itself, or of the one that a group belongs to."""
        node: Node | None = self
        while node is not None and node.kind is Kind.GROUP:
            node = node.parent
        return () if node is None else node.rank

    @property
    def is_earlier(self) -> bool:
        """It was submitted by an attempt that is not the newest, and has ended."""
        return self.parent is not None and not self.unfinished and self.submitted_by < self.parent.step_rank()


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

    @property
    def for_others(self) -> bool:
        return self.folded > 0 or self.earlier > 0
