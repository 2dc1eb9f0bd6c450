"""The log that is shown: the ids of all entries that match, and those entries that come onto the screen."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from coflux.executor import log_search
from coflux.executor.database import StoreError
from coflux.executor.history import History, LogEntry
from coflux.executor.log_search import LogScope
from coflux.executor.news import NOTHING, News
from coflux.tui.readers.base import Reader
from coflux.tui.readers.log_scope import ScopeReader
from coflux.tui.updates import (
    LogEntries,
    LogEntriesAsked,
    LogEntryAsked,
    LogFilter,
    LogGone,
    LogIds,
    LogLive,
    LogMatches,
    LogsAsked,
    LogSearch,
    LogSearchAsked,
    LogTimeAsked,
    LogTimeFound,
    LogWhole,
    Request,
    Update,
)

__all__ = ["LogReader", "Walk", "search_filter"]

FIRST_PORTION = 1000  # ids that are looked at to begin with
PORTION = 20_000  # at most
PORTION_TIME = 0.015  # seconds that a portion is to take
LIVE = 50  # entries that are drawn again and again, and shown
CUT = 2000  # characters of a text in a list
CUT_WHOLE = 64 * 1024  # of one that is shown alone


class Walk:
    """Goes through a log from its end to its beginning, and through what comes meanwhile, in portions that take about
    the same time each, however little they find."""

    def __init__(self) -> None:
        self._size = FIRST_PORTION
        self._oldest = self._low = 0
        self._high = -1  # what comes after it is new; -1 before anything was read
        self._begun = False  # something was told, be it that there is nothing

    def begin(self, history: History, scope: LogScope, newest: int) -> None:
        if self._high < 0:
            self._oldest, last = history.log_bounds(scope.runs)
            self._low = min(last, newest)
            self._high = newest

    def is_over(self, newest: int) -> bool:
        return self._begun and self._high >= newest and self._low < max(self._oldest, 1)

    def is_lost(self, newest: int) -> bool:
        """The entries that it has found are not there any more."""
        return newest < self._high

    @property
    def left(self) -> float:
        """The share that it has not gone through."""
        return 0.0 if not self._oldest else max(self._low - self._oldest + 1, 0) / max(self._high - self._oldest + 1, 1)

    def portion(
        self, history: History, scope: LogScope, wanted: log_search.LogFilter, newest: int
    ) -> tuple[array[int], bool]:
        """The next ids that match, and whether they come before those found so far."""
        began = time.perf_counter()
        self._begun = True
        before = self._high >= newest
        if before:
            after = max(self._low - self._size, self._oldest - 1)
            ids = history.log_ids(scope, after, self._low, wanted)
            self._low = after
        else:
            until = min(self._high + self._size, newest)
            ids = history.log_ids(scope, self._high, until, wanted)
            self._high = until
        took = time.perf_counter() - began
        if took < PORTION_TIME / 2:
            self._size = min(self._size * 2, PORTION)
        elif took > PORTION_TIME * 2:
            self._size = max(self._size // 2, 100)
        return ids, before


class LogReader(Reader):
    """Of several requests for a log that come together the last one counts: the cursor has moved on."""

    def __init__(self) -> None:
        self._asked: LogsAsked | None = None
        self._search: LogSearchAsked | None = None
        self._trouble = ""
        self._begin(None)

    def _begin(self, asked: LogsAsked | None) -> None:
        self._asked = asked
        self._scope_reader = None if asked is None else ScopeReader(asked.filter)
        self._scope = LogScope(())
        self._shown, self._found = Walk(), Walk()
        self._newest = -1  # entry of any run, when it was looked last
        self._live: Sequence[LogEntry] = ()
        self.busy = asked is not None

    def answer(self, history: History, request: Request) -> Iterator[Update]:
        if isinstance(request, LogsAsked):
            self._search, self._trouble = None, ""
            self._begin(request)
            return
        number = None if self._asked is None else self._asked.number
        match request:
            case LogEntriesAsked() if request.number == number:
                entries = [_cut(entry, CUT) for entry in history.log_entries(request.ids)]
                yield LogEntries(request.number, request.ids, entries)
            case LogEntryAsked() if request.number == number:
                for entry in history.log_entries([request.id]):
                    yield LogWhole(request.number, _cut(entry, CUT_WHOLE), len(entry.template or ""))
            case LogSearchAsked() if request.number == number:
                self._search = None if request.wanted is None else request
                self._found, self.busy = Walk(), True
            case LogTimeAsked() if request.number == number:
                found = history.log_id_at(self._scope, request.at)
                if found:
                    yield LogTimeFound(request.number, found)

    def read(self, history: History, news: News) -> Iterator[Update]:
        if self._asked is None or (news is NOTHING and not self.busy):
            return
        number = self._asked.number
        try:
            # All that is in the log now is of steps that are in the store, so the scope has them.
            newest = history.newest_log_id()
            if self._shown.is_lost(newest):
                self._begin(self._asked)
                yield LogGone(number, "")
            if newest != self._newest or self._trouble:
                self._newest, self._trouble = newest, ""
                assert self._scope_reader is not None
                self._scope = self._scope_reader.read(history)
                yield from self._read_live(history, number)
            yield from self._read_on(history, number, newest)
        except StoreError as error:
            self.busy = False
            if str(error) != self._trouble:
                self._begin(self._asked)
                self._trouble, self.busy = str(error), False
                yield LogGone(number, self._trouble)

    def _read_live(self, history: History, number: int) -> Iterator[Update]:
        assert self._asked is not None
        live = history.live_entries(self._scope, LIVE, search_filter(self._asked.filter, None))
        if live != self._live:
            self._live = live
            yield LogLive(number, [_cut(entry, CUT) for entry in live])

    def _read_on(self, history: History, number: int, newest: int) -> Iterator[Update]:
        assert self._asked is not None
        wanted = self._asked.filter
        for walk, search in ((self._shown, None), (self._found, self._search)):
            if walk is self._found and search is None:
                continue
            walk.begin(history, self._scope, newest)
            if walk.is_over(newest):
                continue
            ids, before = walk.portion(
                history, self._scope, search_filter(wanted, None if search is None else search.wanted), newest
            )
            if search is None:
                yield LogIds(number, ids, before, walk.left)
            else:
                yield LogMatches(number, search.search, ids, before, walk.left)
        self.busy = not self._shown.is_over(newest) or (self._search is not None and not self._found.is_over(newest))


def search_filter(wanted: LogFilter, search: LogSearch | None) -> log_search.LogFilter:
    """What the store is asked for."""
    found = log_search.LogFilter(wanted.levels, fields=wanted.fields)
    return found if search is None else found._replace(text=search.text or None, pattern=search.pattern or None)


def _cut(entry: LogEntry, limit: int) -> LogEntry:
    """An entry without the end of what is long in it: it may have megabytes, and is kept while it is on the screen."""
    template, values = entry.template, entry.values
    if template is not None and len(template) > limit:
        entry = msgspec.structs.replace(entry, template=template[:limit])
    if values is not None and len(values) > limit:
        entry = msgspec.structs.replace(
            entry, values=msgspec.json.encode(_cut_texts(msgspec.json.decode(values), limit))
        )
    return entry


def _cut_texts(data: Any, limit: int) -> Any:
    match data:
        case str():
            return data if len(data) <= limit else data[:limit] + "…"
        case list():
            return [_cut_texts(one, limit) for one in data[:limit]]
        case dict():
            return {key: _cut_texts(one, limit) for key, one in data.items()}
    return data
