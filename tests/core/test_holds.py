"""Waiting for arguments before the start (behaviour §4)."""

from __future__ import annotations

from typing import Any

import pytest

from coflux.executor.core.state import Execution, State
from tests.core.bench import Bench


def held(bench: Bench, **options: Any) -> tuple[Execution, Execution, Execution]:
    root = bench.run()
    slow = bench.submit(root, "slow", **options)
    return root, slow, bench.submit(root, "held", wait=True, given=[slow])


def test_it_starts_when_its_handles_have_ended_and_holds_no_slot_before() -> None:
    bench = Bench(concurrency=3)
    _, slow, waiting = held(bench)
    assert (waiting.state, waiting.reason) == (State.QUEUED, f"waiting for arguments: {slow.id}")
    assert bench.scheduler.slots.active == 2
    bench.succeed(slow)
    assert waiting.state is State.RUNNING


@pytest.mark.parametrize("how", ["failed", "cancelled", "abandoned", "timed_out"])
def test_failures_count_as_ended(how: str) -> None:
    bench = Bench(concurrency=3)
    _, slow, waiting = held(bench, timeout=5.0)
    match how:
        case "failed":
            bench.fail(slow)
        case "cancelled":
            bench.cancel(slow)
        case "abandoned":
            bench.exit(bench.worker_of(slow))
        case _:
            bench.pass_time(5.0)
    assert (slow.state.value, waiting.state) == (how, State.RUNNING)


def test_it_waits_for_the_end_of_the_chain() -> None:
    bench = Bench(concurrency=3)
    _, slow, waiting = held(bench, retries=1)
    bench.fail(slow)
    assert waiting.state is State.QUEUED
    resumption = bench.suspended(slow.end())
    assert waiting.state is State.QUEUED
    bench.succeed(resumption)
    assert bench.started()[-1] == waiting.id


def test_all_of_them_must_end() -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    one, two = bench.submit(root), bench.submit(root)
    waiting = bench.submit(root, wait=True, given=[one, two, one])
    bench.succeed(two)
    assert waiting.state is State.QUEUED
    bench.succeed(one)
    assert bench.started()[-1] == waiting.id


def test_only_the_named_parameters_count() -> None:
    bench = Bench(concurrency=3)
    root = bench.run()
    slow = bench.submit(root)
    assert bench.submit(root, wait=("y",), given=[slow], content=("", "")).state is State.RUNNING


def test_handles_inside_results_are_waited_for_at_any_depth() -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    slow, middle, outer = (bench.submit(root, name) for name in ("slow", "middle", "outer"))
    waiting = bench.submit(root, "held", wait=True, given=[outer])
    bench.succeed(middle, "1", slow)
    bench.succeed(outer, "1", middle)
    assert waiting.state is State.QUEUED
    bench.succeed(slow)
    assert bench.started()[-1] == waiting.id


def test_handles_inside_results_that_are_there_already() -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    slow, outer = bench.submit(root, "slow"), bench.submit(root, "outer")
    bench.succeed(outer, "1", slow)
    waiting = bench.submit(root, "held", wait=True, given=[outer])
    assert waiting.state is State.QUEUED
    bench.succeed(slow)
    assert bench.started()[-1] == waiting.id


def test_handles_of_a_run_that_has_settled() -> None:
    bench = Bench(concurrency=4)
    settled = bench.run()
    bench.succeed(settled)
    root = bench.run()
    assert bench.submit(root, wait=True, given=[settled]).state is State.RUNNING


def test_handles_of_what_was_deleted_are_passed_over() -> None:
    bench = Bench(concurrency=4)
    assert bench.submit(bench.run(), wait=True, given=["Rgone:1:1"]).state is State.RUNNING


def test_a_deferred_handle_ends_with_what_it_was_deferred_to() -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    first = bench.submit(root, "f", defer=True, delay=10.0)
    waiting = bench.submit(root, "held", wait=True, given=[first])
    second = bench.submit(root, "f", defer=True)
    bench.succeed(second)
    assert waiting.state is State.RUNNING


