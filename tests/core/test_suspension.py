"""Suspensions: an attempt ends, and the step goes on in another one (behaviour §7.1 and §7.2)."""

from __future__ import annotations

import pytest

from coflux.executor.core import events as ev
from coflux.executor.core.commands import HandOver, KillWorker
from coflux.executor.core.scheduler import UNWINDING
from coflux.executor.core.state import State
from tests.core.bench import Bench
from tests.core.factories import USAGE, WALL, succeeded


def test_the_next_attempt_starts_from_the_first_line_in_the_process_that_has_unwound() -> None:
    bench = Bench()
    root = bench.run(retries=3)
    bench.fail(root)
    second = root.end()
    resumption = bench.suspended(second)
    assert (second.state, second.successor) == (State.SUSPENDED, resumption)
    assert (resumption.trigger, resumption.streak, resumption.state) == ("resumption", 0, State.RUNNING)
    assert bench.told(KillWorker) == []
    assert bench.finished() == []


def test_it_is_still_running_while_it_unwinds() -> None:
    bench = Bench()
    root = bench.run()
    bench.suspend(root)
    assert (root.state, root.holds_slot) == (State.RUNNING, True)


@pytest.mark.parametrize("outcome", ["success", "failure"])
def test_nothing_that_it_returns_counts(outcome: str) -> None:
    bench = Bench()
    root = bench.run()
    bench.suspend(root)
    if outcome == "success":
        bench.returned(root, succeeded("1", "@7"))  # a handle of a submission that was ignored
    else:
        bench.fail(root)
    assert (root.state, root.outcome, root.end().state) == (State.SUSPENDED, None, State.RUNNING)


def test_requests_after_it_are_ignored() -> None:
    bench = Bench(concurrency=3)
    root = bench.run()
    child = bench.submit(root)
    bench.suspend(root)
    worker = bench.worker_of(root)
    bench.handle(bench.submission(root), ev.IdentifyAsked(worker, 9, 2))
    request = bench.wait(root, "@2")
    bench.handle(ev.CancelAsked(worker, ("@1",)), ev.SuspendAsked(worker, 99.0, None, ()))
    assert (root.submissions, root.waits, bench.answers(request), child.state) == ([child], {}, [], State.RUNNING)
    bench.succeed(root)
    assert root.end().state is State.RUNNING


def test_the_delay_counts_from_the_suspension() -> None:
    bench = Bench()
    root = bench.run()
    bench.suspend(root, delay=10.0)
    bench.pass_time(3.0)
    bench.succeed(root)
    bench.pass_time(6.9)
    assert root.end().state is State.QUEUED
    bench.pass_time(0.1)
    assert root.end().state is State.RUNNING


@pytest.mark.parametrize(("until", "delay"), [(WALL + 10.0, 10.0), (WALL - 10.0, 0.0)])
def test_a_given_time_is_on_the_wall_clock(until: float, delay: float) -> None:
    bench = Bench()
    root = bench.run()
    bench.suspend(root, until=until)
    bench.succeed(root)
    bench.pass_time(delay)
    assert root.end().state is State.RUNNING


def test_its_children_go_on() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    child = bench.submit(root)
    bench.suspended(root, delay=5.0)
    assert child.state is State.RUNNING


# -- processes that do not unwind -------------------------------------------------------------------------------------


def test_what_does_not_unwind_is_killed_and_the_next_attempt_waits_for_its_process() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    worker = bench.worker_of(root)
    bench.suspend(root)
    bench.pass_time(UNWINDING - 0.1)
    assert root.state is State.RUNNING
    bench.pass_time(0.1)
    assert [command.worker for command in bench.told(KillWorker)] == [worker]
    assert (root.state, root.end().state) == (State.SUSPENDED, State.QUEUED)
    assert root.end().reason == "waiting for the previous attempt's process to end"
    bench.exit(worker)
    assert root.end().state is State.RUNNING


def test_it_waits_for_the_process_also_if_what_it_awaits_ends_before() -> None:
    bench = Bench(concurrency=3)
    root = bench.run()
    child = bench.submit(root)
    worker = bench.worker_of(root)
    bench.suspend(root, child)
    bench.pass_time(UNWINDING)
    bench.succeed(child)
    assert (root.end().state, root.end().ready) == (State.QUEUED, False)
    bench.exit(worker)
    assert root.end().state is State.RUNNING


def test_it_waits_for_what_it_awaits_also_when_the_process_is_gone() -> None:
    bench = Bench(concurrency=3)
    root = bench.run()
    child = bench.submit(root)
    worker = bench.worker_of(root)
    bench.suspend(root, child)
    bench.pass_time(UNWINDING)
    bench.exit(worker)
    assert root.end().state is State.QUEUED
    bench.succeed(child)
    assert root.end().state is State.RUNNING


def test_a_process_that_unwinds_but_is_not_clean_is_waited_for() -> None:
    bench = Bench(concurrency=3)
    root = bench.run()
    worker = bench.worker_of(root)
    bench.suspend(root)
    bench.succeed(root, unclean="a thread is left")
    assert root.end().state is State.QUEUED
    bench.exit(worker)
    assert root.end().state is State.RUNNING


def test_a_process_that_dies_while_it_unwinds_has_been_suspended() -> None:
    bench = Bench()
    root = bench.run()
    bench.suspend(root)
    bench.exit(bench.worker_of(root))
    assert (root.state, root.end().state, root.end().trigger) == (State.SUSPENDED, State.RUNNING, "resumption")


