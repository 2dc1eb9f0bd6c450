"""Steps that are executed again since somebody asked for it, and runs that are resumed (behaviour §3, §5.2, §11.5)."""

from __future__ import annotations

from typing import Any

import pytest

from coflux.executor.core.commands import KillWorker
from coflux.executor.core.state import Execution, State
from tests.core.bench import Bench


def with_child(bench: Bench, **options: Any) -> tuple[Execution, Execution]:
    root = bench.run()
    return root, bench.submit(root, **options)


def test_a_running_step_is_cancelled_and_starts_again_when_its_process_is_gone() -> None:
    bench = Bench(concurrency=3)
    root, child = with_child(bench)
    below = bench.submit(child)
    worker = bench.worker_of(child)
    request = bench.wait(root, child)
    again = bench.rerun(child)
    assert (child.state, below.state, again.state) == (State.CANCELLED, State.CANCELLED, State.QUEUED)
    assert (again.id, again.trigger, bench.answer(request).ended) == ("R1:2:2", "rerun", child)
    bench.exit(worker)
    assert again.state is State.RUNNING


def test_the_process_of_an_attempt_that_was_cancelled_before_is_waited_for() -> None:
    bench = Bench(concurrency=3)
    _, child = with_child(bench)
    worker = bench.worker_of(child)
    bench.cancel(child)
    again = bench.rerun(child)
    assert again.state is State.QUEUED
    bench.exit(worker)
    assert bench.started()[-1] == again.id


def test_the_process_of_an_attempt_that_was_not_clean_is_waited_for() -> None:
    bench = Bench(concurrency=3)
    _, child = with_child(bench)
    worker = bench.worker_of(child)
    bench.succeed(child, unclean="a thread is left")
    again = bench.rerun(child)
    assert again.state is State.QUEUED
    bench.exit(worker)
    assert bench.started()[-1] == again.id


def test_a_finished_step_keeps_its_outcome() -> None:
    bench = Bench(concurrency=3)
    root, child = with_child(bench)
    bench.succeed(child, "old")
    again = bench.rerun(child)
    assert (child.state, child.successor, again.state) == (State.SUCCEEDED, None, State.RUNNING)
    assert bench.answer(bench.wait(root, child)).ended is child


@pytest.mark.parametrize("options", [{"delay": 10.0}, {"retries": 3}, {"recurrent": True}])
def test_it_is_immediate_and_has_a_fresh_budget(options: dict[str, Any]) -> None:
    bench = Bench(concurrency=3)
    _, child = with_child(bench, **options)
    bench.pass_time(10.0)
    bench.succeed(child)
    again = bench.rerun(child)
    assert (again.state, again.streak) == (State.RUNNING, 0)


def test_what_is_queued_alone_in_its_run_is_replaced_and_the_run_goes_on() -> None:
    bench = Bench()
    root = bench.run(delay=10.0)
    again = bench.rerun(root)
    assert (root.state, again.state, bench.settled()) == (State.CANCELLED, State.RUNNING, [])
    bench.succeed(again)
    assert (bench.finished(), bench.settled()) == (["R1 cancelled", "R1 succeeded"], ["R1 succeeded"])


def test_the_root_of_a_run_that_goes_on_has_the_status_of_its_newest_chain() -> None:
    bench = Bench(concurrency=2)
    root, child = with_child(bench)
    bench.fail(root)
    again = bench.rerun(root)
    assert again.step.run.status is State.RUNNING
    bench.succeed(again)
    bench.succeed(child)
    assert bench.finished() == ["R1 failed", "R1 succeeded"]
    assert bench.settled() == ["R1 succeeded"]


def test_a_cached_step_is_executed() -> None:
    bench = Bench(concurrency=3)
    bench.succeed(bench.run("child", cache=True))
    _, hit = with_child(bench, cache=True)
    assert hit.state is State.CACHED
    assert bench.rerun(hit).state is State.RUNNING


def test_a_linked_step_is_executed() -> None:
    bench = Bench(concurrency=3)
    source = bench.run("child", cache=True)
    _, linked = with_child(bench, cache=True)
    assert linked.source is source
    assert (bench.rerun(linked).state, linked.state, source.links) == (State.RUNNING, State.CANCELLED, [])


def test_a_deferred_step_is_executed_with_its_own_arguments() -> None:
    bench = Bench(concurrency=3)
    root = bench.run()
    first = bench.submit(root, defer=("x",), content=("a", "1"), delay=5.0)
    second = bench.submit(root, defer=("x",), content=("a", "2"))
    again = bench.rerun(first)
    assert (first.state, again.state, second.state) == (State.DEFERRED, State.RUNNING, State.RUNNING)


def test_a_superseded_step_is_executed_and_the_survivor_stays() -> None:
    bench = Bench(concurrency=3)
    root = bench.run()
    first, second = (bench.submit(root, defer=True, delay=5.0) for _ in range(2))
    again = bench.rerun(first)
    assert (first.state, again.state, second.state) == (State.CANCELLED, State.RUNNING, State.QUEUED)


def test_a_step_that_was_spawned_has_another_run() -> None:
    bench = Bench(concurrency=3)
    _, step = with_child(bench, type="workflow")
    bench.succeed(step.end())
    again = bench.rerun(step)
    assert (again.state, again.end().id, step.end().id) == (State.SPAWNED, "C2:1:1", "C1:1:1")
    assert step.step.spawned is again.end().step.run