def test_a_cached_handle_has_the_handles_of_its_source() -> None:
    bench = Bench(concurrency=5)
    root = bench.run()
    slow, source = bench.submit(root, "slow"), bench.submit(root, "f", cache=True)
    bench.succeed(source, "1", slow)
    hit = bench.submit(root, "f", cache=True)
    waiting = bench.submit(root, "held", wait=True, given=[hit])
    assert (hit.state, waiting.state) == (State.CACHED, State.QUEUED)
    bench.succeed(slow)
    assert waiting.state is State.RUNNING


@pytest.mark.parametrize(("ends_at", "starts_at"), [(1.0, 5.0), (8.0, 8.0)])
def test_the_delay_and_the_arguments_must_both_be_over(ends_at: float, starts_at: float) -> None:
    bench = Bench(concurrency=3)
    root = bench.run()
    slow = bench.submit(root)
    waiting = bench.submit(root, wait=True, given=[slow], delay=5.0)
    bench.pass_time(ends_at)
    bench.succeed(slow)
    if starts_at > ends_at:
        assert waiting.state is State.QUEUED
        bench.pass_time(starts_at - ends_at)
    assert waiting.state is State.RUNNING


def test_the_next_attempt_waits_for_them_too() -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    first = bench.submit(root, "f", retries=1)
    waiting = bench.submit(root, "held", wait=True, given=[first], retries=1)
    bench.fail(first)
    bench.succeed(first.end())
    bench.fail(waiting)
    assert waiting.end().state is State.RUNNING


def test_a_cancelled_one_waits_no_more() -> None:
    bench = Bench(concurrency=4)
    _, slow, waiting = held(bench)
    bench.cancel(waiting)
    assert slow.waiters == []
    bench.succeed(slow)
    assert waiting.state is State.CANCELLED


def test_a_superseded_one_waits_again_when_it_is_revived() -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    slow = bench.submit(root, "slow")
    first = bench.submit(root, "f", wait=True, given=[slow], defer=())
    second = bench.submit(root, "f", delay=9.0, defer=())
    assert (first.hold, slow.waiters) == (None, [])
    bench.cancel(second)
    assert first.hold is not None
    bench.succeed(slow)
    assert first.state is State.RUNNING


def test_a_poll_lets_start_what_a_held_handle_waits_for() -> None:
    """With one slot, which the poller keeps."""
    bench = Bench(concurrency=1)
    _, slow, waiting = held(bench)
    bench.wait(bench.find("R1:1:1"), waiting, timeout=0.0)
    assert slow.state is State.RUNNING


def test_a_wait_for_arguments_that_closes_a_cycle_is_an_error() -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    one = bench.submit(root, "one")
    bench.pause()
    two = bench.submit(root, "two")
    bench.wait(one, two)
    three = bench.submit(root, "three", wait=True, given=[one], defer=())
    bench.unpause()
    bench.succeed(two)
    assert three.state is State.QUEUED
    bench.succeed(one)
    assert bench.started()[-1] == three.id


def test_handles_in_a_result_that_close_a_cycle_are_an_error() -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    first = bench.submit(root, "first")
    waiting = bench.submit(root, "held", wait=True, given=[first])
    bench.succeed(first, "1", waiting)
    assert waiting.state is State.FAILED
    assert "closes a cycle" in str(waiting.outcome)


def test_two_that_hold_each_other_through_results_are_an_error() -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    one, two = bench.submit(root, "one"), bench.submit(root, "two")
    first = bench.submit(root, "first", wait=True, given=[one])
    second = bench.submit(root, "second", wait=True, given=[two])
    bench.succeed(one, "1", second)
    bench.succeed(two, "1", first)
    assert sorted([first.state.value, second.state.value]) == ["failed", "running"]
