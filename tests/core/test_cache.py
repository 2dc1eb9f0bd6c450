"""The cache: results of equal steps, recorded or under way (behaviour §5.1 and §5.2)."""

from __future__ import annotations

from typing import Any

import pytest

from coflux.executor.core import events as ev
from coflux.executor.core.commands import HandOver
from coflux.executor.core.state import Execution, State
from coflux.executor.messages import Succeeded
from coflux.task_options import CacheOptions
from tests.core.bench import Bench
from tests.core.factories import failed, succeeded


def text_of(execution: Execution) -> str:
    outcome = execution.end().outcome
    assert isinstance(outcome, Succeeded)
    return outcome.value.data.decode()


def recorded(bench: Bench, text: str = "1", **options: Any) -> Execution:
    """A result in the store: of a run that has settled."""
    source = bench.run(cache=True, **options)
    bench.succeed(source, text)
    assert bench.scheduler.find(source.id) is None
    return source


# -- results that are recorded ----------------------------------------------------------------------------------------


def test_a_recorded_result_is_had_without_a_process() -> None:
    bench = Bench()
    source = recorded(bench, "42")
    hit = bench.run(cache=True)
    assert (hit.state, hit.cached_from, text_of(hit)) == (State.CACHED, source.id, "42")
    assert bench.started() == [source.id]
    assert bench.finished() == ["R1 succeeded", "R2 succeeded"]
    assert bench.settled() == ["R1 succeeded", "R2 succeeded"]


def test_who_waits_is_told_of_a_hit() -> None:
    bench = Bench()
    recorded(bench, "42", name="child")
    root = bench.run()
    child = bench.submit(root, cache=True)
    assert child.state is State.CACHED
    assert bench.answer(bench.wait(root, child)).ended is child


@pytest.mark.parametrize("failure", ["fails", "is cancelled", "is abandoned"])
def test_failures_are_never_hits(failure: str) -> None:
    bench = Bench()
    source = bench.run(cache=True)
    match failure:
        case "fails":
            bench.fail(source)
        case "is cancelled":
            bench.cancel(source)
            bench.exit(source.worker.id if source.worker is not None else 0)
        case _:
            bench.exit(bench.worker_of(source))
    assert bench.run(cache=True).state is State.RUNNING


@pytest.mark.parametrize(("age", "hits"), [(9.0, True), (10.0, True), (10.5, False)])
def test_the_age_is_the_callers_limit_and_counts_from_the_end(age: float, hits: bool) -> None:
    bench = Bench()
    source = bench.run(cache=True)
    bench.pass_time(100.0)
    bench.succeed(source)
    bench.pass_time(age)
    assert (bench.run(cache=10.0).state is State.CACHED) == hits


def test_an_age_of_zero_takes_nothing_that_has_ended_before() -> None:
    bench = Bench()
    recorded(bench)
    bench.pass_time(0.001)
    assert bench.run(cache=0.0).state is State.RUNNING


def test_an_age_of_zero_takes_what_is_under_way() -> None:
    bench = Bench()
    source = bench.run(cache=True)
    bench.pass_time(100.0)
    linked = bench.run(cache=0.0)
    assert linked.source is source
    bench.succeed(source, "42")
    assert (linked.state, text_of(linked)) == (State.CACHED, "42")


def test_a_hit_does_not_refresh_the_age_and_is_no_source() -> None:
    bench = Bench()
    source = recorded(bench)
    bench.pass_time(8.0)
    assert bench.run(cache=10.0).cached_from == source.id
    bench.pass_time(8.0)
    assert bench.run(cache=10.0).state is State.RUNNING


def test_the_newest_wins() -> None:
    bench = Bench(concurrency=2)
    recorded(bench, "old")
    bench.pass_time(10.0)
    newer = bench.run(cache=1.0)
    bench.pass_time(10.0)
    bench.succeed(newer, "new")
    assert text_of(bench.run(cache=True)) == "new"


def test_a_newer_one_that_is_under_way_wins_over_an_older_result() -> None:
    bench = Bench(concurrency=2)
    recorded(bench, "old")
    bench.pass_time(10.0)
    newer = bench.run(cache=1.0)
    assert bench.run(cache=True).source is newer


