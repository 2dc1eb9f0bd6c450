"""The metrics that are looked at: the first series of the first charts, and what runs of what tells progress.

What is looked at costs as much as there is new of it: points are read from where the last reading stopped.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from coflux.display.axes import in_charts
from coflux.executor.history import History
from coflux.executor.news import Key, News
from coflux.executor.recorded_metrics import MetricInfo
from coflux.executor.rows import ExecutionRow
from coflux.executor.series import Progress
from coflux.tui.courses import Course
from coflux.tui.readers.base import Reader
from coflux.tui.readers.coverage import Coverage
from coflux.tui.updates import ChartRead, MetricCourse, MetricsAsked, MetricsRead, Request, RunOpened, Update

__all__ = ["MetricsReader"]

INTERVAL = 0.2  # seconds between two readings, at least
LEISURE = 10  # times what the last one took, at least
CHARTS = 24
SERIES = 8  # of a chart
BARS = 8
PROGRESSING = 100  # executions that bars are chosen among
POINTS = 300  # of a course, up to twice as many
PAGES = 4  # of points that are read at a time
NEW = 200  # executions whose metrics are read at a time
STEPS = 50  # from which on all metrics of their runs are read, rather than those of each

_Place = tuple[str, int, int, int]  # run, step, attempt, number


class MetricsReader(Reader):
    def __init__(self) -> None:
        self._asked: MetricsAsked | None = None
        self._coverage: Coverage | None = None
        self._metrics: dict[_Place, MetricInfo] = {}
        self._measured: set[Key] = set()  # executions that have metrics
        self._courses: dict[_Place, Course] = {}  # of what is drawn
        self._changed: set[Key] = set()
        self._layout: tuple[list[ChartRead], int, list[MetricInfo]] = [], 0, []
        self._next = 0.0  # when it reads again, on the monotonic clock

    def answer(self, history: History, request: Request) -> Iterator[Update]:
        match request:
            case MetricsAsked(_, run):
                self._asked = request if run else None
                self._coverage = None
                self.busy, self.due = bool(run), None
            case RunOpened():
                self._asked, self.busy, self.due = None, False, None
        yield from ()

    def read(self, history: History, news: News) -> Iterator[Update]:
        if self._asked is None:
            return
        if self._coverage is None or news.metrics is None:
            self._open(history, self._asked)
        else:
            self._changed.update(key for key in news.metrics if key in self._coverage)
        now = time.monotonic()
        if not self.busy:
            if not self._changed:
                return
            if now < self._next:
                self.due = self._next
                return
        self.due = None
        self._look(history)
        self.busy = not self._read_points(history) or bool(self._changed)
        told = None if self.busy else self._told(history, self._asked.number)
        took = time.monotonic() - now
        self._next = now + max(INTERVAL, LEISURE * took)
        if told is not None:
            yield told

    # -- which there are ---------------------------------------------------------------------------------------------

    def _open(self, history: History, asked: MetricsAsked) -> None:
        """Find all that there is."""
        self._coverage = coverage = Coverage(history, asked.run, asked.steps)
        self._metrics.clear()
        self._measured.clear()
        self._courses.clear()
        self._changed.clear()
        steps = coverage.steps
        if steps is not None and len(steps) <= STEPS:
            found = [metric for run, step in sorted(steps) for metric in history.metrics(run, step)]
        else:
            found = [metric for run in coverage.runs for metric in history.metrics(run)]
        self._take(metric for metric in found if _key(metric) in coverage)
        self._lay_out()
        self.busy = True

    def _look(self, history: History) -> None:
        """Look again at the metrics of executions that have changed, if they are drawn, or new."""
        drawn = {place[:3] for place in self._courses} | {_key(metric) for metric in self._layout[2]}
        wanted = [key for key in self._changed if key in drawn or key not in self._measured]
        before = len(self._metrics)
        for key in wanted[:NEW]:
            self._take(history.metrics(*key))
        self._changed = set(wanted[NEW:])
        if len(self._metrics) != before:
            self._lay_out()

    def _take(self, metrics: Iterable[MetricInfo]) -> None:
        for metric in metrics:
            self._metrics[_place(metric)] = metric
            self._measured.add(_key(metric))

    def _lay_out(self) -> None:
        """Choose what is drawn: newest attempts first."""
        assert self._coverage is not None
        order = {run: number for number, run in enumerate(self._coverage.runs)}
        newest: dict[tuple[str, int], int] = {}
        for run, step, attempt in self._measured:
            newest[run, step] = max(newest.get((run, step), 0), attempt)

        def rank(metric: MetricInfo) -> tuple[bool, int, int, int, int]:
            earlier = metric.attempt < newest[metric.run, metric.step]
            return earlier, order.get(metric.run, len(order)), metric.step, -metric.attempt, metric.number

        metrics = sorted(self._metrics.values(), key=rank)
        charts = in_charts(metrics)
        read = [
            ChartRead(
                name, [MetricCourse(metric, (), ()) for metric in members[:SERIES]], max(len(members) - SERIES, 0)
            )
            for name, members in list(charts.items())[:CHARTS]
        ]
        kept = {_place(course.metric) for chart in read for course in chart.courses}
        self._courses = {place: self._courses.get(place) or Course(POINTS) for place in kept}
        self._layout = read, max(len(charts) - CHARTS, 0), [metric for metric in metrics if metric.is_progress]

    # -- what they are -----------------------------------------------------------------------------------------------

    def _read_points(self, history: History) -> bool:
        """Read the points that are new. Returns whether that was all of them."""
        pages = 0
        for place, course in self._courses.items():
            metric = self._metrics[place]
            while course.end < metric.points:
                if pages == PAGES:
                    return False
                page = history.points(metric, course.end)
                if not page.values:
                    break  # they were pruned
                course.extend(page.at, page.values)
                pages += len(page.values) > 1000
        return True

    def _told(self, history: History, number: int) -> MetricsRead:
        layout, more_charts, progressing = self._layout
        charts = [chart._replace(courses=[self._course(course.metric) for course in chart.courses]) for chart in layout]
        bars = _bars(history, progressing)
        return MetricsRead(number, charts, more_charts, bars[:BARS], max(len(progressing) - len(bars[:BARS]), 0))

    def _course(self, metric: MetricInfo) -> MetricCourse:
        place = _place(metric)
        return MetricCourse(self._metrics[place], *self._courses[place].points())


def _bars(history: History, metrics: Sequence[MetricInfo]) -> list[tuple[MetricInfo, Progress]]:
    """What metrics tell of progress; that of what still runs first."""
    keys = list(dict.fromkeys(_key(metric) for metric in metrics))[:PROGRESSING]
    rows = history.executions_among(keys)
    told = history.progress(rows, time.time())

    def rank(row: ExecutionRow) -> tuple[bool, int]:
        key = row.run, row.step, row.attempt
        return row.finished_at is not None, keys.index(key)

    return [bar for row in sorted(rows, key=rank) for bar in told.get((row.run, row.step, row.attempt), ())]


def _key(metric: MetricInfo) -> Key:
    return metric.run, metric.step, metric.attempt


def _place(metric: MetricInfo) -> _Place:
    return metric.run, metric.step, metric.attempt, metric.number
