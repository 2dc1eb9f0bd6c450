"""The first metric of executions of the run that is open, in a few points each: what the rows of its tree show."""

from __future__ import annotations

import time
from collections.abc import Iterator

from coflux.executor.history import History
from coflux.executor.news import Key, News
from coflux.executor.recorded_metrics import MetricInfo
from coflux.tui.courses import Course
from coflux.tui.readers.base import Reader
from coflux.tui.readers.coverage import Coverage
from coflux.tui.updates import Request, RunOpened, Spark, SparksRead, Update

__all__ = ["SparksReader"]

INTERVAL = 1.0  # seconds between two readings
EXECUTIONS = 200
POINTS = 64  # of a course, up to twice as many
AT_ONCE = 50  # executions that are read at a time


class SparksReader(Reader):
    def __init__(self) -> None:
        self._run = ""
        self._coverage: Coverage | None = None
        self._courses: dict[Key, Course] = {}
        self._changed: dict[Key, None] = {}
        self._next = 0.0

    def answer(self, history: History, request: Request) -> Iterator[Update]:
        if isinstance(request, RunOpened):
            self._run = request.run
            self._coverage = None
            self._courses.clear()
            self._changed.clear()
            self.busy, self.due = bool(request.run), None
        yield from ()

    def read(self, history: History, news: News) -> Iterator[Update]:
        if not self._run:
            return
        if self._coverage is None or news.metrics is None:
            self._coverage = Coverage(history, self._run, None)
            found = (metric for run in self._coverage.runs for metric in history.metrics(run, limit=2 * EXECUTIONS))
            self._changed.update(((metric.run, metric.step, metric.attempt), None) for metric in found)
        else:
            self._changed.update((key, None) for key in news.metrics if self._follows(key, self._coverage))
        now = time.monotonic()
        if not self._changed or (now < self._next and not self.busy):
            self.busy, self.due = False, self._next if self._changed else None
            return
        self._next, self.due = now + INTERVAL, None
        some = list(self._changed)[:AT_ONCE]
        for key in some:
            del self._changed[key]
        self.busy = bool(self._changed)
        sparks = {key: spark for key in some if (spark := self._spark(history, key)) is not None}
        if sparks:
            yield SparksRead(self._run, sparks)

    def _follows(self, key: Key, coverage: Coverage) -> bool:
        return key in self._courses or (len(self._courses) < EXECUTIONS and key in coverage)

    def _spark(self, history: History, key: Key) -> Spark | None:
        metric = next((one for one in history.metrics(*key) if not one.is_progress), None)
        if metric is None or metric.last is None:
            return None
        if key not in self._courses and len(self._courses) >= EXECUTIONS:
            return None
        course = self._courses.setdefault(key, Course(POINTS))
        while course.end < metric.points and (page := history.points(metric, course.end)).values:
            course.extend(page.at, page.values)
        return Spark(metric.attempt, course.points()[1], metric.last.value, _units(metric))


def _units(metric: MetricInfo) -> str:
    return (metric.scale.units or "") if metric.scale is not None else ""
