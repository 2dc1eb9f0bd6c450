"""Metrics as data and as charts, and what is read of them from a store."""

from __future__ import annotations

import math
import random
import time
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from coflux import MetricGroup, MetricScale
from coflux.display.axes import Axis, ChartName, Range
from coflux.executor.history import History
from coflux.executor.news import EVERYTHING, NOTHING, News
from coflux.executor.store import Store
from coflux.tui.charts import paint_bars, paint_chart
from coflux.tui.courses import Course
from coflux.tui.metrics import Chart, Excerpt, MetricsState, chart_of
from coflux.tui.painting import Glyphs, Piece, sparkline
from coflux.tui.readers.base import Reader
from coflux.tui.readers.metrics import MetricsReader
from coflux.tui.readers.sparks import SparksReader
from coflux.tui.scope import Scope, steps_of
from coflux.tui.ticks import rounded, ticks
from coflux.tui.tree import RunTree
from coflux.tui.tree_rows import paint_tree_row
from coflux.tui.updates import ChartRead, MetricCourse, MetricsAsked, MetricsRead, RunOpened, Spark, SparksRead, Update
from tests.store.factories import batch, execution_row, metric_row, points_row, run_row, step_row
from tests.tui.measured import BARS, course, training
from tests.tui.pretend import NOW, execution, step

UNICODE, ASCII = Glyphs(True), Glyphs(False)
NAN = math.nan


def read(*courses: MetricCourse, more: int = 0) -> ChartRead:
    return ChartRead(ChartName(False, "loss"), courses, more)


def chart(*courses: MetricCourse, more: int = 0, excerpt: Excerpt = Excerpt()) -> Chart:  # noqa: B008 (immutable)
    return chart_of(read(*courses, more=more), excerpt, lambda metric: f"step{metric.step}")


def drawn(some: Chart, width: int = 30, height: int = 9, glyphs: Glyphs = UNICODE) -> list[str]:
    return texts(paint_chart(some, width, height, glyphs))


def texts(lines: Sequence[Sequence[Piece]]) -> list[str]:
    return ["".join(text for text, _ in line).rstrip() for line in lines]


# -- the course of a metric -------------------------------------------------------------------------------------------


def test_a_course_is_bounded_even_and_has_the_extremes_however_the_points_come() -> None:
    for seed in range(20):
        chance = random.Random(seed)
        count = chance.choice([3, 100, 1000, 40_000])
        values = [math.sin(one / 500) + chance.random() / 10 for one in range(count)]
        values[count // 2] = 9.0
        kept, start = Course(64), 0
        while start < count:
            size = chance.choice([1, 7, 500, 5000])
            kept.extend(range(start, min(start + size, count)), values[start : start + size])
            start += size
        at, thinned = kept.points()
        assert kept.end == count
        assert len(thinned) <= 3 * 64 + 64
        assert max(thinned) == 9.0
        assert (at[0], at[-1]) == (0, count - 1)
        assert list(at) == sorted(set(at))
        assert all(values[int(place)] == value for place, value in zip(at, thinned, strict=True))
        if count > 1000:  # the beginning has about as many points as the end
            halves = sum(place < count / 2 for place in at), sum(place >= count / 2 for place in at)
            assert 1 / 4 < halves[0] / halves[1] < 4


def test_a_course_keeps_gaps_and_costs_little() -> None:
    kept = Course(64)
    values = array("d", [1.0]) * 5000 + array("d", [NAN]) * 5000 + array("d", [2.0]) * 5000
    kept.extend(array("d", range(15_000)), values)
    _, thinned = kept.points()
    assert any(map(math.isnan, thinned))
    assert {1.0, 2.0} <= set(thinned)
    million = Course(500)
    numbers = array("d", (math.sin(one / 1e4) for one in range(65_536)))
    began = time.perf_counter()
    for _ in range(16):
        million.extend(numbers, numbers)
    assert time.perf_counter() - began < 1.0
    assert million.end == 1 << 20
    assert million.points()[0] is million.points()[0]  # it is made once


# -- axes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "most", "expected"),
    [
        (Range(0, 40), 5, [0, 10, 20, 30, 40]),
        (Range(0.03, 2.4), 6, [0.5, 1.0, 1.5, 2.0]),
        (Range(-7, 7), 4, [-5, 0, 5]),
        (Range(3, 3.5), 2, [3, 3.5]),
        (Range(1e15, 1e15 + 1), 5, [1e15, 1e15 + 1]),  # no rounder numbers tell them apart
        (Range(-1.7e308, 1.7e308), 5, [-1.7e308, 1.7e308]),
        (Range(0, 5e-324), 5, [0, 5e-324]),
    ],
)
def test_axes_are_labelled_at_round_numbers(shown: Range, most: int, expected: list[float]) -> None:
    assert ticks(shown, most, "numbers") == pytest.approx(expected)


