"""The run that is open: what happens in it, and how far its steps have got."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from coflux.display.feed import Event, ExecutionChanged, Feed
from coflux.executor.history import History
from coflux.executor.news import Key, News
from coflux.executor.rows import ExecutionRow
from coflux.tui.readers.base import Reader
from coflux.tui.updates import ProgressRead, Request, RunOpened, RunProgressed, Update

__all__ = ["RunReader"]

EVENTS = 1000  # that are told at a time: 6 ms for the tree to take in
PROGRESSING = 1000  # executions whose progress is read


class RunReader(Reader):
    def __init__(self) -> None:
        self._run = ""
        self._feed: Feed | None = None
        self._pass: Iterator[Event] | None = None  # one that is not over
        self._changed: frozenset[Key] | None = frozenset()  # since it began; `None` for any
        self._measured = False  # there are new points
        self._running: dict[Key, ExecutionRow] = {}

    def answer(self, history: History, request: Request) -> Iterator[Update]:
        if isinstance(request, RunOpened):
            self._run, self._pass = request.run, None
            self._feed = Feed(history, request.run, entries=False) if request.run else None
            self._changed, self._measured = None, True
            self._running.clear()
            self.busy = self._feed is not None
        yield from ()

    def read(self, history: History, news: News) -> Iterator[Update]:
        if self._feed is None:
            return
        self._note(news)
        if self._pass is None and self._changed != frozenset():
            self._pass = self._feed.events(self._changed)
            self._changed = frozenset()
        if self._pass is not None:
            events = list(islice(self._pass, EVENTS))
            if len(events) < EVENTS:
                self._pass = None
            self._follow(events)
            if events:
                yield RunProgressed(self._run, events)
        self.busy = self._pass is not None or self._changed != frozenset()
        if self._measured and not self.busy:
            self._measured = False
            yield ProgressRead(self._run, self._feed.progress(list(islice(self._running.values(), PROGRESSING))))

    def _note(self, news: News) -> None:
        known = self._changed
        self._changed = None if known is None or news.executions is None else known | news.executions
        self._measured = self._measured or news.metrics != frozenset()

    def _follow(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, ExecutionChanged):
                key = event.row.run, event.row.step, event.row.attempt
                if event.row.status == "running":
                    self._running[key] = event.row
                else:
                    self._running.pop(key, None)
