"""Metrics as readers get them: definitions, pages of points, series thinned out, and progress."""

from __future__ import annotations

import math
import time
from array import array

import pytest

from coflux import MetricGroup, MetricScale
from coflux.executor.database import StoreError
from coflux.executor.history import History
from coflux.executor.recorded_metrics import MetricInfo
from coflux.executor.rows import MetricRow, PointsRow
from coflux.executor.series import Point, Progress
from coflux.executor.store import Store
from tests.store.factories import batch, execution_row, metric_row, points_row, run_row, step_row

PROGRESS = MetricScale(progress=True, upper=20)


def test_metrics_of_a_run_a_step_and_an_attempt(store: Store, history: History) -> None:
    group, scale = MetricGroup("training", units="epochs"), MetricScale("loss", units="nats", lower=0)
    store.commit(
        batch(
            metric_row(number=1, key="empty"),
            metric_row(group=group, scale=scale),
            points_row([3.0, 2.0]),
            points_row([1.0], first=2),
            metric_row(attempt=2),
            metric_row(step=2),
            points_row([math.nan], step=2),
        )
    )
    assert history.metrics("Rtest", 1, 1) == [
        MetricInfo("Rtest", 1, 1, 0, "loss", group, scale, 3, Point(2.5, 1.0)),
        MetricInfo("Rtest", 1, 1, 1, "empty", None, None, 0, None),
    ]
    executions = [(metric.execution, metric.number) for metric in history.metrics("Rtest")]
    assert executions == [("Rtest:1:1", 0), ("Rtest:1:1", 1), ("Rtest:1:2", 0), ("Rtest:2:1", 0)]
    assert len(history.metrics("Rtest", 1)) == 3
    (gap,) = history.metrics("Rtest", 2)
    assert gap.last is not None
    assert math.isnan(gap.last.value)
    assert history.metrics("Rnone") == []


def test_a_million_points(store: Store, history: History) -> None:
    size = 4096
    values = array("d", (math.sin(number / 1e4) for number in range(1_000_000)))
    starts = range(0, len(values), size)
    rows = (points_row(values[start : start + size], first=start) for start in starts)
    store.commit(batch(metric_row(), *rows))
    (metric,) = history.metrics("Rtest")
    assert metric.points == 1_000_000
    read, after, pages = array("d"), 0, 0
    while page := history.points(metric, after).values:
        read += page
        after += len(page)
        pages += 1
        assert len(page) < 70_000
    assert read == values
    assert pages > 10
    before = time.process_time()
    at, thinned = history.thinned_points(metric, 2000)
    assert time.process_time() - before < 2.0, "0.2 s are usual"
    assert 1500 < len(thinned) <= 2000 + 16
    assert (at[0], at[-1]) == (0.5, 999_999.5)
    assert (min(thinned), max(thinned)) == (min(values), max(values))


def test_pages_of_points_that_came_one_by_one(store: Store, history: History) -> None:
    store.commit(batch(metric_row(), *(points_row([float(number)], first=number) for number in range(25))))
    (metric,) = history.metrics("Rtest")
    assert list(history.points(metric, 0, 10).values) == list(range(10))
    page = history.points(metric, 20, 10)
    assert (page.first, page.end, list(page.values)) == (20, 25, [20, 21, 22, 23, 24])
    assert not history.points(metric, 25).values
    assert list(history.thinned_points(metric, 2000)[1]) == list(range(25))


@pytest.mark.parametrize(
    ("scale", "rows", "now", "expected"),
    [
        (PROGRESS, [points_row([1, 2, 3, 4, 5])], 4.5, Progress(5, 20, 0.25, 1.0, 15.0)),
        (PROGRESS, [points_row([1, 2]), points_row([3], first=2)], 4.5, Progress(3, 20, 0.15, 1.0, 15.0)),
        (MetricScale(progress=True), [points_row([1, 2])], 2.0, Progress(2, None, None, 1.0, None)),
        # What the points' x counts is not told, or not seconds.
        (PROGRESS, [points_row([1, 2], [1, 2])], 4.5, Progress(2, 20, 0.1, None, None)),
        # The rate is that of late: it was ten times as quick before.
        (
            MetricScale(progress=True, upper=2000),
            [points_row([10 * number], first=number) for number in range(100)]
            + [points_row([1000 + number], first=100 + number) for number in range(150)],
            249.5,
            Progress(1149, 2000, 0.5745, 1.0, 851.0),
        ),
        (MetricScale('"progress":true'), [points_row([1])], 4.5, None),
        (None, [points_row([1])], 4.5, None),
        (PROGRESS, [], 4.5, None),
    ],
)
def test_progress(
    store: Store,
    history: History,
    scale: MetricScale | None,
    rows: list[PointsRow],
    now: float,
    expected: Progress | None,
) -> None:
    store.commit(batch(metric_row(scale=scale), *rows))
    told = history.progress([execution_row(status="running", started_at=1000.0)], 1000.0 + now)
    if expected is None:
        assert told == {}
    else:
        ((metric, progress),) = told["Rtest", 1, 1]
        assert (metric.key, progress) == ("loss", expected)


def test_progress_of_many_executions_is_one_cheap_look(store: Store, history: History) -> None:
    steps = range(1, 1001)
    store.commit(
        batch(
            run_row(),
            *(step_row(number=step) for step in steps),
            *(execution_row(step=step, status="succeeded", started_at=1.0, finished_at=30.0) for step in steps),
            *(metric_row(step=step, number=number, scale=PROGRESS) for step in steps for number in (0, 1)),
            *(points_row([1, 2], step=step, metric=1) for step in steps),
        )
    )
    executions = history.executions("Rtest", limit=-1)
    before = time.process_time()
    told = history.progress(executions, 99.0)
    assert time.process_time() - before < 1.0, "40 ms are usual"
    assert len(told) == 1000
    assert all(found[0][1] == Progress(2, 20, 0.1, 1.0, None) for found in told.values())


@pytest.mark.parametrize(
    "row",
    [
        MetricRow("Rtest", 1, 1, 0, "loss", b'{"name": 5}', None),
        MetricRow("Rtest", 1, 1, 0, "loss", None, b"what"),
        PointsRow("Rtest", 1, 1, 0, 0, 1, b"short", b"short"),
        PointsRow("Rtest", 1, 1, 0, 0, 1, bytes(16), bytes(8)),
    ],
)
def test_damaged_rows(store: Store, history: History, row: MetricRow | PointsRow) -> None:
    store.commit(batch(metric_row(), row))
    with pytest.raises(StoreError, match=r"logs\.db is damaged"):
        history.points(history.metrics("Rtest")[0])
