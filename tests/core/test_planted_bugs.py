"""The simulation is worth what it catches: bugs are planted one at a time, and a few hundred lives must find each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from coflux.executor.core import events as ev
from coflux.executor.core import scheduler as scheduler_module
from coflux.executor.core.commands import StartWorker
from coflux.executor.core.queue import FairQueue
from coflux.executor.core.scheduler import Scheduler
from coflux.executor.core.state import Execution, Family, Instant, InvalidTransition, State, Wait, Worker, WorkerState
from tests.core.invariants import Broken
from tests.core.simulation import Simulation, Stuck

SEEDS = 300

Method = Callable[..., Any]
PLANTED: list[tuple[object, str, Callable[[Method], Method]]] = []


def plant(owner: object, method: str) -> Callable[[Callable[[Method], Method]], Callable[[Method], Method]]:
    """Register a bug: a function that is given the right method and returns the wrong one."""

    def register(bug: Callable[[Method], Method]) -> Callable[[Method], Method]:
        PLANTED.append((owner, method, bug))
        return bug

    return register


# -- workers ----------------------------------------------------------------------------------------------------------


@plant(Scheduler, "_worker_exited")
def a_dead_worker_stays_idle(right: Method) -> Method:
    def wrong(self: Scheduler, event: ev.WorkerExited, now: Instant) -> None:
        worker = self.workers.get(event.worker)
        idle = worker is not None and worker.state is WorkerState.IDLE
        right(self, event, now)
        if worker is not None and idle:
            worker.host.idle.append(worker)

    return wrong


@plant(Scheduler, "_now_idle")
def what_a_free_worker_took_over_is_also_left_to_the_starting_one(right: Method) -> Method:
    def wrong(self: Scheduler, worker: Worker, now: Instant) -> None:
        starting = {w: w.execution for w in worker.host.workers.values() if w.state is WorkerState.STARTING}
        right(self, worker, now)
        for other, execution in starting.items():
            other.execution = execution

    return wrong


@plant(Scheduler, "_start_lost")
def an_execution_is_forgotten_when_its_worker_dies_starting(right: Method) -> Method:
    def wrong(self: Scheduler, execution: Execution, evidence: str, now: Instant) -> None:
        self._give_slot_back(execution)

    return wrong


@plant(Scheduler, "_worker_refused")
def a_refused_worker_keeps_the_slot(right: Method) -> Method:
    def wrong(self: Scheduler, event: ev.WorkerRefused, now: Instant) -> None:
        worker = self.workers.pop(event.worker)
        worker.host.workers.pop(worker.id)
        if worker.execution is not None:
            worker.execution.worker = None
            self._enqueue(worker.execution, 0.1, now)

    return wrong


@plant(Scheduler, "_host_lost")
def a_lost_host_still_serves_its_families(right: Method) -> Method:
    def wrong(self: Scheduler, host_id: int) -> None:
        self.hosts.pop(host_id, None)

    return wrong


# -- slots ------------------------------------------------------------------------------------------------------------


@plant(Scheduler, "_give_slot_back")
def a_waiting_execution_keeps_its_slot(right: Method) -> Method:
    def wrong(self: Scheduler, execution: Execution) -> None:
        if not execution.unfinished or execution.state is State.QUEUED:
            right(self, execution)

    return wrong


@plant(Scheduler, "_answer")
def an_answered_execution_takes_no_slot(right: Method) -> Method:
    def wrong(self: Scheduler, wait: Wait) -> None:
        held = wait.execution.holds_slot
        right(self, wait)
        if not held:
            self._give_slot_back(wait.execution)

    return wrong


@plant(Scheduler, "_next_resumable")
def starting_goes_before_resuming(right: Method) -> Method:
    def wrong(self: Scheduler, startable: Execution | None) -> Wait | None:
        wait: Wait | None = right(self, None) if startable is None else None
        return wait

    return wrong


@plant(Scheduler, "_has_room")
def nobody_starts_while_those_with_a_slot_wait_for_them(right: Method) -> Method:
    def wrong(self: Scheduler) -> bool:
        return self.active < self.concurrency

    return wrong


@plant(Scheduler, "_has_room")
def there_is_always_room(right: Method) -> Method:
    return lambda self: True


@plant(FairQueue, "slot_given_back")
def a_family_stays_in_the_bucket_of_the_slots_it_had(right: Method) -> Method:
    def wrong(self: FairQueue, family: Family) -> None:
        family.active -= 1

    return wrong


# -- waiting ----------------------------------------------------------------------------------------------------------


@plant(Scheduler, "_plan_retry")
def waiters_do_not_move_to_the_next_attempt(right: Method) -> Method:
    def wrong(self: Scheduler, execution: Execution, now: Instant, *, crashed: bool) -> None:
        right(self, execution, now, crashed=crashed)
        if execution.successor is not None:
            execution.waiters.clear()

    return wrong


@plant(Scheduler, "_next_resumable")
def an_answer_that_a_cap_withholds_is_forgotten(right: Method) -> Method:
    def wrong(self: Scheduler, startable: Execution | None) -> Wait | None:
        while self._resumable:
            wait = self._resumable.popleft()
            family = wait.execution.step.run.family
            if not wait.over and (family.cap is None or family.active < family.cap):
                return wait
        return None

    return wrong


@plant(scheduler_module, "_gathers")
def anything_may_start_before_an_answer(right: Method) -> Method:
    return lambda wait, startable: startable is not None


@plant(scheduler_module, "_gathers")
def one_child_after_another_starts_before_an_answer(right: Method) -> Method:
    return lambda wait, startable: startable is not None and startable.step.parent is wait.execution


@plant(scheduler_module, "closed_cycle")
def cycles_are_not_seen(right: Method) -> Method:
    return lambda waiter, targets: None


@plant(Scheduler, "_expire_wait")
def an_expired_poll_waits_for_a_slot(right: Method) -> Method:
    def wrong(self: Scheduler, wait: Wait) -> None:
        if self._has_room():
            right(self, wait)

    return wrong


@plant(Scheduler, "_start_polled")
def a_polled_handle_cannot_start(right: Method) -> Method:
    return lambda self, execution, targets, now: None


# -- endings ----------------------------------------------------------------------------------------------------------


@plant(Scheduler, "_cancel")
def a_cancel_does_not_reach_grandchildren(right: Method) -> Method:
    def wrong(self: Scheduler, roots: list[Execution], now: Instant, *, immediate: bool) -> None:
        children = {child: child.children for root in roots for child in root.children}
        for child in children:
            child.children = []
        right(self, roots, now, immediate=immediate)
        for child, grandchildren in children.items():
            child.children = grandchildren

    return wrong


@plant(Scheduler, "_cancel")
def a_cancel_does_not_follow_retries(right: Method) -> Method:
    def wrong(self: Scheduler, roots: list[Execution], now: Instant, *, immediate: bool) -> None:
        right(self, [root for root in roots if root.successor is None], now, immediate=immediate)

    return wrong


@plant(Scheduler, "_time_out")
def a_timeout_leaves_the_children_running(right: Method) -> Method:
    def wrong(self: Scheduler, execution: Execution, now: Instant) -> None:
        children, execution.children = execution.children, []
        right(self, execution, now)
        execution.children = children

    return wrong


@plant(Scheduler, "_plan_retry")
def the_next_attempt_does_not_wait_for_the_process_of_the_last(right: Method) -> Method:
    def wrong(self: Scheduler, execution: Execution, now: Instant, *, crashed: bool) -> None:
        family = execution.step.run.family
        leaving, family.leaving = family.leaving, set()
        right(self, execution, now, crashed=crashed)
        family.leaving = leaving

    return wrong


@plant(Scheduler, "_enqueue_blocked")
def a_blocked_attempt_is_forgotten_when_the_process_is_gone(right: Method) -> Method:
    return lambda self, successor, now: None


@plant(Scheduler, "_returned")
def a_late_report_changes_the_outcome(right: Method) -> Method:
    def wrong(self: Scheduler, event: ev.Returned, now: Instant) -> None:
        execution = self.find(event.execution)
        right(self, event, now)
        if execution is not None:
            execution.outcome = event.outcome

    return wrong


@plant(Scheduler, "_speaking")
def a_worker_that_is_being_killed_is_heard(right: Method) -> Method:
    def wrong(self: Scheduler, worker_id: int) -> Execution | None:
        if worker_id in self.workers:
            for family in self.families.values():
                for execution in family.executions.values():
                    if execution.worker is self.workers[worker_id]:
                        return execution
        return None

    return wrong


@plant(Scheduler, "_check_settled")
def a_family_settles_before_its_processes_are_gone(right: Method) -> Method:
    def wrong(self: Scheduler, family: Family) -> None:
        leaving, family.leaving = family.leaving, set()
        right(self, family)
        family.leaving = leaving

    return wrong


@plant(Scheduler, "_assign")
def a_hand_over_is_not_written(right: Method) -> Method:
    def wrong(self: Scheduler, worker: Worker, execution: Execution, now: Instant) -> None:
        written = execution in self._effects.executions
        right(self, worker, execution, now)
        if not written:
            del self._effects.executions[execution]

    return wrong


@plant(Scheduler, "adopt_execution")
def a_retry_does_not_count_as_unfinished(right: Method) -> Method:
    def wrong(self: Scheduler, execution: Execution) -> None:
        right(self, execution)
        if execution.attempt > 1:
            execution.step.run.family.unfinished -= 1

    return wrong


@plant(Scheduler, "_command")
def a_worker_is_never_started(right: Method) -> Method:
    def wrong(self: Scheduler, command: object) -> None:
        if not isinstance(command, StartWorker) or command.worker % 4:
            right(self, command)

    return wrong


@pytest.mark.parametrize(("owner", "method", "bug"), PLANTED, ids=[bug.__name__ for _, _, bug in PLANTED])
def test_the_simulation_catches(
    owner: object, method: str, bug: Callable[[Method], Method], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, method, bug(getattr(owner, method)))
    with pytest.raises((Broken, Stuck, InvalidTransition)):
        live(SEEDS)


def live(seeds: int) -> None:
    for seed in range(seeds):
        Simulation(seed).run()
