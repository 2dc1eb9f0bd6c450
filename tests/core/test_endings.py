"""How executions end: outcomes and retries, cancels, timeouts; workers that die, hosts that come and go."""

from __future__ import annotations

from typing import Any

import pytest

from coflux.executor.core import events as ev
from coflux.executor.core.commands import HandOver, KillWorker, RetireWorker, StartWorker
from coflux.executor.core.state import Execution, State
from coflux.executor.messages import Failed, Terminated
from coflux.task_options import RetryOptions
from tests.core.bench import Bench
from tests.core.factories import USAGE, failed, succeeded


def end_of(execution: Execution) -> State:
    return execution.end().state


# -- retries ----------------------------------------------------------------------------------------------------------


def test_waiters_wait_through_retries() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    child = bench.submit(root, retries=2)
    request = bench.wait(root, child)
    bench.fail(child)
    bench.fail(child.end())
    assert bench.answers(request) == []
    last = child.end()
    bench.succeed(last)
    assert (last.id, last.streak) == ("R1:2:3", 2)
    assert bench.answer(request).ended is last


def test_a_failure_is_final_when_the_retries_are_used_up() -> None:
    bench = Bench()
    root = bench.run(retries=1)
    bench.fail(root)
    assert bench.finished() == []
    bench.fail(root.end())
    assert (end_of(root), root.end().attempt) == (State.FAILED, 2)
    assert bench.finished() == ["R1 failed"]


def test_a_failure_that_the_retry_filter_refused_is_final() -> None:
    bench = Bench()
    root = bench.run(retries=5)
    bench.fail(root, retryable=False)
    assert root.successor is None
    assert bench.settled() == ["R1 failed"]


@pytest.mark.parametrize(("attempt", "delay"), [(1, 2.0), (2, 5.0), (3, 8.0)])
def test_the_backoff_grows_from_the_shortest_to_the_longest(attempt: int, delay: float) -> None:
    bench = Bench()
    root = bench.run(retries=RetryOptions(3, 2.0, 8.0))
    for _ in range(attempt - 1):
        bench.fail(root.end())
        bench.pass_time(10.0)
    bench.fail(root.end())
    bench.pass_time(delay - 0.01)
    assert root.end().state is State.QUEUED
    bench.pass_time(0.02)
    assert root.end().state is State.RUNNING


def test_a_failing_parent_leaves_its_children_running() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    child = bench.submit(root)
    bench.fail(root)
    assert child.state is State.RUNNING
    assert (bench.finished(), bench.settled()) == (["R1 failed"], [])
    bench.succeed(child)
    assert bench.settled() == ["R1 failed"]


def test_an_unclean_worker_leaves_and_the_next_attempt_waits_until_it_is_gone() -> None:
    bench = Bench()
    root = bench.run(retries=1)
    worker = bench.worker_of(root)
    assert RetireWorker(worker) in bench.fail(root, unclean="thread 'poller' is alive")
    successor = root.end()
    assert (successor.state, successor.reason) == (State.QUEUED, "waiting for the previous attempt's process to end")
    bench.pass_time(60.0)
    assert bench.started() == [root.id]
    bench.exit(worker)
    assert bench.started() == [root.id, successor.id]
    assert bench.worker_of(successor) != worker


def test_the_backoff_runs_while_the_previous_process_ends() -> None:
    bench = Bench()
    root = bench.run(retries=RetryOptions(1, 5.0, 5.0))
    worker = bench.worker_of(root)
    bench.fail(root, unclean="a child process is alive")
    bench.pass_time(3.0)
    bench.exit(worker)
    bench.pass_time(1.9)
    assert root.end().state is State.QUEUED
    bench.pass_time(0.2)
    assert root.end().state is State.RUNNING


