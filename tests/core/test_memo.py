"""Memo: within a run, equal submissions share one step (behaviour §5.3); cancels spare what is in use (§7.4)."""

from __future__ import annotations

import pytest

from coflux.executor.core.effects import Shared
from coflux.executor.core.state import Execution, State
from tests.core.bench import Bench


def steps(execution: Execution) -> int:
    return execution.step.run.steps


@pytest.mark.parametrize("finished", [False, True])
def test_an_equal_submission_gets_the_handle_of_the_existing_step(finished: bool) -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    first = bench.submit(root, memo=True, content="a")
    if finished:
        bench.succeed(first)
    assert bench.submit(root, memo=True, content="a") is first
    assert steps(root) == 2
    assert bench.effects[-1].shared == [Shared(root, 2, first, None)]
    assert bench.started().count(first.id) == 1


def test_other_arguments_targets_or_runs_have_steps_of_their_own() -> None:
    bench = Bench(concurrency=9)
    root, other = bench.run(), bench.run()
    first = bench.submit(root, memo=True, content="a")
    assert bench.submit(root, memo=True, content="b") is not first
    assert bench.submit(root, "another", memo=True, content="a") is not first
    assert bench.submit(other, memo=True, content="a") is not first


def test_named_parameters_alone_decide() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    first = bench.submit(root, memo=("x",), content=("a", "1"))
    assert bench.submit(root, memo=("x",), content=("a", "2")) is first


def test_a_handle_counts_by_its_execution() -> None:
    bench = Bench(concurrency=9)
    root = bench.run()
    one, two = bench.submit(root), bench.submit(root)
    first = bench.submit(root, "use", memo=True, given=["@1"])
    assert bench.submit(root, "use", memo=True, given=[one]) is first
    assert bench.submit(root, "use", memo=True, given=[two]) is not first


def test_the_workflow_decides_for_its_run_and_a_task_may_opt_out() -> None:
    bench = Bench(concurrency=9)
    root = bench.run(type="workflow", run_memo=True)
    assert bench.submit(root, content="a") is bench.submit(root, content="a")
    assert bench.submit(root, content="b", memo=False) is not bench.submit(root, content="b", memo=False)


@pytest.mark.parametrize("memo", [True, False])
def test_who_starts_a_run_overrides_the_workflow(memo: bool) -> None:
    bench = Bench(concurrency=9)
    root = bench.run(type="workflow", run_memo=not memo, memo=memo)
    assert (bench.submit(root, content="a") is bench.submit(root, content="a")) == memo


def test_a_pending_retry_is_shared() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    first = bench.submit(root, memo=True, retries=1)
    bench.fail(first)
    assert bench.submit(root, memo=True, retries=1) is first
    request = bench.wait(root, "@2")
    bench.succeed(first.end())
    assert bench.answer(request).ended is first.end()


def test_a_pending_resumption_is_shared() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    first = bench.submit(root, memo=True)
    bench.suspended(first, delay=10.0)
    assert bench.submit(root, memo=True) is first


@pytest.mark.parametrize("how", ["failed", "cancelled", "abandoned", "timed_out"])
def test_failures_are_not_shared(how: str) -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    first = bench.submit(root, memo=True, timeout=5.0)
    match how:
        case "failed":
            bench.fail(first)
        case "cancelled":
            bench.cancel(first)
        case "abandoned":
            bench.exit(bench.worker_of(first))
        case _:
            bench.pass_time(5.0)
    assert first.state.value == how
    second = bench.submit(root, memo=True)
    assert second is not first
    assert bench.submit(root, memo=True) is second


def test_memo_beats_the_cache() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    first = bench.submit(root, memo=True, cache=True)
    bench.succeed(first)
    assert bench.submit(root, memo=True, cache=True) is first


def test_a_memoised_child_workflow_is_shared_once_it_is_a_run_of_its_own() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    first = bench.submit(root, type="workflow", memo=True)
    assert first.state is State.SPAWNED
    assert bench.submit(root, type="workflow", memo=True) is first
    bench.succeed(first.end())
    assert bench.submit(root, type="workflow", memo=True) is first


def test_the_next_attempt_finds_what_the_one_before_has_submitted() -> None:
    bench = Bench(concurrency=2)
    root = bench.run(retries=1)
    child = bench.submit(root, memo=True)
    bench.fail(root)
    assert bench.submit(root.end(), memo=True) is child


