"""Which points are let through, and when they are sent: by a clock that the tests set."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

import coflux as cf
from coflux.executor.messages import HoldPoint, RecordPoints
from coflux.executor.metric_points import BATCH, INTERVAL, Definitions, Series

STARTED = 100.0


def points(messages: Sequence[RecordPoints | HoldPoint]) -> list[tuple[float, float]]:
    """Those that are recorded: what is held back is told of as well, but stays in its place."""
    found: list[tuple[float, float]] = []
    for message in messages:
        if isinstance(message, HoldPoint):
            assert message.first == len(found)
            continue
        assert message.first == len(found)
        at, values = array("d", message.at), array("d", message.values)
        found += zip(at, values, strict=True)
    return found


def series(throttle: float | None = None) -> Series:
    return Series(0, cf.Metric("m", throttle=throttle), STARTED)


class Clock:
    """Plays the recorder: sends what is due, in time."""

    def __init__(self, series: Series) -> None:
        self.series = series
        self.sent: list[tuple[float, RecordPoints | HoldPoint]] = []

    def record(self, now: float, value: float) -> None:
        self.pass_time(now)
        if self.series.add(value, None, now) <= now:
            self.send(now)

    def pass_time(self, now: float) -> None:
        while self.series.due <= now:
            self.send(max(self.series.due, STARTED))

    def send(self, now: float) -> None:
        messages = self.series.take(now)
        assert messages, "something was due"
        self.sent += [(now, message) for message in messages]

    def last(self) -> float:
        """The value of the last point that the supervisor knows of."""
        message = self.sent[-1][1]
        return message.value if isinstance(message, HoldPoint) else array("d", message.values)[-1]

    def end(self) -> list[tuple[float, float]]:
        return points([*(message for _, message in self.sent), *self.series.end()])


@pytest.mark.parametrize(
    ("throttle", "recorded", "kept"),
    [
        (None, [0, 0, 0.001, 5], [0, 0, 0.001, 5]),
        (10, [0], [0]),
        (10, [0, 0.05, 0.0625, 0.09], [0, 0.09]),  # the first and the latest of the window
        (10, [0, 0.05, 0.15, 0.16], [0, 0.05, 0.16]),  # what was held opens the next window as it is let through
        (10, [0, 0.5, 1.0], [0, 0.5, 1.0]),  # nothing is held back after a quiet time
        (10, [0, 0.05, 0.5], [0, 0.05, 0.5]),
        (0.01, [0, 1, 2, 99], [0, 99]),
    ],
)
def test_throttle(throttle: float | None, recorded: list[float], kept: list[float]) -> None:
    """METRIC-5, METRIC-6."""
    clock = Clock(series(throttle))
    for number, at in enumerate(recorded):
        clock.record(STARTED + at, number)
    assert [round(at, 6) for at, _ in clock.end()] == kept


@given(
    st.sampled_from([None, 0.5, 10, 200]),
    st.lists(st.floats(0.0, 0.4), min_size=1, max_size=60),
)
def test_the_first_and_the_last_value_are_always_sent(throttle: float | None, gaps: list[float]) -> None:
    clock = Clock(series(throttle))
    now = STARTED
    for number, gap in enumerate(gaps):
        now += gap
        clock.record(now, number)
    sent = clock.end()
    assert sent == sorted(sent)
    assert sent[0][1] == 0
    assert sent[-1][1] == len(gaps) - 1
    if throttle is None:
        assert len(sent) == len(gaps)
    else:
        assert len(sent) <= sum(gaps) * throttle + 2


def test_a_held_point_is_due_when_its_window_closes() -> None:
    """And is told of before: the supervisor keeps it in case that this process is killed."""
    held = series(10)
    assert held.add(1, None, STARTED) <= STARTED
    assert points(held.take(STARTED)) == [(0.0, 1.0)]
    assert held.due == math.inf
    assert held.add(2, None, STARTED + 0.05) <= STARTED + 0.05
    assert held.take(STARTED + 0.05) == [HoldPoint(0, 1, STARTED + 0.05 - STARTED, 2.0)]
    assert held.due == pytest.approx(STARTED + 0.1)
    assert held.take(STARTED + 0.06) == []
    assert held.add(3, None, STARTED + 0.06) == pytest.approx(STARTED + 0.05 + INTERVAL)
    (message,) = held.take(STARTED + 0.1)
    assert isinstance(message, RecordPoints)
    assert (message.first, list(array("d", message.values))) == (1, [3.0])
    assert held.due == math.inf


@given(
    st.sampled_from([None, 0.1, 10, 25, 200]),
    st.lists(st.floats(0.0, 0.12), min_size=1, max_size=60),
)
def test_the_supervisor_knows_the_last_value_soon(throttle: float | None, gaps: list[float]) -> None:
    """Whatever becomes of the process: a point that was recorded is known an interval later, or a later one is."""
    clock = Clock(series(throttle))
    now, recorded = STARTED, []
    for number, gap in enumerate(gaps):
        now += gap
        clock.record(now, number)
        recorded.append(now)
        known = clock.last()
        assert all(number <= known for number, at in enumerate(recorded) if at < now - INTERVAL)
    clock.pass_time(now + INTERVAL + 1e-6)
    assert clock.last() == len(gaps) - 1


def test_points_in_a_tight_loop_share_messages() -> None:
    """The first one goes out at once, the others when a message is full or old enough."""
    clock = Clock(series())
    for number in range(2 * BATCH + 2):
        clock.record(STARTED, number)
    batches = [message for _, message in clock.sent if isinstance(message, RecordPoints)]
    assert [len(message.values) // 8 for message in batches] == [1, BATCH, BATCH]
    assert clock.series.due == pytest.approx(STARTED + INTERVAL)
    assert len(clock.end()) == 2 * BATCH + 2


def recorded(*calls: float | None) -> tuple[list[float], int]:
    """The x-values that come of these `at`, a second after each other, and how many points were dropped."""
    one = series()
    dropped = 0
    for number, at in enumerate(calls, start=1):
        one.add(number, at, STARTED + number)
        dropped += one.dropped is not None
        one.dropped = None
    return [at for at, _ in points(one.end())], dropped


@pytest.mark.parametrize(
    ("calls", "expected", "dropped"),
    [
        ((None, None), [1, 2], 0),
        ((0, 1, 2, 3, 4), [0, 1, 2, 3, 4], 0),  # METRIC-S02
        ((5, 5, 4, 6), [5, 6], 2),
        ((-3.5, math.nan, math.inf, -1), [-3.5, -1], 2),
        ((None, 70, 80), [1, 2, 3], 0),  # automatic it stays
        ((70, None, 80), [70, 2, 3], 0),  # automatic it becomes
    ],
)
def test_at(calls: Sequence[float | None], expected: list[float], dropped: int) -> None:
    """METRIC-3, METRIC-4."""
    assert recorded(*calls) == (expected, dropped)


def test_at_is_looked_at_before_the_throttle() -> None:
    """METRIC-7: a point that the throttle drops counts for the next one's `at`."""
    one = series(10)
    for at in (1, 5, 3, 6):
        one.add(at, at, STARTED)
    assert one.dropped == 3
    assert points(one.end()) == [(1.0, 1.0), (6.0, 6.0)]


