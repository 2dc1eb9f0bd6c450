"""What a run prints and logs, on standard error of the script that waits for it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from heapq import merge
from operator import attrgetter

from coflux.executor import log_values
from coflux.executor.history import History, LogEntry
from coflux.logs import Level, render

__all__ = ["ScriptOutput"]

_PRINTED = (Level.STDOUT, Level.STDERR)


class ScriptOutput:
    """Shows the entries of a run and of the runs that come of it, as if the script had made them itself."""

    def __init__(self, history: History, run: str) -> None:
        self._history = history
        self._family = {run}
        self._root = run
        self._seen = 0  # the newest entry of any run when they were looked through last
        self._broken = False

    def show(self) -> None:
        """Show what is new. A standard error that takes no more, or is not there, is no reason to end the script."""
        stream = sys.stderr
        if self._broken or stream is None:
            return
        try:
            for entry in self._new():
                if not entry.live:  # of a progress bar the end is shown
                    stream.write(_text(entry))
            stream.flush()
        except (OSError, ValueError):
            self._broken = True

    def _new(self) -> Iterator[LogEntry]:
        """In the order of arrival, up to what is newest now."""
        before, self._seen = self._seen, self._history.newest_log_id()
        return merge(*(self._entries(run, before) for run in self._with_news(before)), key=attrgetter("id"))

    def _entries(self, run: str, after: int) -> Iterator[LogEntry]:
        while after < self._seen and (page := self._history.logs(run, after=after)):
            yield from (entry for entry in page if entry.id <= self._seen)
            after = page[-1].id

    def _with_news(self, before: int) -> list[str]:
        if before == 0:  # the first time: other runs may have filled the store for years
            self._family.update(self._history.family(self._root))
            return sorted(self._family)
        logged = self._history.runs_logged(before, self._seen)
        if not logged <= self._family:
            self._family.update(self._history.family(self._root))
        return sorted(logged & self._family)


def _text(entry: LogEntry) -> str:
    text = render(entry.template, log_values.texts(entry.values), literal=entry.logger is not None)
    if entry.level in _PRINTED:
        return f"{text}\n"
    logger = "" if entry.logger is None else f" {entry.logger}"
    return f"{Level(entry.level).name.lower()}{logger}: {text}\n"