def test_a_family_settles_when_its_last_process_is_gone() -> None:
    bench = Bench()
    root = bench.run()
    worker = bench.worker_of(root)
    bench.succeed(root, unclean="a thread is alive")
    assert (bench.finished(), bench.settled()) == (["R1 succeeded"], [])
    bench.exit(worker)
    assert bench.settled() == ["R1 succeeded"]


def test_without_reuse_every_execution_gets_its_own_process() -> None:
    bench = Bench(reuse=False)
    root = bench.run()
    child = bench.submit(root)
    assert RetireWorker(1) in bench.succeed(root)
    assert bench.worker_of(child) == 2


def test_a_clean_worker_is_used_again() -> None:
    bench = Bench()
    root = bench.run()
    children = [bench.submit(root) for _ in range(3)]
    bench.succeed(root)
    for child in children:
        bench.succeed(child)
    assert [command.worker for command in bench.told(HandOver)] == [1, 1, 1, 1]


# -- processes that die -----------------------------------------------------------------------------------------------


def test_a_process_that_ends_without_an_outcome_abandons_its_execution() -> None:
    bench = Bench()
    root = bench.run()
    bench.exit(bench.worker_of(root), "killed by SIGSEGV")
    assert root.outcome == Terminated("abandoned", "killed by SIGSEGV")
    assert bench.settled() == ["R1 abandoned"]


def test_a_crash_is_retried_no_sooner_than_after_a_second() -> None:
    bench = Bench()
    root = bench.run(retries=1)
    bench.exit(bench.worker_of(root))
    bench.pass_time(0.9)
    assert root.end().state is State.QUEUED
    bench.pass_time(0.2)
    assert root.end().state is State.RUNNING


def test_a_worker_that_dies_idle_is_not_used_again() -> None:
    bench = Bench()
    bench.succeed(bench.run())
    bench.exit(1)
    root = bench.run()
    assert (root.state, bench.worker_of(root)) == (State.RUNNING, 2)


def test_a_late_report_changes_nothing() -> None:
    bench = Bench()
    root = bench.run(timeout=1.0)
    report = bench.return_of(root, succeeded())
    bench.pass_time(1.0)
    outcome = root.outcome
    bench.handle(report)
    assert (root.state, root.outcome) == (State.TIMED_OUT, outcome)


def test_an_execution_fails_when_its_third_worker_dies_before_it_is_ready() -> None:
    bench = Bench()
    bench.workers_start = False
    root = bench.run(retries=5)
    for worker in (1, 2):
        bench.exit(worker)
        assert (root.state, bench.scheduler.slots.active) == (State.QUEUED, 0)
        bench.pass_time(1.0)
    bench.exit(3, "killed by SIGKILL")
    assert isinstance(root.outcome, Failed)
    assert root.outcome.failure.message == (
        "3 worker processes ended before they were ready; the last: killed by SIGKILL"
    )
    assert bench.settled() == ["R1 failed"]


def test_an_execution_fails_when_no_process_can_be_started_and_nobody_will_finish() -> None:
    bench = Bench()
    bench.workers_start = False
    root = bench.run()
    bench.handle(ev.WorkerRefused(1, "the limit of 512 processes is reached (ulimit -u)"))
    assert isinstance(root.outcome, Failed)
    assert root.outcome.failure.message == "the limit of 512 processes is reached (ulimit -u)"


def test_a_refused_worker_is_asked_for_again_while_somebody_may_finish() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    bench.workers_start = False
    child = bench.submit(root)
    bench.handle(ev.WorkerRefused(2, "no more processes"))
    assert (child.state, child.holds_slot) == (State.QUEUED, False)
    bench.pass_time(0.2)
    assert bench.told(StartWorker)[-1].worker == 3
    bench.wait(root, child)
    bench.handle(ev.WorkerRefused(3, "no more processes"))
    assert child.state is State.FAILED  # the only other process waits for it