def test_gaps_are_points() -> None:
    one = series()
    for value in (1.0, math.nan, math.inf, -math.inf):
        one.add(value, None, STARTED)
    assert [repr(value) for _, value in points(one.end())] == ["1.0", "nan", "inf", "-inf"]


# -- definitions ------------------------------------------------------------------------------------------------------

GROUP = cf.MetricGroup("g", units="steps")
SCALE = cf.MetricScale("s", units="MB")
NAMED = cf.Metric("k", group="g", scale="s")


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (cf.Metric("k"), cf.Metric("k", throttle=None), ""),
        (NAMED, cf.Metric("k", group=cf.MetricGroup("g"), scale=cf.MetricScale("s")), ""),
        (NAMED, cf.Metric("l", group=cf.MetricGroup("g"), scale=cf.MetricScale("s")), ""),
        (cf.Metric("k", scale=cf.MetricScale(units="a")), cf.Metric("l", scale=cf.MetricScale(units="b")), ""),
        (cf.Metric("k", scale=cf.MetricScale(upper=1)), cf.Metric("k", scale=cf.MetricScale(upper=1.0)), ""),
        (cf.Metric("k"), cf.Metric("k", group="g"), "the group of metric 'k' is MetricGroup"),
        (cf.Metric("k", group="g"), cf.Metric("k"), "the group of metric 'k' is None"),
        (cf.Metric("k", scale=SCALE), cf.Metric("k", scale=cf.MetricScale("s")), "the scale of metric 'k' is"),
        (cf.Metric("k", group=GROUP), cf.Metric("l", group="g"), "metric group 'g' of metric 'l' is"),
        (cf.Metric("k", scale=SCALE), cf.Metric("l", scale="s"), "metric scale 's' of metric 'l' is"),
        (cf.Metric("k", group="g", scale=SCALE), cf.Metric("l", group="h", scale="s"), "scale 's' of metric 'l' is"),
    ],
)  # fmt: skip
def test_conflicts(first: cf.Metric, second: cf.Metric, message: str) -> None:
    """METRIC-2, METRIC-10, METRIC-S07, METRIC-S08."""
    definitions = Definitions()
    known = definitions.define(first, STARTED)

    def use() -> None:
        if second.key == first.key:
            definitions.redefine(known, second)
            assert known.metric is second
        else:
            assert definitions.define(second, STARTED).number == 1

    if message:
        with pytest.raises(ValueError, match=message):
            use()
    else:
        use()


def test_what_was_refused_leaves_nothing_behind() -> None:
    definitions = Definitions()
    definitions.define(cf.Metric("k", scale=SCALE), STARTED)
    with pytest.raises(ValueError, match="metric scale 's'"):
        definitions.define(cf.Metric("l", group=GROUP, scale="s"), STARTED)
    withdrawn = definitions.define(cf.Metric("l", group=GROUP), STARTED)
    definitions.withdraw(withdrawn)
    assert definitions.define(cf.Metric("l", group="g"), STARTED).number == 1
    with pytest.raises(ValueError, match="metric scale 's'"):
        definitions.define(cf.Metric("m", scale="s"), STARTED)


@pytest.mark.parametrize("throttle", [1e-320, 1e300])
def test_extreme_throttles(throttle: float) -> None:
    one = series(throttle)
    for value in range(3):
        one.add(value, None, STARTED)
    assert [value for _, value in points(one.end())][-1] == 2
