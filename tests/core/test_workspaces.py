"""Workspaces that are paused: nothing of them starts (behaviour §8.4)."""

from __future__ import annotations

import pytest

from coflux.executor.core.state import State
from tests.core.bench import Bench


def test_what_runs_goes_on_and_what_is_ready_does_not_start() -> None:
    bench = Bench(concurrency=1)
    root = bench.run()
    ready = bench.submit(root)
    bench.pause()
    late = bench.submit(root)
    assert (root.state, ready.ready, ready.reason) == (State.RUNNING, False, "workspace default is paused")
    bench.succeed(root)
    assert (ready.state, late.state) == (State.QUEUED, State.QUEUED)
    bench.unpause()
    assert bench.started() == [root.id, ready.id]


def test_other_workspaces_go_on_also_those_that_have_it_as_their_base() -> None:
    bench = Bench(concurrency=3)
    bench.shelf.bases["dev"] = "default"
    bench.pause()
    assert bench.run(workspace="dev").state is State.RUNNING
    assert bench.run().state is State.QUEUED


@pytest.mark.parametrize("how", ["delay", "arguments", "retry", "resumption", "recurrence"])
def test_nothing_of_it_starts_whatever_it_waited_for(how: str) -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    child = bench.submit(root, "child", retries=1, recurrent=True)
    slow = bench.submit(root, "slow")
    waiting = bench.submit(root, "held", wait=True, given=[slow])
    delayed = bench.submit(root, "late", delay=5.0)
    bench.pause()
    match how:
        case "delay":
            bench.pass_time(5.0)
            queued = delayed
        case "arguments":
            bench.succeed(slow)
            queued = waiting
        case "retry":
            bench.fail(child)
            queued = child.end()
        case "resumption":
            queued = bench.suspended(child)
        case _:
            bench.succeed(child, "null")
            queued = child.end()
    assert (queued.state, queued.reason) == (State.QUEUED, "workspace default is paused")
    bench.unpause()
    assert queued.state is State.RUNNING


def test_a_workflow_that_is_called_becomes_no_run_and_the_cache_is_not_asked() -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    source = bench.submit(root, "f", cache=True)
    bench.succeed(source)
    bench.pause()
    call, cached = bench.submit(root, type="workflow"), bench.submit(root, "f", cache=True)
    assert (call.state, cached.state) == (State.QUEUED, State.QUEUED)
    bench.unpause()
    assert (call.state, cached.state) == (State.SPAWNED, State.CACHED)


def test_what_is_parked_can_be_cancelled_superseded_and_executed_again() -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    bench.pause()
    one, two, three = (bench.submit(root, name, defer=True) for name in "abc")
    bench.cancel(one)
    newer = bench.submit(root, "b", defer=True)
    again = bench.rerun(three)
    assert (one.state, two.superseded_by, three.state) == (State.CANCELLED, newer, State.CANCELLED)
    bench.unpause()
    assert (newer.state, two.state, again.state) == (State.RUNNING, State.DEFERRED, State.RUNNING)


def test_a_poll_starts_nothing_of_it() -> None:
    bench = Bench(concurrency=1)
    root = bench.run()
    child = bench.submit(root)
    bench.pause()
    bench.wait(root, child, timeout=0.0)
    assert child.state is State.QUEUED


def test_a_step_of_its_that_was_executed_again_elsewhere_starts() -> None:
    bench = Bench(concurrency=2)
    bench.shelf.bases["dev"] = "default"
    root = bench.run()
    child = bench.submit(root)
    bench.succeed(child)
    bench.pause()
    assert bench.rerun(child, "dev").state is State.RUNNING
    assert bench.rerun(child).state is State.QUEUED
