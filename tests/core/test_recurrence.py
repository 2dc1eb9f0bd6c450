"""Recurrent targets: `None` means once more (behaviour §6.4)."""

from __future__ import annotations

from typing import Any

import pytest

from coflux.executor.core import endings
from coflux.executor.core.state import Execution, State
from tests.core.bench import Bench
from tests.core.factories import succeeded

KEPT = 3


def recurring(bench: Bench, **options: Any) -> tuple[Execution, Execution]:
    root = bench.run()
    return root, bench.submit(root, recurrent=True, **options)


def test_none_means_another_attempt() -> None:
    bench = Bench(concurrency=2)
    root, child = recurring(bench)
    request = bench.wait(root, child)
    bench.succeed(child, "null")
    again = child.end()
    assert (child.state, child.outcome, again.trigger, again.state) == (
        State.RECURRED,
        None,
        "recurrence",
        State.RUNNING,
    )
    assert bench.answers(request) == []
    bench.succeed(again, "7")
    assert bench.answer(request).ended is again


@pytest.mark.parametrize("text", ["0", "false", '""', "[]", "1"])
def test_any_other_value_ends_it(text: str) -> None:
    bench = Bench(concurrency=2)
    _, child = recurring(bench)
    bench.succeed(child, text)
    assert (child.state, child.successor) == (State.SUCCEEDED, None)


def test_none_of_another_target_is_a_result() -> None:
    bench = Bench()
    root = bench.run()
    bench.succeed(root, "null")
    assert bench.finished() == ["R1 succeeded"]


def test_the_delay_applies_again_from_the_end() -> None:
    bench = Bench(concurrency=2)
    _, child = recurring(bench, delay=5.0)
    bench.pass_time(5.0)
    bench.pass_time(3.0)
    bench.succeed(child, "null")
    bench.pass_time(4.9)
    assert child.end().state is State.QUEUED
    bench.pass_time(0.1)
    assert child.end().state is State.RUNNING


def test_errors_use_retries_first_and_then_end_it() -> None:
    bench = Bench(concurrency=2)
    _, child = recurring(bench, retries=1)
    bench.fail(child)
    assert child.end().trigger == "retry"
    bench.succeed(child.end(), "null")
    assert (child.end().trigger, child.end().streak) == ("recurrence", 0)
    bench.fail(child.end())
    bench.fail(child.end())
    assert (child.end().attempt, child.end().state) == (4, State.FAILED)


def test_a_process_that_is_not_clean_is_waited_for() -> None:
    bench = Bench(concurrency=2)
    _, child = recurring(bench)
    worker = bench.worker_of(child)
    bench.returned(child, succeeded("null"), unclean="a thread is left")
    assert child.end().state is State.QUEUED
    bench.exit(worker)
    assert child.end().state is State.RUNNING


def test_cancelling_the_handle_ends_it() -> None:
    bench = Bench(concurrency=2)
    _, child = recurring(bench, delay=1.0)
    bench.pass_time(1.0)
    bench.succeed(child, "null")
    bench.cancel(child)
    assert child.end().state is State.CANCELLED


# -- what is kept -----------------------------------------------------------------------------------------------------


def recur(bench: Bench, child: Execution, times: int) -> list[str]:
    for _ in range(times):
        bench.succeed(child.end(), "null")
    return [execution.id for effects in bench.effects for execution in effects.pruned]


def test_old_attempts_are_pruned_but_for_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "KEPT_RECURRENCES", KEPT)
    bench = Bench(concurrency=2)
    root, child = recurring(bench)
    request = bench.wait(root, child)
    assert recur(bench, child, 6) == ["R1:2:2", "R1:2:3", "R1:2:4"]
    assert [one.attempt for one in child.step.executions] == [1, 5, 6, 7]
    assert bench.scheduler.find("R1:2:2") is None
    bench.succeed(child.end(), "7")
    assert bench.answer(request).ended is child.end()
    assert child.end().attempt == 7


