"""Deferral: of equal submissions that have not started, the newest survives (behaviour §6.2)."""

from __future__ import annotations

from typing import Any

import pytest

from coflux.executor.core import events as ev
from coflux.executor.core.state import Execution, State
from tests.core.bench import Bench
from tests.core.factories import failed


def three(bench: Bench, **options: Any) -> tuple[Execution, list[Execution]]:
    """Three equal submissions, a second apart, each of them delayed by 10 s."""
    root = bench.run()
    children = []
    for _ in range(3):
        children.append(bench.submit(root, defer=True, delay=10.0, **options))
        bench.pass_time(1.0)
    return root, children


def test_the_newest_survives_with_its_own_delay() -> None:
    bench = Bench(concurrency=9)
    _, (first, second, third) = three(bench)
    assert (first.superseded_by, second.superseded_by, third.superseded_by) == (second, third, None)
    bench.pass_time(8.9)
    assert {first.state, second.state, third.state} == {State.QUEUED}
    bench.pass_time(0.1)
    assert (first.state, second.state, third.state) == (State.DEFERRED, State.DEFERRED, State.RUNNING)
    assert first.end() is second.end() is third


def test_the_delay_of_a_superseded_one_does_not_start_it() -> None:
    bench = Bench(concurrency=9)
    root = bench.run()
    first = bench.submit(root, defer=True, delay=1.0)
    second = bench.submit(root, defer=True, delay=10.0)
    bench.pass_time(5.0)
    assert (first.state, first.superseded_by) == (State.QUEUED, second)


def test_its_waiters_wait_for_the_survivor() -> None:
    bench = Bench(concurrency=9)
    root = bench.run()
    first = bench.submit(root, defer=True, delay=10.0)
    request = bench.wait(root, first)
    other = bench.run("other")
    second = bench.submit(other, defer=True, content="")
    assert second.state is State.RUNNING
    bench.succeed(second)
    assert bench.answer(request).ended is second


def test_deferral_is_recorded_in_the_turn_in_which_the_survivor_starts() -> None:
    bench = Bench(concurrency=1)
    root = bench.run()
    first, second = bench.submit(root, defer=True), bench.submit(root, defer=True)
    bench.workers_start = False
    bench.wait(root, second)
    assert (first.state, second.reason) == (State.DEFERRED, "starting a worker")
    assert first in bench.effects[-1].executions


def test_a_running_one_is_left_alone() -> None:
    bench = Bench(concurrency=9)
    root = bench.run()
    first = bench.submit(root, defer=True)
    second = bench.submit(root, defer=True, delay=1.0)
    assert (first.state, second.superseded_by) == (State.RUNNING, None)


def test_named_parameters_alone_decide_and_the_survivor_has_its_own_arguments() -> None:
    bench = Bench()
    root = bench.run()
    first = bench.submit(root, defer=("x",), content=("a", "1"))
    second = bench.submit(root, defer=("x",), content=("a", "2"))
    assert first.superseded_by is second
    assert [value.data for value in second.step.arguments] == [b"a", b"2"]


@pytest.mark.parametrize("other", ["arguments", "target", "workspace"])
def test_others_are_not_superseded(other: str) -> None:
    bench = Bench(concurrency=9)
    first = bench.run("f", defer=True, delay=1.0)
    match other:
        case "arguments":
            bench.run("f", defer=True, delay=1.0, content="b")
        case "target":
            bench.run("g", defer=True, delay=1.0)
        case _:
            bench.run("f", defer=True, delay=1.0, workspace="dev")
    assert first.superseded_by is None


@pytest.mark.parametrize("kind", ["retry", "resumption", "rerun"])
def test_only_submissions_take_part(kind: str) -> None:
    bench = Bench(concurrency=9)
    root = bench.run()
    first = bench.submit(root, defer=True, retries=1)
    match kind:
        case "retry":
            bench.exit(bench.worker_of(first))
        case "resumption":
            bench.suspended(first, delay=5.0)
        case _:
            bench.pause()
            bench.rerun(first)
    second = bench.submit(root, defer=True, delay=20.0)
    later = first.step.executions[-1]
    assert (later.trigger, later.superseded_by, second.superseded_by) == (kind, None, None)


# -- cancelling -------------------------------------------------------------------------------------------------------


def test_cancelling_the_survivor_revives_the_newest_that_is_not_cancelled() -> None:
    bench = Bench(concurrency=9)
    _, (first, second, third) = three(bench)
    bench.cancel(second)
    assert (first.superseded_by, first.state) == (third, State.QUEUED)
    bench.cancel(third)
    assert (first.superseded_by, first.reason) == (None, "delayed")
    bench.pass_time(7.0)
    assert (first.state, second.state, third.state) == (State.RUNNING, State.CANCELLED, State.CANCELLED)


def test_one_whose_delay_is_over_starts_at_once_when_it_is_revived() -> None:
    bench = Bench(concurrency=9)
    root = bench.run()
    first = bench.submit(root, defer=True, delay=1.0)
    second = bench.submit(root, defer=True, delay=10.0)
    bench.pass_time(5.0)
    bench.cancel(second)
    assert first.state is State.RUNNING


def test_cancelling_a_superseded_one_leaves_the_survivor() -> None:
    bench = Bench(concurrency=9)
    root, (first, *_, third) = three(bench)
    request = bench.wait(root, first)
    bench.cancel(first)
    assert bench.answer(request).ended is first
    bench.pass_time(10.0)
    assert third.state is State.RUNNING


def test_what_is_cancelled_together_is_not_revived() -> None:
    bench = Bench(concurrency=9)
    root, children = three(bench)
    bench.cancel(root)
    assert {child.state for child in children} == {State.CANCELLED}
    bench.pass_time(20.0)
    assert bench.started() == [root.id]


