"""The metrics of executions as their readers get them from the store."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from coflux.executor.database import Database, damaged
from coflux.executor.rows import ExecutionRow, Row, format_execution_id
from coflux.executor.series import Point, Progress, progress_of, thin
from coflux.metrics import MetricGroup, MetricScale

__all__ = [
    "PAGE",
    "Key",
    "MetricInfo",
    "PointsPage",
    "counts_seconds",
    "counts_times",
    "metrics_of",
    "points_of",
    "progress_among",
    "thinned",
]

PAGE = 65_536  # points, give or take a row
LOOK_BACK = 100  # rows of points, for the rate of late: ten seconds and more of a metric with the usual throttle
YEAR_1990, YEAR_2100 = 631_152_000.0, 4_102_444_800.0  # seconds since the epoch
KEYS_AT_ONCE = 300  # executions that one query asks for

_GROUP: msgspec.json.Decoder[MetricGroup] = msgspec.json.Decoder(MetricGroup)
_SCALE: msgspec.json.Decoder[MetricScale] = msgspec.json.Decoder(MetricScale)

Key = tuple[str, int, int]
"""Run, step and attempt."""

_Columns = tuple[str, int, int, int, str, bytes | None, bytes | None]

_FIELDS = 'metrics.run, metrics.step, metrics.attempt, metrics.number, metrics.key, metrics."group", metrics.scale'
_OF_METRIC = "run = metrics.run AND step = metrics.step AND attempt = metrics.attempt AND metric = metrics.number"
_LAST = f"(SELECT max(first) FROM points WHERE {_OF_METRIC})"
# Of a row of points: its last one.
_LAST_POINT = 'substr(last.at, -8), substr(last."values", -8)'
_JOIN_LAST = (
    "LEFT JOIN points AS last ON last.run = metrics.run AND last.step = metrics.step"
    f" AND last.attempt = metrics.attempt AND last.metric = metrics.number AND last.first = {_LAST}"
)
# What a quote in a name would be stored as cannot be taken for it: `\"`.
_IS_PROGRESS = """CAST(metrics.scale AS TEXT) LIKE '%"progress":true%'"""


class MetricInfo(Row, frozen=True):
    """A metric of an execution. `points` is how many it has; `last` is the last one, `None` when there is none."""

    run: str
    step: int
    attempt: int
    number: int
    key: str
    group: MetricGroup | None
    scale: MetricScale | None
    points: int
    last: Point | None

    @property
    def execution(self) -> str:
        return format_execution_id(self.run, self.step, self.attempt)

    @property
    def is_progress(self) -> bool:
        return self.scale is not None and self.scale.progress


class PointsPage(NamedTuple):
    """Consecutive points of a metric; `first` is the number of those before them."""

    first: int
    at: array[float]
    values: array[float]

    @classmethod
    def empty(cls, first: int) -> PointsPage:
        return cls(first, array("d"), array("d"))

    @property
    def end(self) -> int:
        """Where the next page begins."""
        return self.first + len(self.values)


def metrics_of(
    database: Database, run: str, step: int | None, attempt: int | None, limit: int = -1
) -> list[MetricInfo]:
    """The metrics of a run, of a step or of one attempt, by execution and in the order in which they were defined: all,
    or the first `limit`."""
    where, parameters = ["metrics.run = ?"], [run]
    for name, value in (("step", step), ("attempt", attempt)):
        if value is not None:
            where.append(f"metrics.{name} = ?")
            parameters.append(value)  # type: ignore[arg-type]
    sql = (
        f"SELECT {_FIELDS}, coalesce(last.first + last.count, 0), {_LAST_POINT} FROM metrics {_JOIN_LAST}"
        f" WHERE {' AND '.join(where)} ORDER BY metrics.step, metrics.attempt, metrics.number LIMIT ?"
    )
    return [_info(database, row[:7], row[7], *row[8:]) for row in database.run(sql, (*parameters, limit))]


def points_of(database: Database, metric: MetricInfo, after: int, limit: int = PAGE) -> PointsPage:
    """The points of a metric from number `after` on: about `limit`, and none only where there are no more."""
    key = (metric.run, metric.step, metric.attempt, metric.number)
    place = "run = ? AND step = ? AND attempt = ? AND metric = ?"
    sql = (
        f'SELECT first, at, "values" FROM points WHERE {place} AND first >= ?'
        f" AND first < ? + (SELECT min(first) FROM points WHERE {place} AND first >= ?) ORDER BY first"
    )
    rows = database.run(sql, (*key, after, limit, *key, after))
    page = PointsPage.empty(rows[0][0] if rows else after)
    for _, some_at, some_values in rows:
        page.at.extend(_floats(database, some_at))
        page.values.extend(_floats(database, some_values))
    if len(page.at) != len(page.values):
        raise damaged(database.path, f"the points of metric {metric.key!r} of {metric.execution} do not match")
    return page


def _pages(database: Database, metric: MetricInfo) -> Iterator[PointsPage]:
    """All points of a metric that there are by now, page by page."""
    after = 0
    while after < metric.points and (page := points_of(database, metric, after)).values:
        yield page
        after = page.end


def thinned(database: Database, metric: MetricInfo, limit: int) -> tuple[array[float], array[float]]:
    """About `limit` points of a metric, thinned out a page at a time: see `thin`."""
    at, values = array("d"), array("d")
    for page in _pages(database, metric):
        share = len(page.values) if metric.points <= limit else limit * len(page.values) // metric.points
        some_at, some_values = thin(page.at, page.values, max(share, 16))
        at.extend(some_at)
        values.extend(some_values)
    return at, values


def counts_seconds(metric: MetricInfo, at: Iterable[float]) -> bool:
    """Whether the x-values `at` of a metric are seconds since its execution started. Of those that the user's code
    gave, nothing says what they are, if not the group's units; but they are mostly whole, and times never are."""
    return (metric.group is None or metric.group.units is None) and not all(x.is_integer() for x in at)