def test_a_free_worker_takes_over_what_another_is_being_started_for() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    bench.workers_start = False
    child = bench.submit(root)
    bench.succeed(root)
    assert bench.worker_of(child) == 1
    bench.handle(ev.WorkerReady(2, 1002))
    other = bench.run()
    assert bench.worker_of(other) == 2


# -- cancelling -------------------------------------------------------------------------------------------------------


def test_cancelling_what_is_queued_or_delayed() -> None:
    bench = Bench(concurrency=1)
    root = bench.run()
    queued, delayed = bench.submit(root), bench.submit(root, delay=5.0)
    bench.cancel(queued)
    bench.cancel(delayed)
    assert (queued.state, delayed.state) == (State.CANCELLED, State.CANCELLED)
    bench.succeed(root)
    bench.pass_time(10.0)
    assert bench.started() == [root.id]
    assert bench.settled() == ["R1 succeeded"]


def test_cancelling_what_a_worker_is_being_started_for() -> None:
    bench = Bench()
    bench.workers_start = False
    root = bench.run()
    bench.cancel(root)
    assert (root.state, bench.scheduler.slots.active) == (State.CANCELLED, 0)
    bench.handle(ev.WorkerReady(1, 1001))
    assert bench.worker_of(bench.run()) == 1


def test_cancelling_what_runs_kills_its_process_and_answers_its_waiters() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    child = bench.submit(root, retries=5)
    request = bench.wait(root, child)
    worker = bench.worker_of(child)
    commands = bench.cancel(child)
    assert KillWorker(worker, dump=False, immediate=False) in commands
    assert child.outcome == Terminated("cancelled", "R1:2:1 was cancelled")
    assert (bench.answer(request).ended, child.successor) == (child, None)


def test_a_second_cancel_that_is_immediate_skips_the_grace_period() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    child = bench.submit(root)
    workers = [bench.worker_of(root), bench.worker_of(child)]
    bench.cancel(root)
    assert bench.cancel(root) == []
    assert bench.cancel(root, immediate=True) == [KillWorker(worker, dump=False, immediate=True) for worker in workers]
    bench.exit(workers[0])
    assert bench.cancel(root, immediate=True) == [KillWorker(workers[1], dump=False, immediate=True)]


def test_cancelling_reaches_every_level_below() -> None:
    bench = Bench(concurrency=3)
    root = bench.run()
    chain = [root]
    for _ in range(6):
        chain.append(bench.submit(chain[-1]))
        bench.submit(chain[-2], delay=1.0)
        bench.wait(chain[-2], chain[-1])
    bench.cancel(root)
    executions = root.step.run.family.executions.values()
    assert {execution.state for execution in executions} == {State.CANCELLED}
    for worker in list(bench.scheduler.workers):
        bench.exit(worker)
    assert bench.settled() == ["R1 cancelled"]


def test_cancelling_what_has_finished_keeps_its_outcome_and_reaches_what_is_below() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    child = bench.submit(root)
    bench.succeed(root)
    bench.cancel(root)
    assert (root.state, child.state) == (State.SUCCEEDED, State.CANCELLED)


def test_cancelling_follows_retries_and_reaches_the_children_of_every_attempt() -> None:
    bench = Bench(concurrency=3)
    root = bench.run()
    child = bench.submit(root, retries=1)
    old = bench.submit(child)
    bench.fail(child)
    new = bench.submit(child.end())
    bench.handle(ev.CancelAsked(bench.worker_of(root), ("@1",)))
    assert [child.state, end_of(child), old.state, new.state] == [
        State.FAILED,
        State.CANCELLED,
        State.CANCELLED,
        State.CANCELLED,
    ]


def test_cancelling_an_attempt_that_waits_for_the_process_before_it() -> None:
    bench = Bench()
    root = bench.run(retries=1)
    worker = bench.worker_of(root)
    bench.fail(root, unclean="a thread is alive")
    bench.cancel(root)
    bench.exit(worker)
    assert end_of(root) is State.CANCELLED
    assert bench.started() == [root.id]
    assert bench.settled() == ["R1 cancelled"]