def test_what_it_submitted_is_pruned_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "KEPT_RECURRENCES", KEPT)
    bench = Bench(concurrency=9)
    _, child = recurring(bench)
    bench.succeed(child, "null")
    below = bench.submit(child.end(), "workflow", type="workflow")
    leaf = bench.submit(below.end(), "leaf")
    bench.succeed(leaf)
    bench.succeed(below.end())
    recur(bench, child, 5)
    assert [bench.scheduler.find(one.id) for one in (below, below.end(), leaf)] == [None, None, None]
    assert list(bench.scheduler.runs) == ["R1"]
    assert len(bench.scheduler.families["R1"].runs) == 1


def test_what_is_unfinished_or_shared_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "KEPT_RECURRENCES", KEPT)
    bench = Bench(concurrency=9)
    root, child = recurring(bench)
    bench.succeed(child, "null")
    with_shared = child.end()
    shared = bench.submit(with_shared, "shared", memo=True)
    bench.succeed(shared)
    assert bench.submit(root, "shared", memo=True) is shared
    bench.succeed(with_shared, "null")
    with_unfinished = child.end()
    unfinished = bench.submit(with_unfinished, "slow")
    assert recur(bench, child, 4) == ["R1:2:4"]
    bench.succeed(unfinished)
    assert recur(bench, child, 1) == ["R1:2:4", with_unfinished.id, "R1:2:5"]
    assert bench.scheduler.find(shared.id) is shared


def test_what_is_pruned_is_not_shared_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "KEPT_RECURRENCES", KEPT)
    bench = Bench(concurrency=3)
    _, child = recurring(bench)
    bench.succeed(child, "null")
    old = bench.submit(child.end(), "memoised", memo=True)
    bench.succeed(old)
    recur(bench, child, 5)
    assert bench.scheduler.find(old.id) is None
    new = bench.submit(child.end(), "memoised", memo=True)
    assert (new is not old, new.state) == (True, State.RUNNING)


def test_a_pruned_attempt_lets_go_of_what_it_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "KEPT_RECURRENCES", KEPT)
    bench = Bench(concurrency=3)
    root, child = recurring(bench)
    common = bench.submit(root, "common", memo=True)
    bench.succeed(child, "null")
    assert bench.submit(child.end(), "common", memo=True) is common
    recur(bench, child, 5)
    assert common.step.shared_by == []


@pytest.mark.parametrize(("options", "workspace"), [({}, "dev"), ({"type": "workflow"}, "default")])
def test_what_is_executed_again_is_kept(
    options: dict[str, Any], workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endings, "KEPT_RECURRENCES", KEPT)
    bench = Bench(concurrency=9)
    _, child = recurring(bench)
    bench.succeed(child, "null")
    step = bench.submit(child.end(), "step", **options).end()
    bench.succeed(step)
    again = bench.rerun(step, workspace)
    assert "R1:2:2" not in recur(bench, child, 5)
    bench.succeed(again)
    assert "R1:2:2" in recur(bench, child, 1)
    assert bench.scheduler.find(again.id) is None


def test_all_that_is_pruned_lets_go_of_what_it_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a step that it has two handles of: the first attempt, and one that somebody asked for later."""
    monkeypatch.setattr(endings, "KEPT_RECURRENCES", KEPT)
    bench = Bench(concurrency=5)
    root, child = recurring(bench)
    common = bench.submit(root, "common", memo=True)
    bench.succeed(child, "null")
    below = bench.submit(child.end(), "below")
    assert bench.submit(below, "common", memo=True) is common
    bench.cancel(common)
    again = bench.rerun(common)
    assert bench.submit(below, "common", memo=True) is again
    bench.succeed(below)
    recur(bench, child, 5)
    assert bench.scheduler.find(below.id) is None
    assert common.step.shared_by == []