def test_axes_of_seconds_are_labelled_at_round_times_and_wide_ones_by_days() -> None:
    assert ticks(Range(0, 300), 6, "seconds") == [0, 60, 120, 180, 240, 300]
    assert ticks(Range(0, 0.4), 5, "seconds") == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert ticks(Range(0, 2e6), 5, "seconds") == [0, 518_400, 1_036_800, 1_555_200]
    assert ticks(Range(1.7e9, 1.7e9 + 60), 5, "times") == [1.7e9, 1.7e9 + 60]


def test_an_axis_without_bounds_goes_on_to_the_next_round_number_if_that_is_near() -> None:
    wider, places = rounded(Axis(), Range(0.05, 2.45), 6)
    assert wider == Range(0.0, 2.5)
    assert places == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5])
    assert rounded(Axis(upper=2.45), Range(0.05, 2.45), 6)[0] == Range(0.0, 2.45)
    assert rounded(Axis(), Range(0.05, 2.05), 3)[0] == Range(0.05, 2.05)


# -- charts -----------------------------------------------------------------------------------------------------------


def test_a_chart_is_a_line_in_quadrants_with_its_last_value() -> None:
    some = chart(course("loss", [4, 3, 2, 1, 0], group=MetricGroup("g", units="epochs")))
    assert drawn(some, 24, 10) == [
        " loss   over epochs",
        " ● loss 0",
        "4 ┤▀▙▄▖",
        "  │   ▀▜▄▄",
        "  │      ▝▀▜▄▖",
        "2 ┤          ▀▀▙▄▖",
        "  │              ▀▀▙▄",
        "0 ┤                 ▝▀▜●",
        "  └─────────────────────",
        "   0                   4",
    ]
    assert drawn(some, 24, 10, ASCII)[1] == " * loss 0"
    assert all(line.isascii() for line in drawn(some, 24, 10, ASCII))


def test_gaps_are_left_open_and_noted() -> None:
    some = chart(course("a", [1, 1, NAN, math.inf, 1, 1]), course("b", [NAN, -math.inf]), course("c", []))
    lines = drawn(some, 60, 10)
    assert "a 1 (gaps)" in lines[1]
    assert "b -inf (gaps only)" in "".join(lines[:3])
    assert "c -" in "".join(lines[:4])
    row = next(line for line in lines if "●" in line and "┤" in line)
    assert "   " in row.partition("┤")[2].strip()
    nothing = drawn(chart(course("a", [NAN])), 30, 9)
    assert nothing[-1] == "  no points yet"


def test_scales_have_their_own_sides() -> None:
    one, two = training()
    lines = drawn(chart_of(one, Excerpt(), lambda metric: ""), 80, 20)
    assert "accuracy 95.58 % (right)" in lines[1]
    assert lines[2].endswith("├ 100 %")
    assert lines[2].lstrip().startswith("2.5")
    assert " 0s" not in "".join(lines)
    assert "20.0s" in drawn(chart_of(two, Excerpt(), lambda metric: ""), 80, 20)[-1]  # its x-axis counts seconds


def test_executions_are_told_apart_and_those_left_out_are_counted() -> None:
    same = chart(course("loss", [1], step=2), course("loss", [2], step=3), more=12)
    assert [series.key for series in same.series] == ["step2", "step3"]
    assert "and 12 more" in drawn(same)[0]
    attempts = chart(course("loss", [1], step=2, attempt=2), course("loss", [2], step=2), course("loss", [2], step=3))
    assert [series.key for series in attempts.series] == ["try 2 step2", "try 1 step2", "step3"]
    keys = chart(course("loss", [1], step=2), course("error", [2], step=3))
    assert [series.key for series in keys.series] == ["loss step2", "error step3"]
    twins = chart_of(read(course("a", [1], step=2), course("a", [1], step=3)), Excerpt(), lambda metric: "same")
    assert [series.key for series in twins.series] == ["R1:2 same", "R1:3 same"]
    eight = [course("a long key of a metric", [float(one)], step=one + 1) for one in range(8)]
    lines = drawn(chart(*eight), 50, 14)
    assert all(mark in "".join(lines[1:5]) for mark in "●○■□▲△◆◇")