def test_what_was_asked_for_again_is_the_one_that_is_shared() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    first = bench.submit(root, memo=True)
    bench.succeed(first)
    again = bench.rerun(first)
    assert bench.submit(root, memo=True) is again


def test_a_descendant_shares_results_of_its_base_and_never_the_other_way_round() -> None:
    bench = Bench(concurrency=4)
    bench.shelf.bases["dev"] = "default"
    root = bench.run()
    of_base = bench.submit(root, memo=True, content="a")
    in_dev = bench.rerun(root, "dev")
    assert bench.submit(in_dev, memo=True, content="a") is of_base
    of_dev = bench.submit(in_dev, memo=True, content="b")
    assert bench.submit(root, memo=True, content="b") is not of_dev


def test_recursion_through_memo_is_an_error() -> None:
    bench = Bench()
    root = bench.run()
    f = bench.submit(root, "f", memo=True)
    bench.wait(root, f)
    g = bench.submit(f, "g", memo=True)
    bench.wait(f, g)
    assert bench.submit(g, "f", memo=True) is f
    assert "f (R1:2:1) → g (R1:3:1)" in bench.answer(bench.wait(g, "@1")).error


# -- cancelling what is shared ----------------------------------------------------------------------------------------


def shared_by_two(bench: Bench) -> tuple[Execution, Execution, Execution, Execution]:
    root = bench.run()
    one, two = bench.submit(root, "one"), bench.submit(root, "two")
    common = bench.submit(one, "common", memo=True)
    assert bench.submit(two, "common", memo=True) is common
    return root, one, two, common


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_shared_step_is_spared_while_another_references_it_and_cancelled_with_the_last(
    order: tuple[int, int],
) -> None:
    bench = Bench(concurrency=4)
    _, *users, common = shared_by_two(bench)
    below = bench.submit(common, "below")
    bench.cancel(users[order[0]])
    assert (common.state, below.unfinished) == (State.RUNNING, True)
    bench.cancel(users[order[1]])
    assert (common.state, below.state) == (State.CANCELLED, State.CANCELLED)


def test_a_shared_step_is_cancelled_with_what_all_who_share_it_are_below() -> None:
    bench = Bench(concurrency=4)
    root, *_, common = shared_by_two(bench)
    bench.cancel(root)
    assert common.state is State.CANCELLED


def test_one_that_has_ended_needs_a_shared_step_no_more() -> None:
    bench = Bench(concurrency=4)
    _, one, two, common = shared_by_two(bench)
    bench.succeed(one)
    bench.cancel(two)
    assert common.state is State.CANCELLED


def test_one_that_will_be_resumed_still_needs_it() -> None:
    bench = Bench(concurrency=4)
    _, one, two, common = shared_by_two(bench)
    bench.suspended(one, common)
    bench.cancel(two)
    assert common.state is State.RUNNING


def test_a_timeout_spares_it_too() -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    one, two = bench.submit(root, "one", timeout=5.0, retries=1), bench.submit(root, "two")
    common, own = bench.submit(one, "common", memo=True), bench.submit(one, "own")
    bench.submit(two, "common", memo=True)
    bench.pass_time(5.0)
    assert (one.state, own.state, common.state) == (State.TIMED_OUT, State.CANCELLED, State.RUNNING)


def test_a_timeout_takes_along_what_only_attempts_of_the_same_step_share() -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    child = bench.submit(root, timeout=5.0, retries=3)
    common = bench.submit(child, "common", memo=True)
    bench.fail(child)
    assert bench.submit(child.end(), "common", memo=True) is common
    bench.pass_time(5.0)
    assert common.state is State.CANCELLED


def test_who_cancels_the_shared_step_itself_cancels_it_for_all() -> None:
    bench = Bench(concurrency=4)
    *_, two, common = shared_by_two(bench)
    request = bench.wait(two, common)
    bench.cancel(common)
    assert bench.answer(request).ended is common
    assert common.state is State.CANCELLED


def test_a_caller_does_not_go_with_what_it_has_called() -> None:
    """f calls g, which calls f again, by memo: g has the handle of what it is below of."""
    bench = Bench(concurrency=4)
    root = bench.run()
    f = bench.submit(root, "f", memo=True)
    bench.succeed(root)
    g = bench.submit(f, "g", timeout=5.0, retries=1)
    assert bench.submit(g, "f", memo=True) is f
    bench.pass_time(5.0)
    assert (g.state, f.state) == (State.TIMED_OUT, State.RUNNING)
    bench.cancel(g)
    assert (g.end().state, f.state) == (State.CANCELLED, State.RUNNING)