def test_submissions_of_a_cancelled_execution_are_ignored() -> None:
    bench = Bench()
    root = bench.run()
    submission = bench.submission(root)
    bench.handle(ev.CancelRequested(root.id, False), submission)
    assert root.children == []


def test_thousands_of_queued_runs_can_be_cancelled_together() -> None:
    bench = Bench()
    running = bench.run()
    scheduler, now = bench.scheduler, bench.now
    for number in range(5_000):
        scheduler.handle(bench.request(f"Rq{number}"), now)
    for number in range(5_000):
        scheduler.handle(ev.CancelRequested(f"Rq{number}:1:1", False), now)
    scheduler.handle(bench.request("Rlast"), now)
    scheduler.handle(bench.return_of(running, succeeded()), now)
    commands = scheduler.drain(now).commands
    assert [command.execution.id for command in commands if isinstance(command, HandOver)] == ["Rlast:1:1"]


# -- timeouts ---------------------------------------------------------------------------------------------------------


def test_a_timeout_counts_from_the_hand_over_and_waiting_counts_in() -> None:
    bench = Bench()
    root = bench.run(delay=5.0, timeout=2.0)
    bench.pass_time(5.0)
    bench.wait(root, bench.submit(root))
    bench.pass_time(1.9)
    assert root.state is State.RUNNING
    worker = bench.worker_of(root)
    assert KillWorker(worker, dump=True, immediate=False) in bench.pass_time(0.2)
    assert root.outcome == Terminated("timed_out", "R1:1:1 exceeded its timeout of 2 s")


def test_a_timeout_cancels_everything_below() -> None:
    bench = Bench(concurrency=4)
    root = bench.run(timeout=2.0)
    child = bench.submit(root)
    grandchild = bench.submit(child)
    bench.succeed(child)
    bench.pass_time(2.0)
    assert [root.state, child.state, grandchild.state] == [State.TIMED_OUT, State.SUCCEEDED, State.CANCELLED]


def test_a_timed_out_attempt_is_retried_when_its_process_is_gone() -> None:
    bench = Bench(concurrency=4)
    root = bench.run(timeout=2.0, retries=1)
    worker = bench.worker_of(root)
    bench.pass_time(2.0)
    assert bench.started() == ["R1:1:1"]
    bench.exit(worker)
    assert bench.started() == ["R1:1:1", "R1:1:2"]
    bench.pass_time(1.9)
    assert end_of(root) is State.RUNNING
    bench.pass_time(0.2)
    assert end_of(root) is State.TIMED_OUT


def test_what_a_killed_attempt_used_is_recorded_when_its_process_is_gone() -> None:
    bench = Bench()
    root = bench.run(timeout=2.0)
    worker = bench.worker_of(root)
    bench.pass_time(2.0)
    assert (root.state, root.usage) == (State.TIMED_OUT, None)
    bench.handle(ev.WorkerExited(worker, "killed", USAGE))
    assert root.usage == USAGE
    assert root in bench.effects[-1].executions
    assert bench.settled() == ["R1 timed_out"]


def test_what_has_ended_is_not_kept_until_its_time_is_up() -> None:
    bench = Bench(concurrency=2)
    root = bench.run()
    for _ in range(500):
        child = bench.submit(root, timeout=3600.0)
        bench.wait(root, child, timeout=60.0)
        bench.succeed(child)
    assert len(bench.scheduler.deadlines.items()) < 100


def test_a_suspended_machine_trips_no_timeout() -> None:
    bench = Bench()
    root = bench.run(timeout=2.0)
    bench.pass_time(100.0, asleep=99.0)
    assert root.state is State.RUNNING


# -- hosts ------------------------------------------------------------------------------------------------------------


def lose_host(bench: Bench, *workers: int) -> None:
    bench.handle(ev.HostLost(1), *(ev.WorkerExited(worker, "its host is gone", None) for worker in workers))