def test_a_suspended_step_starts_again_instead() -> None:
    bench = Bench(concurrency=3)
    _, child = with_child(bench)
    resumption = bench.suspended(child, delay=10.0)
    again = bench.rerun(child)
    assert (resumption.state, again.state) == (State.CANCELLED, State.RUNNING)


def test_what_was_cancelled_with_its_parent_may_be_executed_again() -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    parent = bench.submit(root)
    child = bench.submit(parent, delay=10.0)
    bench.cancel(parent)
    again = bench.rerun(child)
    assert (child.state, again.state) == (State.CANCELLED, State.RUNNING)
    bench.cancel(root)
    assert again.state is State.CANCELLED


def test_a_cancel_of_the_parent_reaches_what_was_executed_again() -> None:
    bench = Bench(concurrency=3)
    root, child = with_child(bench)
    bench.succeed(child)
    again = bench.rerun(child)
    bench.cancel(root)
    assert again.state is State.CANCELLED


def test_two_at_once_in_the_same_turn_leave_one() -> None:
    bench = Bench(concurrency=3)
    _, child = with_child(bench)
    bench.rerun(child)
    newest = bench.rerun(child)
    assert [one.state for one in child.step.executions] == [State.CANCELLED, State.CANCELLED, State.QUEUED]
    bench.exit(2)
    assert newest.state is State.RUNNING


def test_in_a_descendant_workspace_it_runs_beside_the_other() -> None:
    bench = Bench(concurrency=3)
    bench.shelf.bases["dev"] = "default"
    _, child = with_child(bench)
    again = bench.rerun(child, "dev")
    assert (child.state, again.state, again.workspace) == (State.RUNNING, State.RUNNING, "dev")
    assert bench.submit(again).workspace == "dev"
    assert bench.told(KillWorker) == []


# -- resuming ---------------------------------------------------------------------------------------------------------


def failed_run(bench: Bench) -> tuple[Execution, Execution, Execution]:
    """A root that has failed, a child of it that has succeeded and one that has failed; something of it still runs."""
    root = bench.run()
    good, bad = bench.submit(root, "good"), bench.submit(root, "bad", content="old")
    bench.submit(root, "slow")
    bench.succeed(good)
    bench.fail(bad)
    bench.fail(root)
    return root, good, bad


def test_what_succeeded_answers_and_what_failed_is_executed_again_as_the_code_is_now() -> None:
    bench = Bench(concurrency=4)
    root, good, bad = failed_run(bench)
    again = bench.rerun(root, resume=True)
    assert again.resumes
    assert bench.submit(again, "good", earlier=good.id) is good
    other = bench.submit(again, "bad", retries=7, earlier=bad.id)
    assert (other.id, other.state, other.resumes) == ("R1:3:2", State.RUNNING, True)
    assert other.step.spec.options.retries is not None
    assert other.step in bench.effects[-1].steps
    assert bench.submit(again, "new").id == "R1:5:1"


def test_what_is_unfinished_answers_too() -> None:
    bench = Bench(concurrency=4)
    root, *_ = failed_run(bench)
    slow = bench.find("R1:4:1")
    again = bench.rerun(root, resume=True)
    assert bench.submit(again, "slow", earlier=slow.id) is slow


def test_what_answered_is_spared_or_goes_with_the_new_attempt() -> None:
    bench = Bench(concurrency=4)
    root, *_ = failed_run(bench)
    slow = bench.find("R1:4:1")
    again = bench.rerun(root, resume=True)
    bench.submit(again, "slow", earlier=slow.id)
    bench.cancel(again)
    assert slow.state is State.CANCELLED


def test_retries_of_an_attempt_that_resumes_resume_too() -> None:
    bench = Bench(concurrency=4)
    root, good, _ = failed_run(bench)
    again = bench.rerun(root, resume=True)
    resumption = bench.suspended(again)
    assert resumption.resumes
    assert bench.submit(resumption, "good", earlier=good.id) is good


def test_what_is_not_known_any_more_is_a_new_step() -> None:
    bench = Bench(concurrency=4)
    root, *_ = failed_run(bench)
    again = bench.rerun(root, resume=True)
    assert bench.submit(again, "good", earlier="R1:99:1").id == "R1:5:1"


def test_it_goes_through_runs_of_their_own() -> None:
    bench = Bench(concurrency=5)
    root = bench.run()
    bench.submit(root, "slow")
    step = bench.submit(root, "sub", type="workflow")
    inner = step.end()
    good, bad = bench.submit(inner, "good"), bench.submit(inner, "bad")
    bench.succeed(good)
    bench.fail(bad)
    bench.fail(inner)
    bench.fail(root)
    again = bench.rerun(root, resume=True)
    call = bench.submit(again, "sub", type="workflow", earlier=step.id)
    assert (call.id, call.state, call.end().id) == ("R1:3:2", State.SPAWNED, "C1:1:2")
    assert (call.end().resumes, call.end().step.run.root) == (True, call.end())
    assert bench.submit(call.end(), "good", earlier=good.id) is good
    assert bench.submit(call.end(), "bad", earlier=bad.id).id == "C1:3:2"