def test_cancelling_what_was_deferred_leaves_what_it_was_deferred_to() -> None:
    bench = Bench(concurrency=9)
    root = bench.run()
    first = bench.submit(root, defer=True, delay=1.0)
    second = bench.submit(root, defer=True)
    assert first.state is State.DEFERRED
    bench.cancel(first)
    assert second.state is State.RUNNING


# -- what starting means ----------------------------------------------------------------------------------------------


def test_a_survivor_that_is_cached_has_started() -> None:
    bench = Bench(concurrency=9)
    source = bench.run("f", cache=True)
    bench.succeed(source)
    root = bench.run()
    first = bench.submit(root, "f", cache=True, defer=True, delay=1.0)
    second = bench.submit(root, "f", cache=True, defer=True)
    assert (second.state, first.state, first.end()) == (State.CACHED, State.DEFERRED, second)
    assert bench.answer(bench.wait(root, first)).ended is second


def test_a_survivor_that_became_a_run_of_its_own_has_started() -> None:
    bench = Bench(concurrency=9)
    root = bench.run()
    first = bench.submit(root, defer=True, delay=1.0, type="workflow")
    second = bench.submit(root, defer=True, type="workflow")
    assert (second.state, first.state, first.end()) == (State.SPAWNED, State.DEFERRED, second.end())


def test_one_that_is_linked_to_a_source_has_not_started() -> None:
    bench = Bench(concurrency=9)
    bench.run("f", cache=True)
    root = bench.run()
    linked = bench.submit(root, "f", cache=True, defer=True)
    newer = bench.submit(root, "f", defer=True, delay=1.0)
    assert (linked.source, linked.superseded_by) == (None, newer)


def test_a_survivor_that_fails_without_a_process_fails_those_who_wait_for_the_others() -> None:
    bench = Bench(concurrency=9)
    root, other = bench.run(), bench.run()
    first = bench.submit(root, defer=True, delay=10.0)
    request = bench.wait(root, first)
    second = bench.submit(other, defer=True, delay=10.0)
    bench.scheduler.families["R2"].home.host = None
    bench.handle(ev.HostRefused(("R2",), failed("no such module")))
    assert (first.state, second.state) == (State.DEFERRED, State.FAILED)
    assert bench.answer(request).ended is second


def test_the_worker_of_a_survivor_that_dies_starting_changes_nothing() -> None:
    bench = Bench(concurrency=9)
    root = bench.run()
    first = bench.submit(root, defer=True, delay=1.0)
    bench.workers_start = False
    second = bench.submit(root, defer=True)
    assert first.state is State.DEFERRED
    bench.exit(bench.worker_of(second))
    third = bench.submit(root, defer=True, delay=9.0)
    assert (second.state, second.superseded_by, third.superseded_by) == (State.QUEUED, None, None)


# -- across runs ------------------------------------------------------------------------------------------------------


def test_neither_run_settles_before_what_its_root_was_deferred_to() -> None:
    bench = Bench(concurrency=9)
    first = bench.run("f", defer=True, delay=10.0)
    second = bench.run("f", defer=True, retries=1)
    assert (first.state, first.end()) == (State.DEFERRED, second)
    assert (bench.finished(), bench.settled()) == ([], [])
    bench.fail(second)
    assert bench.settled() == []
    bench.succeed(second.end())
    assert sorted(bench.finished()) == ["R1 succeeded", "R2 succeeded"]
    assert sorted(bench.settled()) == ["R1 succeeded", "R2 succeeded"]


def test_a_chain_of_deferrals_settles_with_its_end() -> None:
    bench = Bench(concurrency=1)
    bench.run("blocker")
    roots = [bench.run("f", defer=True) for _ in range(3)]
    bench.succeed(bench.find("R1:1:1"))
    assert [root.end() for root in roots] == [roots[2]] * 3
    bench.fail(roots[2])
    assert sorted(bench.settled()) == ["R1 succeeded", "R2 failed", "R3 failed", "R4 failed"]


def test_a_root_that_is_asked_for_again_finishes_for_itself() -> None:
    bench = Bench(concurrency=9)
    first = bench.run("f", defer=True, delay=10.0)
    second = bench.run("f", defer=True)
    again = bench.rerun(first)
    assert again.state is State.RUNNING
    bench.succeed(second)
    assert bench.finished() == ["R2 succeeded"]
    bench.fail(again)
    assert bench.finished() == ["R2 succeeded", "R1 failed"]
    assert bench.settled() == ["R2 succeeded", "R1 failed"]


def test_what_waits_for_itself_through_deferral_is_an_error() -> None:
    bench = Bench(concurrency=9)
    root = bench.run()
    first = bench.submit(root, "f", defer=(), delay=10.0)
    waiting = bench.submit(root, "waiting")
    request = bench.wait(waiting, first)
    survivor = bench.submit(root, "f", defer=(), wait=True, given=[waiting])
    assert survivor.state is State.FAILED
    assert bench.answer(request).ended is survivor


def test_the_handle_of_a_deferred_step_leads_to_the_survivor_also_when_its_own_run_has_settled() -> None:
    bench = Bench(concurrency=9)
    root = bench.run()
    first = bench.submit(root, defer=True, delay=10.0)
    bench.succeed(root)
    other = bench.run("other")
    second = bench.submit(other, defer=True)
    assert bench.settled() == ["R1 succeeded"]
    request = bench.wait(other, first.id)
    assert not bench.answers(request)
    bench.succeed(second)
    assert bench.answer(request).ended is second