def test_a_timeout_meanwhile_ends_the_process_and_not_the_step() -> None:
    bench = Bench()
    root = bench.run(timeout=6.0)
    bench.pass_time(4.0)
    bench.suspend(root)
    bench.pass_time(2.0)
    assert (root.state, root.end().state) == (State.SUSPENDED, State.QUEUED)
    assert len(bench.told(KillWorker)) == 1


def test_a_timeout_at_the_same_time() -> None:
    bench = Bench()
    root = bench.run(timeout=UNWINDING)
    bench.suspend(root)
    bench.pass_time(UNWINDING)
    assert (root.state, len(bench.told(KillWorker))) == (State.SUSPENDED, 1)


def test_a_cancel_meanwhile_is_final() -> None:
    bench = Bench()
    root = bench.run()
    bench.suspend(root)
    bench.cancel(root)
    bench.handle(ev.Returned(1, root.id, succeeded(), True, "", USAGE))
    assert (root.state, root.successor) == (State.CANCELLED, None)


def test_cancelling_the_handle_cancels_the_attempt_that_is_to_come() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    child = bench.submit(root)
    request = bench.wait(root, child)
    resumption = bench.suspended(child, delay=10.0)
    bench.cancel(child)
    assert (child.state, resumption.state) == (State.SUSPENDED, State.CANCELLED)
    assert bench.answer(request).ended is resumption


# -- waiting for handles ----------------------------------------------------------------------------------------------


def test_it_goes_on_when_the_handle_resolves() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    child = bench.submit(root, retries=1)
    resumption = bench.suspended(root, child)
    assert resumption.reason == f"waiting for what it was suspended for: {child.id}"
    bench.fail(child)
    assert resumption.state is State.QUEUED
    bench.fail(child.end())
    assert bench.started()[-1] == resumption.id


def test_it_goes_on_when_any_of_them_resolves() -> None:
    bench = Bench(concurrency=3)
    root = bench.run()
    one, two = bench.submit(root), bench.submit(root)
    resumption = bench.suspended(root, one, two)
    bench.succeed(two)
    assert (resumption.state, one.waiters) == (State.RUNNING, [])


def test_it_goes_on_at_once_if_one_has_resolved_meanwhile() -> None:
    bench = Bench(concurrency=3)
    root = bench.run()
    child = bench.submit(root)
    bench.suspend(root, child)
    bench.succeed(child)
    bench.succeed(root)
    assert root.end().state is State.RUNNING


def test_the_limit_of_a_suspense_is_a_look() -> None:
    bench = Bench(concurrency=1)
    root = bench.run()
    child = bench.submit(root)
    request = bench.wait(root, child, timeout=0.0, suspends=True)
    assert (bench.answer(request).index, child.ready) == (-1, True)
    resumption = bench.suspended(root, child)
    assert child.state is State.RUNNING
    bench.succeed(child)
    assert resumption.state is State.RUNNING


def test_endless_suspensions_on_fresh_children_are_warned_of() -> None:
    bench = Bench(concurrency=1)
    root = bench.run()
    for _ in range(2):
        child = bench.submit(root.end())
        bench.suspended(root.end(), child)
        bench.succeed(child)
    warnings = [warning for effects in bench.effects for warning in effects.warnings]
    assert [(execution.id, "child" in text) for execution, text in warnings] == [("R1:1:2", True)]


def test_no_warning_where_the_child_is_memoised() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    child = bench.submit(root, memo=True)
    for _ in range(3):
        assert bench.submit(root.end(), memo=True) is child
        bench.wait(root.end(), child, timeout=0.0, suspends=True)
        bench.suspend(root.end(), child)
        bench.exit(bench.worker_of(root.end()))
        if child.state is State.RUNNING:
            bench.succeed(child)
    assert not any(effects.warnings for effects in bench.effects)


# -- cycles -----------------------------------------------------------------------------------------------------------


def test_a_suspense_that_closes_a_cycle_is_an_error() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    child = bench.submit(root, given=[root])
    bench.wait(child, root)
    assert "closes a cycle" in bench.answer(bench.wait(root, child, timeout=5.0, suspends=True)).error


def test_a_wait_for_what_is_suspended_for_the_waiter_is_an_error() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    child = bench.submit(root, given=[root])
    bench.suspended(root, child)
    assert "closes a cycle" in bench.answer(bench.wait(child, root)).error


def test_a_suspension_that_comes_to_close_a_cycle_is_told_of_it_when_it_asks_again() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    child = bench.submit(root, given=[root])
    bench.wait(root, child, timeout=5.0, suspends=True)
    request = bench.wait(child, root)
    assert bench.answers(request) == []
    bench.pass_time(5.0)
    resumption = bench.suspended(root, child)
    assert (resumption.state, resumption.hold) == (State.RUNNING, None)
    assert "closes a cycle" in bench.answer(bench.wait(resumption, child, timeout=5.0, suspends=True)).error
    bench.fail(resumption)
    assert bench.answer(request).ended is resumption


def test_a_suspension_for_itself_goes_on_at_once() -> None:
    bench = Bench()
    root = bench.run()
    assert bench.suspended(root, root).state is State.RUNNING
    assert [command.execution.attempt for command in bench.told(HandOver)] == [1, 2]