def test_a_family_whose_host_is_lost_waits_for_another() -> None:
    bench = Bench(concurrency=1)
    root = bench.run()
    child = bench.submit(root)
    lose_host(bench, 1)
    assert (root.state, child.state) == (State.ABANDONED, State.QUEUED)
    bench.handle(ev.HostReady(2, ("R1",)))
    assert child.state is State.RUNNING
    assert bench.told(StartWorker)[-1].host == 2
    bench.succeed(child)
    assert not bench.scheduler.host_in_use(2)


def test_a_retry_goes_to_the_new_host() -> None:
    bench = Bench()
    root = bench.run(retries=1)
    lose_host(bench, 1)
    bench.pass_time(5.0)
    assert end_of(root) is State.QUEUED
    bench.handle(ev.HostReady(2, ("R1",)))
    assert end_of(root) is State.RUNNING
    assert bench.told(StartWorker)[-1].host == 2


def test_a_run_of_another_host_goes_on() -> None:
    bench = Bench(concurrency=2)
    bench.run()
    bench.scheduler.add_host(2)
    bench.host = 2
    other = bench.run()
    lose_host(bench, 1)
    child = bench.submit(other)
    assert child.state is State.RUNNING


def test_a_newer_generation_gets_new_work_and_running_work_stays() -> None:
    bench = Bench(concurrency=3)
    idle, root = bench.run(), bench.run(retries=1)
    bench.succeed(idle)
    bench.handle(ev.HostReady(2, ("R2",)))
    bench.scheduler.supersede_host(1)
    assert RetireWorker(1) in bench.handle()
    child = bench.submit(root)
    assert bench.told(StartWorker)[-1].host == 1
    assert bench.scheduler.host_in_use(1)
    bench.fail(root)
    assert bench.told(StartWorker)[-1].host == 2
    bench.succeed(child)
    for worker in (1, 2, 3):
        bench.exit(worker)
    assert not bench.scheduler.host_in_use(1)


def test_modules_that_do_not_import_fail_what_is_queued_and_what_comes_until_they_do() -> None:
    bench = Bench(concurrency=3)
    root = bench.run(retries=3)
    child = bench.submit(root, delay=60.0)
    crashed = bench.submit(root, retries=1)
    refusal = failed("No module named 'pandas'")
    request = bench.wait(root, child)
    bench.handle(ev.HostLost(1), ev.HostRefused(("R1",), refusal))
    assert (child.state, child.outcome) == (State.FAILED, refusal)
    assert bench.answer(request).ended is child
    request = bench.wait(root, crashed)
    bench.exit(bench.worker_of(crashed))
    bench.pass_time(2.0)
    assert (end_of(crashed), crashed.end().outcome) == (State.FAILED, refusal)
    assert bench.answer(request).ended is crashed.end()
    late = bench.submit(root)
    assert (late.state, late.outcome) == (State.FAILED, refusal)
    bench.handle(ev.HostReady(2, ("R1",)))
    assert bench.submit(root).state is State.RUNNING


def test_work_for_modules_that_do_not_import_fails_also_while_no_slot_is_free() -> None:
    bench = Bench(concurrency=1)
    root = bench.run()
    refusal = failed("No module named 'pandas'")
    bench.handle(ev.HostLost(1), ev.HostRefused(("R1",), refusal))
    child = bench.submit(root)
    assert (root.holds_slot, child.state, child.outcome) == (True, State.FAILED, refusal)
    bench.handle(ev.WorkerExited(bench.worker_of(root), "its host is gone", None))
    assert bench.settled() == ["R1 abandoned"]


@pytest.mark.parametrize("event", [ev.HostLost(9), ev.HostRefused(("R9",), failed()), ev.CancelRequested("R9", False)])
def test_news_of_what_is_gone_is_ignored(event: Any) -> None:
    bench = Bench()
    assert bench.handle(event) == []
