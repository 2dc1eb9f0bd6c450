"""Workflows that are called from code: a step here, and a run of their own (behaviour §8.1)."""

from __future__ import annotations

from typing import Any

import pytest

from coflux.executor.core.state import Execution, State
from tests.core.bench import Bench


def called(bench: Bench, **options: Any) -> tuple[Execution, Execution, Execution]:
    """A root, its step that calls a workflow, and the root of that one's run."""
    root = bench.run()
    step = bench.submit(root, "sub", type="workflow", **options)
    return root, step, step.end()


def test_a_call_becomes_a_run_of_its_own_linked_both_ways() -> None:
    bench = Bench(concurrency=2)
    _, step, inner = called(bench, content="a")
    run = inner.step.run
    assert (step.state, step.successor, step.step.spawned) == (State.SPAWNED, inner, run)
    assert (run.parent, run.root, run.family) == (step, inner, step.step.run.family)
    assert (inner.id, inner.state, inner.step.arguments) == ("C1:1:1", State.RUNNING, step.step.arguments)


def test_the_top_of_a_run_and_tasks_do_not_spawn() -> None:
    bench = Bench(concurrency=2)
    root = bench.run(type="workflow")
    assert (root.state, bench.submit(root).state) == (State.RUNNING, State.RUNNING)


def test_the_result_comes_through_it() -> None:
    bench = Bench(concurrency=2)
    root, step, inner = called(bench)
    request = bench.wait(root, step)
    bench.succeed(inner)
    assert bench.answer(request).ended is inner
    assert bench.finished() == ["C1 succeeded"]
    bench.succeed(root)
    assert bench.settled() == ["R1 succeeded"]


def test_a_run_settles_with_its_family() -> None:
    bench = Bench(concurrency=2)
    root, _, inner = called(bench)
    bench.succeed(root)
    assert (bench.finished(), bench.settled()) == (["R1 succeeded"], [])
    bench.succeed(inner)
    assert (bench.finished(), bench.settled()) == (["R1 succeeded", "C1 succeeded"], ["R1 succeeded"])


def test_retries_are_those_of_its_own_run() -> None:
    bench = Bench(concurrency=2)
    root, step, inner = called(bench, retries=1)
    request = bench.wait(root, step)
    bench.fail(inner)
    assert (inner.end().id, inner.end().state, bench.answers(request)) == ("C1:1:2", State.RUNNING, [])
    bench.fail(inner.end())
    assert (bench.answer(request).ended, len(step.step.executions)) == (inner.end(), 1)


def test_the_timeout_is_that_of_its_own_run_and_reaches_what_is_below() -> None:
    bench = Bench(concurrency=3)
    root, step, inner = called(bench, timeout=5.0)
    child = bench.submit(inner)
    request = bench.wait(root, step)
    bench.pass_time(5.0)
    assert (inner.state, child.state) == (State.TIMED_OUT, State.CANCELLED)
    assert bench.answer(request).ended is inner


def test_the_timeout_of_the_caller_reaches_through_it() -> None:
    bench = Bench(concurrency=3)
    root = bench.run(timeout=5.0)
    inner = bench.submit(root, type="workflow").end()
    child = bench.submit(inner)
    bench.pass_time(5.0)
    assert (root.state, inner.state, child.state) == (State.TIMED_OUT, State.CANCELLED, State.CANCELLED)


@pytest.mark.parametrize("target", ["handle", "parent"])
def test_a_cancel_goes_through_it(target: str) -> None:
    bench = Bench(concurrency=3)
    root, step, inner = called(bench)
    child = bench.submit(inner)
    bench.cancel(step if target == "handle" else root)
    assert (step.state, inner.state, child.state) == (State.SPAWNED, State.CANCELLED, State.CANCELLED)


def test_it_recurs_in_its_own_run() -> None:
    bench = Bench(concurrency=2)
    root, step, inner = called(bench, recurrent=True)
    request = bench.wait(root, step)
    bench.succeed(inner, "null")
    assert (inner.state, inner.end().id) == (State.RECURRED, "C1:1:2")
    bench.succeed(inner.end(), "7")
    assert bench.answer(request).ended is inner.end()


def test_its_delay_and_its_arguments_are_waited_for_before_there_is_a_run() -> None:
    bench = Bench(concurrency=3)
    root = bench.run()
    slow = bench.submit(root)
    step = bench.submit(root, type="workflow", wait=True, given=[slow], delay=5.0)
    bench.pass_time(5.0)
    assert (step.state, step.step.spawned) == (State.QUEUED, None)
    bench.succeed(slow)
    assert (step.state, step.end().state) == (State.SPAWNED, State.RUNNING)


def test_the_cache_is_asked_before_there_is_a_run() -> None:
    bench = Bench(concurrency=3)
    root, _, inner = called(bench, cache=True)
    other = bench.submit(root, "sub", type="workflow", cache=True)
    assert other.source is inner
    bench.succeed(inner, "42")
    assert (other.state, other.cached_from, other.step.spawned) == (State.CACHED, inner.id, None)


def test_its_memo_is_that_of_its_own_run() -> None:
    bench = Bench(concurrency=9)
    root, _, inner = called(bench, run_memo=True)
    assert bench.submit(inner, "t") is bench.submit(inner, "t")
    assert bench.submit(root, "t") is not bench.submit(root, "t")


def test_the_default_of_the_caller_is_not_passed_on() -> None:
    bench = Bench(concurrency=9)
    root = bench.run(type="workflow", run_memo=True)
    inner = bench.submit(root, "sub", type="workflow").end()
    assert bench.submit(inner, "t") is not bench.submit(inner, "t")


def test_it_is_in_the_workspace_of_the_caller() -> None:
    bench = Bench(concurrency=2)
    root = bench.run(workspace="dev")
    inner = bench.submit(root, type="workflow").end()
    assert (inner.workspace, inner.step.run.options.workspace) == ("dev", "dev")


def test_a_call_is_one_level_of_nesting() -> None:
    bench = Bench(concurrency=9, max_depth=3)
    execution = bench.run("level0")
    for level in (1, 2):
        execution = bench.submit(execution, f"level{level}", type="workflow").end()
        assert (execution.state, execution.step.depth) == (State.RUNNING, level)
    deepest = bench.submit(execution, "level3", type="workflow")
    assert deepest.state is State.FAILED
    assert "level0 → level1 → level2 → level3" in str(deepest.outcome)


def test_what_waits_for_the_workflow_that_called_it_is_an_error() -> None:
    bench = Bench(concurrency=3)
    root, step, inner = called(bench)
    child = bench.submit(inner, given=[step])
    bench.wait(inner, child)
    assert "closes a cycle" in bench.answer(bench.wait(child, step)).error
    assert root.state is State.RUNNING