def test_a_newer_result_wins_over_an_older_one_that_is_under_way() -> None:
    bench = Bench(concurrency=2)
    bench.run(cache=True)
    bench.pass_time(1.0)
    newer = bench.run(cache=CacheOptions(), content="b")
    bench.pass_time(1.0)
    older = bench.run(cache=True, content="b")
    assert older.source is newer


def test_a_result_of_the_same_turn_is_a_hit() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    source = bench.submit(root, cache=True)
    bench.handle(bench.return_of(source, succeeded("42")), bench.submission(root, cache=True))
    assert (root.submissions[1].state, root.submissions[1].cached_from) == (State.CACHED, source.id)


def test_namespaces_and_versions_and_parameters_make_the_key() -> None:
    bench = Bench(concurrency=9)
    recorded(bench, "42")
    assert bench.run(cache=CacheOptions(version="2")).state is State.RUNNING
    assert bench.run("another", cache=True).state is State.RUNNING
    assert bench.run(cache=True, content="b").state is State.RUNNING
    assert bench.run(cache=CacheOptions(params=("x",)), content=("", "any")).state is State.CACHED


def test_targets_with_one_namespace_share_results() -> None:
    bench = Bench()
    shared = CacheOptions(namespace="common")
    source = bench.run("one", cache=shared)
    bench.succeed(source)
    assert bench.run("two", cache=shared).cached_from == source.id


def test_a_workspace_sees_results_of_its_ancestors_and_never_the_other_way_round() -> None:
    bench = Bench(concurrency=9)
    bench.shelf.bases["dev"] = "default"
    recorded(bench)
    bench.succeed(bench.run(cache=True, content="b", workspace="dev"))
    assert bench.run(cache=True, workspace="dev").state is State.CACHED
    assert bench.run(cache=True, workspace="other").state is State.RUNNING
    assert bench.run(cache=True, content="b").state is State.RUNNING


def test_the_cache_is_asked_when_it_is_due() -> None:
    bench = Bench(concurrency=2)
    late = bench.run(cache=True, delay=10.0)
    source = bench.run(cache=True)
    assert source.state is State.RUNNING  # a delayed one is no source
    bench.succeed(source, "42")
    assert late.state is State.QUEUED
    bench.pass_time(10.0)
    assert late.cached_from == source.id


@pytest.mark.parametrize("trigger", ["retry", "resumption", "rerun"])
def test_only_first_attempts_ask(trigger: str) -> None:
    bench = Bench(concurrency=3)
    late = bench.run(cache=True, retries=1)
    source = bench.run(cache=True, content="other")
    bench.succeed(source)
    match trigger:
        case "retry":
            bench.fail(late)
        case "resumption":
            bench.suspended(late)
        case _:
            recorded(bench, content="b")
            late = bench.submit(late, "main", cache=True, content="b")
            assert late.state is State.CACHED
            bench.rerun(late)
    newest = late.step.executions[-1]
    assert (newest.attempt, newest.trigger, newest.state) == (2, trigger, State.RUNNING)


def test_what_was_asked_for_again_becomes_the_newest_source() -> None:
    bench = Bench(concurrency=3)
    root = bench.run()
    source = bench.submit(root, cache=True)
    bench.succeed(source, "old")
    bench.pass_time(1.0)
    again = bench.rerun(source)
    linked = bench.submit(root, cache=True)
    assert linked.source is again
    bench.succeed(again, "new")
    assert (linked.cached_from, text_of(linked)) == (again.id, "new")


def test_the_cache_is_asked_before_arguments_are_waited_for() -> None:
    bench = Bench(concurrency=3)
    root = bench.run()
    slow = bench.submit(root, "slow")
    first = bench.submit(root, given=[slow], cache=True)
    bench.succeed(first)
    hit = bench.submit(root, given=[slow], cache=True, wait=True)
    assert (hit.state, slow.state) == (State.CACHED, State.RUNNING)


def test_an_argument_without_a_key_means_no_cache() -> None:
    bench = Bench(concurrency=2)
    recorded(bench)
    event = bench.request("R9", cache=True)
    bench.handle(ev.RunRequested("R9", event.spec, b"", event.arguments, event.options, 1, 1, (None,)))
    assert bench.find("R9:1:1").state is State.RUNNING


# -- results that are under way ---------------------------------------------------------------------------------------


