"""A group: what it holds, how long its steps take, and which of them failed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from statistics import median

from coflux.display.marks import MARKS
from coflux.display.text import duration
from coflux.tui.details.page import Line, Page, ToStep
from coflux.tui.painting import bar, seconds_of
from coflux.tui.text import clean
from coflux.tui.tree import PROBLEMS, UNFINISHED, Kind, Node

__all__ = ["describe_group"]

FAILURES = 10
SLOWEST = 3
BAR_WIDTH = 16  # cells


def describe_group(page: Page, group: Node, now: float) -> None:
    """Counts by state, the range of durations, the slowest, and the first that failed."""
    total = sum(group.below.values())
    page.facts([[("group ", "dim"), (clean(group.title), "bold")], [(f"{total:,} step{'s' * (total != 1)}", "dim")]])
    _counts(page, group, total)
    steps = list(_steps(group))
    _durations(page, steps, now)
    _failures(page, group)


def _counts(page: Page, group: Node, total: int) -> None:
    ended = total - group.unfinished
    if group.unfinished and total:
        page.line(
            (bar(ended / total, min(BAR_WIDTH, page.room), page.glyphs), "cyan"), (f" {ended / total:.0%}", "bold")
        )
    counts = {state: count for state, count in group.below.items() if count}
    facts: list[Line] = []
    for state in sorted(counts, key=lambda state: (state not in PROBLEMS, state not in UNFINISHED, -counts[state])):
        mark = MARKS[state]
        facts.append(
            [(f"{page.glyphs.mark(mark)}{counts[state]:,}", mark.style), (f" {state.replace('_', ' ')}", "dim")]
        )
    page.facts(facts)


def _durations(page: Page, steps: list[Node], now: float) -> None:
    timed = []
    for step in steps:
        row = step.execution
        seconds = seconds_of(row, now)
        if row is not None and seconds is not None and row.status not in UNFINISHED:
            timed.append((seconds, step))
    if not timed:
        return
    timed.sort(key=lambda one: one[0])
    times = [seconds for seconds, _ in timed]
    page.heading("Durations", f"of {len(times):,} that ended")
    names = [("shortest", times[0]), ("median", median(times)), ("longest", times[-1]), ("together", sum(times))]
    page.facts([[(f"{name} ", "dim"), (duration(seconds), "")] for name, seconds in names])
    if len(timed) > SLOWEST:
        for seconds, step in timed[: -SLOWEST - 1 : -1]:
            page.line((f"{duration(seconds):>7}  ", ""), *_call(step), link=_way(step))


def _failures(page: Page, group: Node) -> None:
    if not group.failed:
        return
    page.heading("Failures", f"{group.failed:,}")
    found = list(islice(_failed(group), FAILURES))
    for step in found:
        mark = MARKS[step.state]
        problem = clean(step.problem, 300)
        page.line((f"{page.glyphs.mark(mark)} ", mark.style), *_call(step), (f"  {problem}", "red"), link=_way(step))
    if group.failed > len(found):
        page.line((f"{page.glyphs.ellipsis} {group.failed - len(found):,} more: e goes to the next one", "dim"))


def _steps(group: Node) -> Iterator[Node]:
    """Those that were submitted in it, or in a group in it."""
    stack = [group]
    while stack:
        node = stack.pop()
        if node.kind is Kind.STEP:
            yield node
        else:
            stack.extend(reversed(node.children))


def _failed(group: Node) -> Iterator[Node]:
    """In the order of the tree."""
    stack = [group]
    while stack:
        node = stack.pop()
        if node.kind is Kind.STEP and node.state in PROBLEMS:
            yield node
        stack.extend(child for child in reversed(node.children) if child.failed)


def _call(step: Node) -> Line:
    arguments = "" if step.info is None else ", ".join(step.info.arguments)
    return [(clean(step.title), ""), (clean(f"({arguments})", 100), "dim")]


def _way(step: Node) -> ToStep:
    (run, number), *_ = step.keys
    return ToStep(run, number)
