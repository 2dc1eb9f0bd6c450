"""The list of runs, with what it tells of each; and the arguments that runs of a target were started with."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from coflux.display.reasons import problem_of
from coflux.executor.history import History, StepInfo
from coflux.executor.news import News
from coflux.executor.rows import RunRow
from coflux.executor.run_list import RunList
from coflux.tui.readers.base import Reader
from coflux.tui.tree import PROBLEMS
from coflux.tui.updates import MoreRunsAsked, PastCall, PastCalls, PastCallsAsked, Request, RunBrief, RunsRead, Update

__all__ = ["RunsReader"]

PAGE = 500  # runs
COUNTED = 50  # unfinished runs, the newest, whose steps are counted
COUNT_EVERY = 0.5  # seconds between two counts, or
COUNT_SHARE = 20  # times as long as a count took, if that is more
PAST = 20  # runs of a target whose arguments are offered


class RunsReader(Reader):
    def __init__(self) -> None:
        self._list: RunList | None = None
        self._briefs: dict[str, _Briefed] = {}
        self._count_at = 0.0  # monotonic time

    def answer(self, history: History, request: Request) -> Iterator[Update]:
        match request:
            case MoreRunsAsked():
                if self._list is not None and self._list.extend():
                    yield self._page(history, self._list)
            case PastCallsAsked():
                yield PastCalls(request, list(_past_calls(history, request)))

    def read(self, history: History, news: News) -> Iterator[Update]:
        if self._list is None:
            self._list = RunList(history, PAGE)
            self._list.update()
        elif not self._list.update(news.runs) and not self._is_due(news):
            return
        yield self._page(history, self._list)

    def _is_due(self, news: News) -> bool:
        """Whether steps are to be counted: something happened in runs, now or since they were counted."""
        if news.executions != frozenset() and self.due is None:
            self.due = self._count_at
        return self.due is not None and self.due <= time.monotonic()

    def _page(self, history: History, runs: RunList) -> RunsRead:
        rows = runs.rows
        self._brief(history, rows)
        self._count(runs, rows)
        briefs = {row.id: self._briefs[row.id].brief for row in rows}
        return RunsRead(rows, runs.count(), briefs)

    def _brief(self, history: History, rows: list[RunRow]) -> None:
        """Bring up to date what is told of each run. Arguments are read once, a problem when the run has another."""
        known, self._briefs = self._briefs, {}
        roots = history.roots([row.id for row in rows if row.id not in known])
        for row in rows:
            one = known.get(row.id)
            if one is None:
                root = roots.get(row.id)
                one = _Briefed(RunBrief(() if root is None else _arguments(root)), None)
            if one.row is None or (one.row.status, one.row.finished_at) != (row.status, row.finished_at):
                problem = ""
                if row.status in PROBLEMS:
                    end = history.newest_end(row.id)
                    problem = "" if end is None else problem_of(history.outcome(end.id))
                one = one._replace(brief=one.brief._replace(problem=problem), row=row)
            self._briefs[row.id] = one

    def _count(self, runs: RunList, rows: list[RunRow]) -> None:
        """Count the steps of unfinished runs, unless that was done a moment ago; and take away the count of others."""
        began = time.monotonic()
        unsettled = [row.id for row in rows if not row.settled][:COUNTED]
        for run in self._briefs.keys() - set(unsettled):
            one = self._briefs[run]
            if one.brief.steps:
                self._briefs[run] = one._replace(brief=one.brief._replace(steps={}))
        if began < self._count_at:
            self.due = self._count_at if unsettled else None
            return
        for run in unsettled:
            one = self._briefs[run]
            self._briefs[run] = one._replace(brief=one.brief._replace(steps=runs.count_steps(run)))
        ended = time.monotonic()
        self._count_at = ended + max(COUNT_EVERY, COUNT_SHARE * (ended - began))
        self.due = None


class _Briefed(NamedTuple):
    brief: RunBrief
    row: RunRow | None
    """As it was when the problem was looked up."""


def _arguments(root: StepInfo) -> tuple[tuple[str, str], ...]:
    return tuple(zip(root.parameters, root.arguments, strict=False))


def _past_calls(history: History, asked: PastCallsAsked) -> Iterator[PastCall]:
    rows = history.runs(PAST, target=(asked.module, asked.name), children=True)
    wanted = next((row for row in rows if row.id == asked.run), None) or (history.run(asked.run) if asked.run else None)
    if wanted is not None:
        rows = [wanted, *(row for row in rows if row.id != wanted.id)]
    roots = history.roots([row.id for row in rows])
    for row in rows:
        if row.id in roots:
            arguments = history.arguments(row.id, 1)
            yield PastCall(row, dict(zip(roots[row.id].parameters, arguments, strict=False)))
