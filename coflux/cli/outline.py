"""The tree of a run as `coflux runs inspect` prints it: what is alike is folded. What went wrong is only where nothing
else is shown.

Pure: branches of a `RunView` go in, lines come out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from rich.cells import cell_len

from coflux.cli.lines import Painter
from coflux.cli.view import Branch, Line, describe_counts
from coflux.display.marks import GROUP, MARKS, MORE, SHARED
from coflux.display.text import duration, fit, size, visible

__all__ = ["Drawing", "failing", "fold"]

FOLD = 8  # siblings that are alike from which only the first few are shown
SHOWN = 3  # of those
WIDE = 100  # columns of the terminal from which everything that was measured has a column
INDENT_SHARE = 3  # the indentation takes at most one of so many columns

_COLUMNS = (("step", 13), ("time", 8), ("memory", 9), ("cpu", 7))


def failing(branches: Iterable[Branch]) -> list[Branch]:
    """The steps that went wrong by themselves: not those that only passed on what one below them had raised."""
    found: list[Branch] = []
    stack = [iter(branches)]
    path: list[tuple[Branch, int]] = []  # branches that led here, with how many were found before each
    while stack:
        branch = next(stack[-1], None)
        if branch is not None:
            path.append((branch, len(found)))
            stack.append(iter(branch.children))
            continue
        stack.pop()
        if path:
            done, before = path.pop()
            if done.failed and not any(_passed_on(done.problem, below.problem) for below in found[before:]):
                found.append(done)
    return found


def _passed_on(problem: str, below: str) -> bool:
    """Whether the one is the other, as it was raised from a call. What the engine decided gets a type on its way."""
    return bool(below) and (problem == below or problem.endswith(f": {below}"))


def fold(branches: Sequence[Branch], *, depth: int | None = None, failed: bool = False) -> Iterator[Branch]:
    """The branches to be shown, in order, without those below them; folded ones as one of state MORE.

    Args:
        depth: levels that are shown; `None`: all.
        failed: only what went wrong or led there; of siblings that failed alike, with nothing below them, only some.
    """
    levels = [_level(branches, failed)]
    while levels:
        branch = next(levels[-1], None)
        if branch is None:
            levels.pop()
            continue
        yield branch
        if depth is not None and branch.line.depth + 1 >= depth:
            if branch.below:
                yield _more(branch.line.depth + 1, f"{describe_counts(branch.below)} below")
            continue
        levels.append(_level(branch.children, failed))
        if branch.earlier and not failed:
            earlier = _more(branch.line.depth + 1, describe_counts(branch.earlier), "of earlier attempts")
            levels.insert(-1, iter([earlier]))


def _level(branches: Sequence[Branch], failed: bool) -> Iterator[Branch]:
    if failed:
        branches = [branch for branch in branches if branch.failed or _has_problems(branch)]
    kinds = [_way_of_failing(branch) if failed else (branch.quiet or None) for branch in branches]
    alike = Counter(kinds)
    shown: Counter[object] = Counter()
    folded: Counter[str] = Counter()
    below: Counter[str] = Counter()
    for branch, kind in zip(branches, kinds, strict=True):
        shown[kind] += 1
        if kind is None or alike[kind] <= FOLD or shown[kind] <= SHOWN:
            yield branch
        else:
            folded[branch.line.state] += 1
            below += branch.below
    if folded:
        steps = below.total()
        yield _more(branches[0].line.depth, _describe(folded), f"with {steps} steps below" if steps else "")


def _way_of_failing(branch: Branch) -> tuple[str, str] | None:
    """What is the same for those that failed alike. `None` for those above others that went wrong."""
    return None if _has_problems(branch) else (branch.line.title.partition("(")[0], branch.problem)


def _has_problems(branch: Branch) -> bool:
    return any(branch.below[state] for state in ("failed", "timed_out", "abandoned"))


def _describe(folded: Counter[str]) -> str:
    words = [describe_counts(Counter({state: n for state, n in folded.items() if state not in (GROUP, SHARED)}))]
    if folded[GROUP]:
        words.append(f"{folded[GROUP]} group{'s' * (folded[GROUP] > 1)}")
    if folded[SHARED]:
        words.append(f"{folded[SHARED]} shared")
    first, *rest = filter(None, words)
    number, _, what = first.partition(" ")
    return ", ".join([f"{number} more {what}", *rest])


def _more(depth: int, title: str, note: str = "") -> Branch:
    return Branch(Line(depth, MORE, title, note), None, "", Counter(), Counter(), [])


class Drawing(NamedTuple):
    """How lines are drawn: in `width` columns, with marks in Unicode or ASCII."""

    width: int
    unicode: bool
    painter: Painter

    def header(self) -> str:
        """The names of the columns on the right."""
        return self.painter.paint(" " * self._left + self._right([name for name, _ in self._columns]), "dim")

    def line(self, branch: Branch) -> str:
        """A step with its mark, call and note; on the right its id and the time that it took, and where there is room
        its peak memory and CPU time."""
        line, mark = branch.line, MARKS[branch.line.state]
        indent = " " * min(2 + 2 * line.depth, self.width // INDENT_SHARE)
        start = f"{indent}{mark.unicode if self.unicode else mark.ascii} "
        right = self._right(list(islice(_measured(branch), len(self._columns))))
        room = (self._left if right else self.width) - cell_len(start) - 1
        title, note = visible(line.title), visible(line.note)
        if cell_len(title) + 2 + cell_len(note) > room:
            note = fit(note, max(room // 2, room - cell_len(title) - 2), self._ellipsis)
        title = fit(title, room - (cell_len(note) + 2 if note else 0), self._ellipsis)
        gap = " " * max(room + 1 - cell_len(title) - (cell_len(note) + 2 if note else 0), 1) if right else ""
        paint = self.painter.paint
        shown_note = f"  {paint(note, mark.style)}" if note else ""
        shown_title = paint(title, "dim") if line.state == MORE else title
        return f"{paint(start, mark.style)}{shown_title}{shown_note}{gap}{paint(right, 'dim')}".rstrip()

    @property
    def _ellipsis(self) -> str:
        return "…" if self.unicode else "~"

    @property
    def _columns(self) -> tuple[tuple[str, int], ...]:
        return _COLUMNS if self.width >= WIDE else _COLUMNS[:2]

    @property
    def _left(self) -> int:
        return self.width - sum(width for _, width in self._columns)

    def _right(self, texts: Sequence[str]) -> str:
        """Nothing where there is nothing to tell."""
        if not any(texts):
            return ""
        return "".join([f"{text:>{width}}" for text, (_, width) in zip(texts, self._columns, strict=True)]).rstrip()


def _measured(branch: Branch) -> Iterator[str]:
    row = branch.execution
    yield "" if row is None else f"{row.run}:{row.step}"
    yield "" if branch.line.seconds is None else duration(branch.line.seconds)
    yield "" if row is None or not row.peak_memory else size(row.peak_memory)
    yield "" if row is None or row.cpu_seconds is None else duration(row.cpu_seconds)
