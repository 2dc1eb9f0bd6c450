"""The log that is shown: the ids of all entries that match, and those entries that come onto the screen."""

from __future__ import annotations

from collections.abc import Iterator

from coflux.executor import log_search
from coflux.executor.history import History
from coflux.executor.news import NOTHING, News
from coflux.tui.readers.base import Reader
from coflux.tui.updates import LogIds, LogPage, LogPageAsked, LogsAsked, Request, Update

__all__ = ["LogReader"]

IDS = 5000  # that are read at a time


class LogReader(Reader):
    def __init__(self) -> None:
        self._asked: LogsAsked | None = None
        self._after = 0
        self._newest = 0  # entry of any run, when it was looked last

    def answer(self, history: History, request: Request) -> Iterator[Update]:
        match request:
            case LogsAsked():
                self._asked, self._after, self._newest, self.busy = request, 0, 0, True
            case LogPageAsked(number, page, ids):
                if self._asked is not None and self._asked.number == number:
                    yield LogPage(number, page, history.log_entries(ids))

    def read(self, history: History, news: News) -> Iterator[Update]:
        if self._asked is None or (news is NOTHING and not self.busy):
            return
        newest = history.newest_log_id()
        if newest == self._newest and not self.busy:
            return
        self._newest = newest
        number, wanted = self._asked
        search = log_search.LogFilter(wanted.levels, wanted.text)
        ids = history.log_ids(wanted.run, wanted.step, wanted.attempt, self._after, IDS, search)
        self.busy = len(ids) == IDS
        # What was looked at and does not match is not looked at again.
        self._after = ids[-1] if self.busy else newest
        yield LogIds(number, ids)