def linked_pair(bench: Bench, **options: Any) -> tuple[Execution, Execution]:
    source = bench.run("f", cache=True, **options)
    linked = bench.run("f", cache=True, retries=1)
    assert (linked.source, linked.state) == (source, State.QUEUED)
    assert "linked to" in linked.reason
    return source, linked


def test_what_is_under_way_is_waited_for_without_a_slot() -> None:
    bench = Bench(concurrency=2)
    source, linked = linked_pair(bench)
    assert bench.scheduler.slots.active == 1
    bench.succeed(source, "42")
    assert (linked.state, linked.cached_from, text_of(linked)) == (State.CACHED, source.id, "42")


def test_a_ready_one_is_a_source_too() -> None:
    bench = Bench()
    root = bench.run()
    ready = bench.submit(root, cache=True)
    assert ready.ready
    assert bench.submit(root, cache=True).source is ready


@pytest.mark.parametrize("how", ["delayed", "held", "suspended", "linked", "paused"])
def test_what_cannot_start_is_no_source(how: str) -> None:
    bench = Bench(concurrency=9)
    bench.shelf.bases["dev"] = "default"
    root = bench.run(workspace="dev")
    slow = bench.submit(root, "slow")
    match how:
        case "delayed":
            bench.run(cache=True, delay=10.0)
        case "held":
            bench.submit(root, "main", cache=CacheOptions(params=()), wait=True, given=[slow])
        case "suspended":
            bench.suspended(bench.run(cache=True), delay=10.0)
        case "linked":
            bench.succeed(bench.run(cache=True, content="b"))
            source = bench.run(cache=True)
            assert bench.run(cache=True).source is source
            bench.cancel(source)
            assert bench.run(cache=True).source is not source
            return
        case _:
            bench.pause()
            bench.run(cache=True)
            params = CacheOptions()
            assert bench.run(cache=params, workspace="dev").source is None
            return
    cache = CacheOptions(params=()) if how == "held" else CacheOptions()
    assert bench.submit(root, "main", cache=cache).state is State.RUNNING


@pytest.mark.parametrize("how", ["fails", "times out"])
def test_the_failure_of_a_source_is_that_of_the_linked_whose_own_retries_execute(how: str) -> None:
    bench = Bench(concurrency=2)
    source, linked = linked_pair(bench, timeout=5.0)
    if how == "fails":
        bench.fail(source)
    else:
        bench.pass_time(5.0)
    assert (linked.state, linked.outcome) == (source.state, source.outcome)
    again = linked.end()
    assert (again.attempt, again.trigger, again.state) == (2, "retry", State.RUNNING)
    bench.succeed(again)
    assert bench.finished()[-1] == "R2 succeeded"


def test_the_retry_of_a_source_is_its_own_affair() -> None:
    bench = Bench(concurrency=2)
    source, linked = linked_pair(bench, retries=1)
    bench.fail(source)
    assert linked.state is State.FAILED
    assert (source.end().state, linked.end().state) == (State.RUNNING, State.RUNNING)


@pytest.mark.parametrize("how", ["is cancelled", "is abandoned"])
def test_without_its_source_the_linked_is_executed(how: str) -> None:
    bench = Bench(concurrency=2)
    source, linked = linked_pair(bench)
    if how == "is cancelled":
        bench.cancel(source)
    else:
        bench.exit(bench.worker_of(source))
    assert (linked.state, linked.attempt, linked.source) == (State.RUNNING, 1, None)


def test_it_goes_on_with_the_resumption_of_its_source() -> None:
    bench = Bench(concurrency=2)
    source, linked = linked_pair(bench)
    resumption = bench.suspended(source, delay=10.0)
    assert (linked.source, linked.state) == (resumption, State.QUEUED)
    bench.pass_time(10.0)
    bench.succeed(resumption, "42")
    assert (linked.state, linked.cached_from) == (State.CACHED, resumption.id)


def test_it_goes_on_with_the_recurrence_of_its_source() -> None:
    bench = Bench(concurrency=2)
    source, linked = linked_pair(bench, recurrent=True)
    bench.succeed(source, "null")
    assert linked.source is source.end()
    bench.succeed(source.end(), "42")
    assert text_of(linked) == "42"


