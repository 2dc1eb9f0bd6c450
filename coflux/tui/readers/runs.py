"""The list of runs."""

from __future__ import annotations

from collections.abc import Iterator

from coflux.executor.history import History
from coflux.executor.news import News
from coflux.executor.run_list import RunList
from coflux.tui.readers.base import Reader
from coflux.tui.updates import MoreRunsAsked, Request, RunsRead, Update

__all__ = ["RunsReader"]

PAGE = 500  # runs


class RunsReader(Reader):
    def __init__(self) -> None:
        self._list: RunList | None = None

    def answer(self, history: History, request: Request) -> Iterator[Update]:
        if isinstance(request, MoreRunsAsked) and self._list is not None and self._list.extend():
            yield RunsRead(self._list.rows, self._list.count())

    def read(self, history: History, news: News) -> Iterator[Update]:
        if self._list is None:
            self._list = RunList(history, PAGE)
            self._list.update()
        elif news.runs == frozenset() or not self._list.update(news.runs):
            return
        yield RunsRead(self._list.rows, self._list.count())
