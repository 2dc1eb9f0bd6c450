"""Work for the reading thread that is done one after the other, each in portions."""

from __future__ import annotations

from collections.abc import Iterator

from coflux.executor.history import History
from coflux.executor.news import News
from coflux.tui.readers.base import Reader
from coflux.tui.updates import Update

__all__ = ["JobReader"]

Job = Iterator[Update | None]
"""Does the next portion, and tells something or `None`."""


class JobReader(Reader):
    """Subclasses `begin` jobs when they are asked to."""

    def __init__(self) -> None:
        self._jobs: list[Job] = []

    def begin(self, job: Job) -> None:
        """Do it after those begun before."""
        self._jobs.append(job)
        self.busy = True

    def read(self, history: History, news: News) -> Iterator[Update]:
        if self._jobs:
            try:
                told = next(self._jobs[0])
            except StopIteration:
                self._jobs.pop(0)
            else:
                if told is not None:
                    yield told
        self.busy = bool(self._jobs)