def test_a_source_that_is_deferred_is_no_source_any_more() -> None:
    """What it is deferred to may have other arguments, where those do not count for deferral."""
    bench = Bench()
    root = bench.run()
    source = bench.submit(root, "f", cache=True, defer=("x",), content=("a", "1"))
    linked = bench.submit(root, "f", cache=True, content=("a", "1"))
    assert (source.ready, linked.source) == (True, source)
    survivor = bench.submit(root, "f", cache=True, defer=("x",), content=("a", "2"))
    bench.wait(root, survivor)
    assert (survivor.state, source.end()) == (State.RUNNING, survivor)
    bench.succeed(survivor, "other")
    assert linked.cached_from == ""
    bench.succeed(root)
    bench.succeed(linked, "own")
    assert text_of(linked) == "own"


def test_a_source_that_is_deferred_to_an_equal_one_leaves_the_linked_to_that() -> None:
    bench = Bench()
    root = bench.run()
    source = bench.submit(root, "f", cache=True, defer=True)
    linked = bench.submit(root, "f", cache=True)
    survivor = bench.submit(root, "f", cache=True, defer=True)
    bench.wait(root, survivor)
    assert (source.state, linked.source) == (State.DEFERRED, survivor)
    bench.succeed(survivor, "42")
    assert text_of(linked) == "42"


def test_cancelling_the_linked_leaves_the_source() -> None:
    bench = Bench(concurrency=2)
    source, linked = linked_pair(bench)
    bench.cancel(linked)
    assert (source.state, source.links) == (State.RUNNING, [])


def test_all_of_one_turn_have_one_source() -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    bench.handle(*(bench.submission(root, cache=True, number=number) for number in range(1, 6)))
    first, *others = root.submissions
    assert all(other.source is first for other in others)
    bench.succeed(first)
    assert {other.state for other in others} == {State.CACHED}


def test_what_fails_without_a_process_fails_what_is_linked_to_it() -> None:
    bench = Bench(concurrency=1)
    root = bench.run()
    source = bench.submit(root, cache=True)
    linked = bench.submit(root, cache=True)
    bench.handle(ev.HostLost(1), ev.HostRefused(("R1",), failed("no such module")))
    assert (source.state, linked.state) == (State.FAILED, State.FAILED)


# -- cycles -----------------------------------------------------------------------------------------------------------


def test_a_hit_that_would_close_a_cycle_executes_instead() -> None:
    bench = Bench()
    f = bench.run("f", cache=True)
    g = bench.submit(f, "g")
    bench.wait(f, g)
    again = bench.submit(g, "f", cache=True)
    bench.wait(g, again)
    assert (again.source, again.state) == (None, State.RUNNING)


@pytest.mark.parametrize("timeout", [None, 0.0, 5.0])
def test_a_link_that_comes_to_close_a_cycle_is_dissolved(timeout: float | None) -> None:
    """Also by a poll: whoever polls in a loop would do so for ever."""
    bench = Bench(concurrency=2)
    f = bench.run("f", cache=True)
    again = bench.submit(f, "f", cache=True)
    assert again.source is f
    bench.wait(f, again, timeout=timeout)
    assert bench.started() == [f.id, again.id]


def test_a_link_does_not_follow_its_source_into_a_cycle() -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    source = bench.submit(root, "f", cache=True)
    linked = bench.submit(root, "f", cache=True)
    waiting = bench.submit(root, "waiting")
    bench.wait(waiting, linked)
    assert linked.source is source
    bench.suspended(source, waiting)
    assert linked.state is State.RUNNING


def test_a_wait_for_arguments_dissolves_a_link_that_it_would_close_a_cycle_with() -> None:
    bench = Bench(concurrency=4)
    root = bench.run()
    source = bench.submit(root, "f", cache=True)
    linked = bench.submit(root, "f", cache=True)
    held = bench.submit(root, "held", given=[linked], wait=True)
    bench.wait(source, held, timeout=None)
    assert (linked.state, held.state) == (State.RUNNING, State.QUEUED)


def test_only_what_is_executed_is_handed_over() -> None:
    bench = Bench(concurrency=4)
    source, linked = linked_pair(bench)
    bench.succeed(source)
    assert [command.execution for command in bench.told(HandOver)] == [source]
    assert linked.worker is None
