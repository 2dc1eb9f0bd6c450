"""When to try again: the rules as a table, and what holds for every policy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coflux.executor.core.retry import CRASH_BACKOFF, next_delay
from coflux.task_options import RetryOptions

durations = st.floats(0.0, 1e6)
jitters = st.floats(0.0, 1.0, exclude_max=True)


@st.composite
def limited(draw: st.DrawFn) -> RetryOptions:
    shortest, longest = sorted((draw(durations), draw(durations)))
    return RetryOptions(draw(st.integers(1, 1_000)), shortest, longest)


@pytest.mark.parametrize(
    ("retries", "failures", "delay"),
    [
        (None, 0, None),
        (RetryOptions(1, 2.0, 10.0), 0, 2.0),  # a single retry has no slope: the shortest wait
        (RetryOptions(1, 2.0, 10.0), 1, None),
        (RetryOptions(2, 2.0, 10.0), 0, 2.0),
        (RetryOptions(2, 2.0, 10.0), 1, 10.0),
        (RetryOptions(2, 2.0, 10.0), 2, None),
        (RetryOptions(5, 1.0, 3.0), 0, 1.0),
        (RetryOptions(5, 1.0, 3.0), 1, 1.5),
        (RetryOptions(5, 1.0, 3.0), 4, 3.0),
        (RetryOptions(3, 0.0, 0.0), 2, 0.0),
        (RetryOptions(0, 1.0, 1.0), 0, None),
        (RetryOptions(None, 1.0, 61.0), 0, 16.0),  # unlimited: uniform between the bounds, whatever came before
        (RetryOptions(None, 1.0, 61.0), 10_000, 16.0),
    ],
)
def test_delays(retries: RetryOptions | None, failures: int, delay: float | None) -> None:
    assert next_delay(retries, failures, 0.25, crashed=False) == delay


@pytest.mark.parametrize(
    ("retries", "delay"),
    [
        (None, None),
        (RetryOptions(1, 0.0, 0.0), CRASH_BACKOFF),
        (RetryOptions(1, 5.0, 5.0), 5.0),
        (RetryOptions(None, 0.0, 0.5), CRASH_BACKOFF),
        (RetryOptions(0, 0.0, 0.0), None),
    ],
)
def test_a_crash_waits_a_second_at_least(retries: RetryOptions | None, delay: float | None) -> None:
    assert next_delay(retries, 0, 0.5, crashed=True) == delay


@given(limited(), jitters)
def test_limited_retries_are_as_many_as_said_and_back_off_evenly(retries: RetryOptions, jitter: float) -> None:
    assert retries.limit is not None
    delays = [next_delay(retries, failures, jitter, crashed=False) for failures in range(retries.limit)]
    waits = [delay for delay in delays if delay is not None]
    assert len(waits) == retries.limit
    assert waits == sorted(waits)
    assert waits[0] == retries.backoff_min
    if retries.limit > 1:
        assert waits[-1] == pytest.approx(retries.backoff_max)
    assert next_delay(retries, retries.limit, jitter, crashed=False) is None


@given(durations, durations, st.integers(0, 10**9), jitters)
def test_unlimited_retries_stay_between_their_bounds(one: float, other: float, failures: int, jitter: float) -> None:
    shortest, longest = sorted((one, other))
    delay = next_delay(RetryOptions(None, shortest, longest), failures, jitter, crashed=False)
    assert delay is not None
    assert shortest <= delay <= longest or delay == pytest.approx(longest)


@given(limited(), st.integers(0, 1_000), jitters)
def test_a_crash_changes_nothing_but_the_least_wait(retries: RetryOptions, failures: int, jitter: float) -> None:
    calm = next_delay(retries, failures, jitter, crashed=False)
    crashed = next_delay(retries, failures, jitter, crashed=True)
    assert crashed == (None if calm is None else max(calm, CRASH_BACKOFF))