def test_the_cursor_goes_from_point_to_point_and_shows_values() -> None:
    some = chart(course("a", [10, 20, NAN, 40], [0, 5, 7, 10]))
    first = some.moved(-0.1)
    assert first.cursor == 10
    assert some.moved(0.1).cursor == 0
    before = some._replace(excerpt=first).moved(-0.01)
    assert before.cursor == 5
    at_five = some._replace(excerpt=before)
    assert drawn(at_five)[0] == " loss   at 5"
    assert "a 20" in drawn(at_five)[1]
    assert any("│" in line[4:] for line in drawn(at_five))
    assert some._replace(excerpt=Excerpt(None, 10)).moved(0.5).cursor == 10  # there is nothing further
    assert chart(course("a", [])).moved(-1) == Excerpt()


def test_zooming_keeps_the_cursor_in_its_place_and_ends_at_all_and_at_what_floats_can_tell() -> None:
    some = chart(course("a", [float(one) for one in range(101)]), excerpt=Excerpt(None, 50.0))
    near = some.zoomed(0.5)
    assert near == Excerpt(Range(25, 75), 50.0)
    assert "zoomed" in drawn(some._replace(excerpt=near))[0]
    assert some._replace(excerpt=near).zoomed(2).shown is None
    nearest = some
    for _ in range(60):
        nearest = nearest._replace(excerpt=nearest.zoomed(0.5))
    assert nearest.shown is not None
    assert nearest.shown.upper > nearest.shown.lower
    assert drawn(nearest)
    moved = some._replace(excerpt=Excerpt(Range(25, 75), 74.5)).moved(0.05)
    assert moved.cursor is not None
    assert moved.shown is not None
    assert moved.shown.upper == moved.cursor
    without = some._replace(excerpt=Excerpt()).zoomed(0.5)
    assert without.shown == Range(50, 100)  # the end is what one looks at


def test_any_numbers_make_a_chart_that_fits() -> None:
    wild = [0.0, 1.0, -1.0, 1e308, -1e308, 5e-324, NAN, math.inf, -math.inf, 1e15, 1e15 + 1]
    for seed in range(150):
        chance = random.Random(seed)
        courses = []
        for number in range(chance.randrange(1, 4)):
            count = chance.randrange(0, 12)
            values = [chance.choice(wild) for _ in range(count)]
            at = [chance.choice(wild[:6]) for _ in range(count)]
            scale = chance.choice([None, MetricScale("s\x1b", units="µ\n", lower=0, upper=1), MetricScale(units="m")])
            courses.append(course(f"k{number}\x1b[2J", values, at, scale=scale, number=number))
        excerpt = Excerpt(chance.choice([None, Range(0.25, 0.5)]), chance.choice([None, 0.3]))
        for glyphs in (UNICODE, ASCII):
            width, height = chance.randrange(1, 70), chance.randrange(1, 30)
            some = chart(*courses, excerpt=excerpt)
            for line in drawn(some, width, height, glyphs):
                assert "\x1b" not in line
                assert "\n" not in line
            some.moved(0.1)
            some.zoomed(0.5)


def test_drawing_many_points_is_quick() -> None:
    many = [course(f"k{one}", [math.sin(place / 30 + one) for place in range(1000)], number=one) for one in range(8)]
    some = chart(*many)
    began = time.perf_counter()
    for _ in range(5):
        paint_chart(some, 100, 25, UNICODE)
    assert (time.perf_counter() - began) / 5 < 0.2


def test_progress_is_a_bar_with_rate_and_time_left() -> None:
    told = [("epochs", BARS[0][1]), ("seen\x1b", BARS[1][1])]
    lines = texts(paint_bars(told, 3, 80, UNICODE))
    assert lines[0].startswith(" epochs ")
    assert "█" in lines[0]
    assert lines[0].endswith("65% (26/40), 3.1/s, 4.5s left")
    assert lines[1] == " seen^[  41300 done, 1,600/s"
    assert lines[2] == " and 3 more"
    assert texts(paint_bars(told, 0, 20, ASCII))[0].isascii()


# -- sparks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ""),
        ([NAN, math.inf], ""),
        ([5.0], "▁"),
        ([1.0, 2.0, 3.0], "▁▅▇"),
        ([0.0] * 8, "▁▁▁▁▁▁▁▁"),
        ([float(one) for one in range(100)], "▁▁▂▃▃▅▆▇"),
        ([1.0, NAN, 2.0, 1.0], "▁ ▇▁"),
        ([-1.7e308, 1.7e308], "▁▇"),
    ],
)
def test_a_spark_is_a_course_in_eight_cells(values: list[float], expected: str) -> None:
    found = sparkline(values, 8, UNICODE)
    assert len(found) == len(expected)
    if len(values) < 10:
        assert found == expected
    else:
        assert (found[0], found[-1]) == (expected[0], expected[-1])
        assert list(found) == sorted(found, key="▁▂▃▅▆▇".index)
    assert sparkline(values, 8, ASCII).isascii()


