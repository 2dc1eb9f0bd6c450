"""Another engine goes on with what was committed: `Scheduler.requeue`, `abandon` and `settle_restored`."""

from __future__ import annotations

import pytest

from coflux.executor.core import endings
from coflux.executor.core.state import State
from tests.core.bench import Bench


def test_what_ran_is_abandoned_and_retries_go_on() -> None:
    bench = Bench(concurrency=2)
    root = bench.run(retries=1)
    child = bench.submit(root)
    bench.restart()
    assert (bench.find(root.id).state, bench.find(child.id).state) == (State.ABANDONED, State.ABANDONED)
    bench.pass_time(1.0)
    assert bench.started()[-1] == "R1:1:2"
    bench.succeed(bench.find("R1:1:2"))
    assert bench.settled() == ["R1 succeeded"]


def test_what_was_ready_or_delayed_is_so_again() -> None:
    bench = Bench(concurrency=1)
    root = bench.run()
    bench.submit(root, delay=10.0)
    bench.submit(root)
    bench.restart(seconds=4.0)
    assert bench.started()[-1] == "R1:3:1"
    bench.succeed(bench.find("R1:3:1"))
    bench.pass_time(5.9)
    assert bench.find("R1:2:1").state is State.QUEUED
    bench.pass_time(0.1)
    assert bench.started()[-1] == "R1:2:1"


@pytest.mark.parametrize("ended_before", [False, True])
def test_a_resumption_waits_for_its_handle(ended_before: bool) -> None:
    bench = Bench(concurrency=1)
    root = bench.run()
    slow = bench.submit(root, "slow", delay=10.0)
    bench.suspended(root, slow)
    if ended_before:
        bench.cancel(slow)
        bench.restart()
        assert bench.started()[-1] == "R1:1:2"
        return
    bench.restart()
    assert bench.find("R1:1:2").state is State.QUEUED
    bench.pass_time(10.0)
    bench.succeed(bench.find(slow.id))
    assert bench.started()[-1] == "R1:1:2"


def test_what_was_held_waits_again() -> None:
    bench = Bench(concurrency=1)
    root = bench.run()
    slow = bench.submit(root, "slow", delay=10.0)
    held = bench.submit(root, "held", wait=True, given=[slow])
    bench.restart()
    assert bench.find(held.id).reason == f"waiting for arguments: {slow.id}"
    bench.pass_time(10.0)
    bench.succeed(bench.find(slow.id))
    assert bench.started()[-1] == held.id


def test_what_was_linked_asks_the_cache_again() -> None:
    bench = Bench(concurrency=2)
    source = bench.run("f", cache=True)
    linked = bench.run("f", cache=True)
    assert linked.source is source
    bench.restart()
    assert (bench.find(linked.id).source, bench.started()[-1]) == (None, linked.id)


def test_the_newest_submission_survives_whatever_run_it_is_of() -> None:
    bench = Bench(concurrency=4)
    older, newer = bench.run(), bench.run()
    first = bench.submit(newer, defer=True, delay=10.0)
    second = bench.submit(older, defer=True, delay=10.0)
    bench.restart()
    assert bench.find(first.id).superseded_by is bench.find(second.id)
    bench.pass_time(10.0)
    assert (bench.shelf.rows[first.id].state, bench.started()[-1]) == (State.DEFERRED, second.id)


def test_a_run_waits_for_what_its_root_was_deferred_to() -> None:
    bench = Bench(concurrency=4)
    bench.run("f", defer=True, delay=10.0)
    survivor = bench.run("f", defer=True, retries=1)
    assert survivor.state is State.RUNNING
    bench.restart()
    assert bench.settled() == []
    bench.pass_time(1.0)
    bench.succeed(bench.find("R2:1:2"))
    assert sorted(bench.settled()) == ["R1 succeeded", "R2 succeeded"]


def test_a_run_of_its_own_goes_on_and_does_not_ask_the_cache() -> None:
    bench = Bench(concurrency=1)
    root = bench.run()
    call = bench.submit(root, "f", type="workflow", cache=True)
    source = bench.submit(root, "f", cache=True)
    assert (call.state, source.source) == (State.SPAWNED, call.end())
    bench.restart()
    assert bench.started()[-1] == call.end().id


def test_memo_finds_what_was_submitted_before() -> None:
    bench = Bench(concurrency=2)
    root = bench.run(retries=1)
    child = bench.submit(root, memo=True)
    bench.succeed(child)
    bench.restart()
    bench.pass_time(1.0)
    assert bench.submit(bench.find("R1:1:2"), memo=True).id == child.id


def test_a_cancel_reaches_what_is_shared_and_runs_of_their_own() -> None:
    bench = Bench(concurrency=9)
    root = bench.run(retries=1)
    one, two = bench.submit(root, "one", delay=5.0), bench.submit(root, "two", type="workflow", retries=1)
    inner = two.end()
    common = bench.submit(inner, "common", delay=50.0)
    bench.restart()
    bench.cancel(bench.find(root.id))
    states = {bench.shelf.rows[each].state for each in (one.id, common.id, "R1:1:2", "C1:1:2")}
    assert (states, bench.settled()) == ({State.CANCELLED}, ["R1 cancelled"])


def test_a_paused_workspace_stays_paused() -> None:
    bench = Bench(concurrency=1)
    root = bench.run()
    child = bench.submit(root)
    bench.restart(paused=["default"])
    assert bench.find(child.id).state is State.QUEUED
    bench.unpause()
    assert bench.started()[-1] == child.id


def test_a_settled_run_of_which_a_step_was_asked_for_again_is_unsettled() -> None:
    bench = Bench(concurrency=1)
    root = bench.run()
    child = bench.submit(root, delay=10.0)
    again = bench.rerun(child)
    assert (again.state, root.step.run in bench.effects[-1].runs) == (State.QUEUED, True)


def test_no_step_gets_the_id_of_one_that_was_pruned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "KEPT_RECURRENCES", 1)
    bench = Bench(concurrency=4)
    root = bench.run(recurrent=True, retries=1)
    bench.succeed(root, "null")
    bench.succeed(bench.submit(root.end()))
    for _ in range(3):
        bench.succeed(root.end(), "null")
    assert "R1:2:1" not in bench.shelf.rows
    bench.restart()
    bench.pass_time(1.0)
    assert bench.submit(bench.find(root.id).end()).id == "R1:3:1"