def counts_times(metric: MetricInfo, at: Iterable[float]) -> bool:
    """Whether the x-values `at` of a metric are most probably times that the user's code gave, in seconds since the
    epoch: all of them lie in the decades of computers that keep time so."""
    return (metric.group is None or metric.group.units is None) and all(YEAR_1990 <= x < YEAR_2100 for x in at)


# -- progress ---------------------------------------------------------------------------------------------------------


def progress_among(
    database: Database, executions: Sequence[ExecutionRow], now: float
) -> dict[Key, list[tuple[MetricInfo, Progress]]]:
    """The metrics of these executions that tell progress, and what they tell; by run, step and attempt.

    Args:
        now: the wall-clock time up to which executions run that have not ended.
    """
    found: dict[Key, list[tuple[MetricInfo, Progress]]] = {}
    for start in range(0, len(executions), KEYS_AT_ONCE):
        rows = {(row.run, row.step, row.attempt): row for row in executions[start : start + KEYS_AT_ONCE]}
        for metric, earlier in _progress_metrics(database, list(rows)):
            key = (metric.run, metric.step, metric.attempt)
            found.setdefault(key, []).append((metric, _progress(metric, earlier, _elapsed(rows[key], now))))
    return found


def _elapsed(row: ExecutionRow, now: float) -> float | None:
    """The seconds since an execution started; `None` for one that does not run."""
    return now - row.started_at if row.started_at is not None and row.finished_at is None else None


def _progress_metrics(database: Database, executions: Sequence[Key]) -> Iterator[tuple[MetricInfo, Point | None]]:
    """The metrics of these executions that tell progress, with the point that the rate is counted from."""
    places = ", ".join(["(?, ?, ?)"] * len(executions))
    first_of = f"SELECT first FROM points WHERE {_OF_METRIC} ORDER BY first"
    sql = (
        f"WITH wanted (run, step, attempt) AS (VALUES {places})"
        f" SELECT {_FIELDS}, last.first + last.count, {_LAST_POINT},"
        ' substr(early.at, 1, 8), substr(early."values", 1, 8)'
        f" FROM wanted CROSS JOIN metrics USING (run, step, attempt) {_JOIN_LAST}"
        " JOIN points AS early ON early.run = metrics.run AND early.step = metrics.step"
        " AND early.attempt = metrics.attempt AND early.metric = metrics.number"
        f" AND early.first = coalesce(({first_of} DESC LIMIT 1 OFFSET {LOOK_BACK}), ({first_of} LIMIT 1))"
        f" WHERE {_IS_PROGRESS} ORDER BY metrics.run, metrics.step, metrics.attempt, metrics.number"
    )
    for row in database.run(sql, [part for key in executions for part in key]):
        yield _info(database, row[:7], *row[7:10]), _point(database, *row[10:])


def _progress(metric: MetricInfo, earlier: Point | None, elapsed: float | None) -> Progress:
    assert metric.last is not None
    assert metric.scale is not None
    if earlier is not None and not counts_seconds(metric, (earlier.at, metric.last.at)):
        earlier = None
    return progress_of(earlier, metric.last, elapsed, metric.scale.lower or 0.0, metric.scale.upper)


# -- columns ----------------------------------------------------------------------------------------------------------


def _info(
    database: Database, columns: _Columns, points: int, last_at: bytes | None, last_value: bytes | None
) -> MetricInfo:
    group, scale = columns[5:]
    try:
        decoded = (None if group is None else _GROUP.decode(group), None if scale is None else _SCALE.decode(scale))
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise damaged(database.path, error) from error
    return MetricInfo(*columns[:5], *decoded, points, _point(database, last_at, last_value))


def _point(database: Database, at: bytes | None, value: bytes | None) -> Point | None:
    if at is None or value is None:
        return None
    return Point(_floats(database, at)[0], _floats(database, value)[0])


def _floats(database: Database, data: bytes) -> array[float]:
    numbers = array("d")
    try:
        numbers.frombytes(data)
    except (ValueError, TypeError) as error:
        raise damaged(database.path, f"points: {error}") from error
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