def test_a_row_of_the_tree_has_the_spark_of_its_newest_attempt() -> None:
    tree = RunTree()
    tree.set_sparks({("R1", 1, 2): Spark(2, [3.0, 2.0, 1.0], 1.0, "m\x1b")})  # told before the step is
    tree.add_step(step(1))
    tree.update(execution(1, "failed"))
    tree.layout()
    assert "▇" not in row_text(tree)
    tree.update(execution(1, "running", attempt=2))
    assert "▇▅▁ 1 m^[" in row_text(tree)
    tree.take_changed()
    tree.set_sparks({("R1", 1, 2): Spark(2, [3.0, 2.0, 2.0], 2.0, "")})
    assert tree.take_changed() == {tree.find("R1", 1)}


def row_text(tree: RunTree) -> str:
    return "".join(text for text, _ in paint_tree_row(tree, tree.rows[0], 70, NOW, UNICODE))


# -- whose they are ---------------------------------------------------------------------------------------------------


def test_the_root_stands_for_all_a_step_for_those_below() -> None:
    tree = RunTree()
    for number, parent in ((1, None), (2, "R1:1:1"), (3, "R1:2:1"), (4, "R1:1:1")):
        tree.add_step(step(number, parent))
    root, two = tree.find("R1", 1), tree.find("R1", 2)
    assert steps_of(Scope.BELOW, root) is None
    assert steps_of(Scope.STEP, root) == frozenset({("R1", 1)})
    assert steps_of(Scope.BELOW, two) == frozenset({("R1", 2), ("R1", 3)})
    assert steps_of(Scope.RUN, two) is None
    assert steps_of(Scope.BELOW, None) is None
    assert Scope.BELOW.next.next.next is Scope.BELOW


def test_what_was_asked_for_before_is_not_taken_in() -> None:
    state = MetricsState()
    first, second = state.open(), state.open()
    state.take(MetricsRead(first, training(), 0, BARS, 0))
    assert not state.read
    state.take(MetricsRead(second, training(), 1, BARS, 0))
    assert state.read
    assert len(state.charts) == 2


# -- what is read -----------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store.open(str(tmp_path))
    yield store
    store.close()


@pytest.fixture
def history(store: Store, tmp_path: Path) -> Iterator[History]:
    history = History.open(str(tmp_path))
    yield history
    history.close()


def settled(reader: Reader, history: History, news: News = NOTHING) -> list[Update]:
    """All that a reader tells, as the thread lets it: as long as it is busy or due."""
    told = list(reader.read(history, news))
    for _ in range(1000):
        if not reader.busy and reader.due is None:
            break
        if reader.due is not None:
            time.sleep(max(reader.due - time.monotonic(), 0))
        told += reader.read(history, NOTHING)
    return told


def news(*keys: tuple[str, int, int]) -> News:
    return News(metrics=frozenset(keys))


def one_run(store: Store) -> None:
    group = MetricGroup("training", units="epochs")
    progress = MetricScale(progress=True, upper=10)
    store.commit(
        batch(
            run_row(),
            step_row(),
            step_row(number=2, parent="Rtest:1:1"),
            execution_row(started_at=1.0),
            execution_row(step=2, started_at=1.0),
            execution_row(step=2, attempt=2, started_at=1.0, status="running"),
            metric_row(key="alone"),
            points_row([1.0, 2.0]),
            metric_row(step=2, group=group, key="train"),
            points_row([5.0], step=2),
            metric_row(step=2, attempt=2, group=group, key="train"),
            metric_row(step=2, attempt=2, number=1, key="done", scale=progress),
            points_row([4.0, 3.0], step=2, attempt=2),
            points_row([7.0], step=2, attempt=2, metric=1),
        )
    )


def test_charts_are_read_then_what_is_new_of_them_and_no_more_than_five_times_a_second(
    store: Store, history: History
) -> None:
    one_run(store)
    reader = MetricsReader()
    list(reader.answer(history, MetricsAsked(1, "Rtest")))
    (told,) = settled(reader, history, EVERYTHING)
    assert isinstance(told, MetricsRead)
    lone, group = told.charts
    assert lone.name == ChartName(False, "alone")
    assert [(course.metric.attempt, list(course.values)) for course in group.courses] == [(2, [4.0, 3.0]), (1, [5.0])]
    assert [(metric.key, progress.fraction) for metric, progress in told.bars] == [("done", 0.7)]
    assert not settled(reader, history, news(("Rother", 1, 1)))
    began = time.monotonic()
    for number in range(2, 7):
        store.commit(batch(points_row([float(number)], step=2, attempt=2, first=number)))
        list(reader.read(history, news(("Rtest", 2, 2))))
    some = settled(reader, history)
    assert len(some) <= 1 + (time.monotonic() - began) / 0.2
    newest = some[-1]
    assert isinstance(newest, MetricsRead)
    assert list(newest.charts[1].courses[0].values)[-1] == 6.0
    store.commit(
        batch(metric_row(step=2, attempt=2, number=2, key="late"), points_row([1.0], step=2, attempt=2, metric=2))
    )
    (after,) = settled(reader, history, news(("Rtest", 2, 2)))
    assert isinstance(after, MetricsRead)
    assert [chart.name.name for chart in after.charts] == ["alone", "training", "late"]


def test_a_step_has_its_own_and_limits_are_told(store: Store, history: History) -> None:
    one_run(store)
    more = range(3, 15)
    store.commit(
        batch(
            *(step_row(number=number) for number in more),
            *(execution_row(step=number) for number in more),
            *(metric_row(step=number) for number in more),
            *(points_row([1.0], step=number) for number in more),
            *(metric_row(step=20, number=number, key=f"k{number}") for number in range(30)),
        )
    )
    reader = MetricsReader()
    list(reader.answer(history, MetricsAsked(1, "Rtest", frozenset({("Rtest", 2)}))))
    (told,) = settled(reader, history, NOTHING)
    assert isinstance(told, MetricsRead)
    assert [chart.name.name for chart in told.charts] == ["training"]
    list(reader.answer(history, MetricsAsked(2, "Rtest")))
    (told,) = settled(reader, history, NOTHING)
    assert isinstance(told, MetricsRead)
    assert told.number == 2
    assert (len(told.charts), told.more_charts) == (24, 9)
    assert next((len(chart.courses), chart.more) for chart in told.charts if chart.name.name == "loss") == (8, 4)
    for request in (MetricsAsked(3, ""), RunOpened("")):
        list(reader.answer(history, MetricsAsked(3, "Rtest")))
        list(reader.answer(history, request))
        assert not settled(reader, history, EVERYTHING)


def test_a_million_points_are_read_in_portions_once(store: Store, history: History) -> None:
    size = 50_000
    values = array("d", (math.sin(number / 1e4) for number in range(size)))
    rows = [points_row(values, first=start) for start in range(0, 1_000_000, size)]
    store.commit(batch(run_row(), step_row(), execution_row(), metric_row(), *rows))
    reader = MetricsReader()
    list(reader.answer(history, MetricsAsked(1, "Rtest")))
    began, turns, told = time.perf_counter(), 0, list[Update]()
    while reader.busy:
        told += reader.read(history, NOTHING)
        turns += 1
    assert turns > 2
    assert time.perf_counter() - began < 3.0
    (first,) = told
    assert isinstance(first, MetricsRead)
    assert len(first.charts[0].courses[0].values) < 1600
    store.commit(batch(points_row([9.0], first=1_000_000)))
    (again,) = settled(reader, history, news(("Rtest", 1, 1)))
    assert isinstance(again, MetricsRead)
    assert again.charts[0].courses[0].values[-1] == 9.0


def test_sparks_are_those_of_the_first_metrics_that_are_no_progress(store: Store, history: History) -> None:
    one_run(store)
    store.commit(batch(step_row(number=3), execution_row(step=3), metric_row(step=3, scale=MetricScale(progress=True))))
    reader = SparksReader()
    list(reader.answer(history, RunOpened("Rtest")))
    (told,) = settled(reader, history, EVERYTHING)
    assert isinstance(told, SparksRead)
    assert {key: (list(spark.values), spark.last) for key, spark in told.sparks.items()} == {
        ("Rtest", 1, 1): ([1.0, 2.0], 2.0),
        ("Rtest", 2, 1): ([5.0], 5.0),
        ("Rtest", 2, 2): ([4.0, 3.0], 3.0),
    }
    store.commit(batch(points_row([3.0], first=2)))
    assert not list(reader.read(history, news(("Rtest", 1, 1))))  # at most once a second
    assert reader.due is not None
    (again,) = settled(reader, history)
    assert isinstance(again, SparksRead)
    assert [spark.last for spark in again.sparks.values()] == [3.0]
    list(reader.answer(history, RunOpened("")))
    assert not settled(reader, history, EVERYTHING)
