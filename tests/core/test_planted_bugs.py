"""The simulation is worth what it catches: bugs in the handling of processes, slots, waits and endings."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from coflux.executor.core import events as ev
from coflux.executor.core import scheduler, waiting
from coflux.executor.core.admission import Admission
from coflux.executor.core.endings import Endings
from coflux.executor.core.fleet import Fleet
from coflux.executor.core.placement import Placement
from coflux.executor.core.queue import Queues
from coflux.executor.core.register import Register
from coflux.executor.core.routing import Router, matches
from coflux.executor.core.scheduler import Scheduler
from coflux.executor.core.slots import Slots
from coflux.executor.core.state import (
    Execution,
    Family,
    Host,
    Instant,
    Pool,
    Requirements,
    Route,
    Site,
    SiteKey,
    State,
    Wait,
    Worker,
    WorkerState,
)
from coflux.executor.core.waiting import Waits
from coflux.executor.messages import Outcome
from tests.core.planting import Method, Planted, catches, plant

PLANTED: Planted = []


# -- workers ----------------------------------------------------------------------------------------------------------


@plant(PLANTED, Fleet, "remove")
def a_dead_worker_stays_idle(right: Method) -> Method:
    def wrong(self: Fleet, worker_id: int) -> Worker | None:
        worker: Worker | None = right(self, worker_id)
        if worker is not None and worker.state is WorkerState.IDLE:
            worker.host.idle.append(worker)
        return worker

    return wrong


@plant(PLANTED, Fleet, "now_idle")
def what_a_free_worker_took_over_is_also_left_to_the_starting_one(right: Method) -> Method:
    def wrong(self: Fleet, worker: Worker, now: Instant) -> None:
        starting = {w: w.execution for w in worker.host.workers.values() if w.state is WorkerState.STARTING}
        right(self, worker, now)
        for other, execution in starting.items():
            other.execution = execution

    return wrong


@plant(PLANTED, Scheduler, "_start_lost")
def an_execution_is_forgotten_when_its_worker_dies_starting(right: Method) -> Method:
    def wrong(self: Scheduler, execution: Execution, evidence: str, now: Instant) -> None:
        self.slots.give_back(execution)

    return wrong


@plant(PLANTED, Scheduler, "_worker_refused")
def a_refused_worker_keeps_the_slot(right: Method) -> Method:
    def wrong(self: Scheduler, event: ev.WorkerRefused, now: Instant) -> None:
        worker = self.fleet.remove(event.worker)
        if worker is not None and worker.execution is not None:
            self.admission.enqueue(worker.execution, 0.1, now)

    return wrong


@plant(PLANTED, Fleet, "lose_host")
def a_lost_host_still_serves_its_families(right: Method) -> Method:
    def wrong(self: Fleet, host_id: int) -> Host | None:
        right(self, host_id)
        return None

    return wrong


# -- slots ------------------------------------------------------------------------------------------------------------


@plant(PLANTED, Slots, "give_back")
def a_waiting_execution_keeps_its_slot(right: Method) -> Method:
    def wrong(self: Slots, execution: Execution) -> None:
        if not execution.unfinished or execution.state is State.QUEUED:
            right(self, execution)

    return wrong


@plant(PLANTED, Waits, "answer")
def an_answered_execution_takes_no_slot(right: Method) -> Method:
    def wrong(self: Waits, wait: Wait) -> None:
        held = wait.execution.holds_slot
        right(self, wait)
        if not held:
            self._slots.give_back(wait.execution)

    return wrong


@plant(PLANTED, Waits, "next_resumable")
def starting_goes_before_resuming(right: Method) -> Method:
    def wrong(self: Waits, pool: Pool, startable: Execution | None, now: Instant) -> Wait | None:
        wait: Wait | None = right(self, pool, None, now) if startable is None else None
        return wait

    return wrong


@plant(PLANTED, Pool, "has_room")
def nobody_starts_while_those_with_a_slot_wait_for_them(right: Method) -> Method:
    def wrong(self: Pool) -> bool:
        return self.active < self.group.concurrency

    return wrong


@plant(PLANTED, Pool, "has_room")
def there_is_always_room(right: Method) -> Method:
    return lambda self: True


@plant(PLANTED, Queues, "slot_given_back")
def a_family_stays_in_the_bucket_of_the_slots_it_had(right: Method) -> Method:
    def wrong(self: Queues, family: Family) -> None:
        family.active -= 1

    return wrong


# -- worker groups and sites ------------------------------------------------------------------------------------------


@plant(PLANTED, Router, "_find")
def requirements_do_not_count(right: Method) -> Method:
    return lambda self, module, requires, home: right(self, module, {}, home)


@plant(PLANTED, Router, "_find")
def the_interpreter_does_not_count(right: Method) -> Method:
    def wrong(self: Router, module: str, requires: Requirements, home: str) -> Route | None:
        pools = tuple(pool for pool in self._pools if matches(pool.group, requires) and pool.group.hosts(module))
        return self._interned(pools) if pools else None

    return wrong


@plant(PLANTED, Placement, "_site")
def all_code_is_at_home(right: Method) -> Method:
    return lambda self, step, python: step.run.family.home


@plant(PLANTED, Placement, "host_ready")
def who_waits_for_a_host_is_forgotten(right: Method) -> Method:
    def wrong(self: Placement, family: Family, host: Host) -> list[Execution]:
        right(self, family, host)
        return []

    return wrong


@plant(PLANTED, Placement, "host_lost")
def what_was_ready_at_a_lost_host_stays_ready(right: Method) -> Method:
    def wrong(self: Placement, family: Family, host: Host) -> None:
        site = family.sites.get(host.key)
        if site is not None and site.host is host:
            site.host = None

    return wrong


@plant(PLANTED, Placement, "host_refused")
def stubs_that_are_looked_for_in_vain_wait_for_ever(right: Method) -> Method:
    def wrong(self: Placement, family: Family, key: SiteKey | None, outcome: Outcome) -> None:
        if key is None:
            right(self, family, key, outcome)

    return wrong


@plant(PLANTED, Placement, "_request")
def a_host_is_never_asked_for(right: Method) -> Method:
    def wrong(self: Placement, family: Family, site: Site) -> None:
        site.requested = True

    return wrong


@plant(PLANTED, Queues, "withdraw")
def what_waits_for_a_host_starts_although_it_was_cancelled(right: Method) -> Method:
    def wrong(self: Queues, execution: Execution) -> None:
        if execution.ready:
            right(self, execution)

    return wrong


@plant(PLANTED, scheduler, "why_stuck")
def nobody_is_told_that_a_run_can_never_get_on(right: Method) -> Method:
    return lambda family: None


@plant(PLANTED, scheduler, "why_stuck")
def a_run_is_given_up_for_one_step(right: Method) -> Method:
    return lambda family: "one of its steps has no group"


# -- waiting ----------------------------------------------------------------------------------------------------------


@plant(PLANTED, Endings, "_plan_retry")
def waiters_do_not_move_to_the_next_attempt(right: Method) -> Method:
    def wrong(self: Endings, execution: Execution, now: Instant, *, crashed: bool) -> Execution | None:
        successor: Execution | None = right(self, execution, now, crashed=crashed)
        if successor is not None:
            execution.waiters.clear()
        return successor

    return wrong


@plant(PLANTED, Waits, "next_resumable")
def an_answer_that_a_cap_withholds_is_forgotten(right: Method) -> Method:
    def wrong(self: Waits, pool: Pool, startable: Execution | None, now: Instant) -> Wait | None:
        while pool.resumable:
            wait = pool.resumable.popleft()
            family = wait.execution.step.run.family
            if not wait.over and (family.cap is None or family.active < family.cap):
                return wait
        return None

    return wrong


@plant(PLANTED, waiting, "_gathers")
def anything_may_start_before_an_answer(right: Method) -> Method:
    return lambda wait, startable, now: startable is not None


@plant(PLANTED, waiting, "_gathers")
def one_child_after_another_starts_before_an_answer(right: Method) -> Method:
    return lambda wait, startable, now: startable is not None and startable.step.parent is wait.execution


@plant(PLANTED, waiting, "closed_cycle")
def cycles_are_not_seen(right: Method) -> Method:
    return lambda waiter, targets: None


@plant(PLANTED, Waits, "expire")
def an_expired_poll_waits_for_a_slot(right: Method) -> Method:
    def wrong(self: Waits, wait: Wait) -> None:
        pool = wait.execution.pool
        if pool is not None and pool.has_room():
            right(self, wait)

    return wrong


@plant(PLANTED, Waits, "_start_polled")
def a_polled_handle_cannot_start(right: Method) -> Method:
    return lambda self, execution, targets, now: None


@plant(PLANTED, Waits, "_start_polled")
def a_poll_starts_all_that_is_ready(right: Method) -> Method:
    def wrong(self: Waits, execution: Execution, targets: list[Execution], now: Instant) -> None:
        family = execution.step.run.family
        right(self, execution, targets, now)
        for other in list(family.executions.values()):
            if (
                other.ready
                and other.step.route is not None
                and not self._slots.free_for(family, other.step.route.pools)
            ):
                self._slots.queue.withdraw(other)
                self._fleet.hand_over(other, other.step.route.pools[0], now)

    return wrong


# -- endings ----------------------------------------------------------------------------------------------------------


@plant(PLANTED, Endings, "cancel")
def a_cancel_does_not_reach_grandchildren(right: Method) -> Method:
    def wrong(self: Endings, roots: list[Execution], now: Instant, *, immediate: bool = False) -> None:
        children = {child: child.children for root in roots for child in root.children}
        for child in children:
            child.children = []
        right(self, roots, now, immediate=immediate)
        for child, grandchildren in children.items():
            child.children = grandchildren

    return wrong


@plant(PLANTED, Endings, "cancel")
def a_cancel_does_not_follow_retries(right: Method) -> Method:
    def wrong(self: Endings, roots: list[Execution], now: Instant, *, immediate: bool = False) -> None:
        right(self, [root for root in roots if root.successor is None], now, immediate=immediate)

    return wrong


@plant(PLANTED, Endings, "time_out")
def a_timeout_leaves_the_children_running(right: Method) -> Method:
    def wrong(self: Endings, execution: Execution, now: Instant) -> None:
        children, execution.children = execution.children, []
        right(self, execution, now)
        execution.children = children

    return wrong


@plant(PLANTED, Endings, "_plan_retry")
def the_next_attempt_does_not_wait_for_the_process_of_the_last(right: Method) -> Method:
    def wrong(self: Endings, execution: Execution, now: Instant, *, crashed: bool) -> None:
        family = execution.step.run.family
        leaving, family.leaving = family.leaving, set()
        right(self, execution, now, crashed=crashed)
        family.leaving = leaving

    return wrong


@plant(PLANTED, Admission, "release")
def a_blocked_attempt_is_forgotten_when_the_process_is_gone(right: Method) -> Method:
    return lambda self, worker, now: None


@plant(PLANTED, Scheduler, "_returned")
def a_late_report_changes_the_outcome(right: Method) -> Method:
    def wrong(self: Scheduler, event: ev.Returned, now: Instant) -> None:
        execution = self.find(event.execution)
        right(self, event, now)
        if execution is not None:
            execution.outcome = event.outcome

    return wrong


@plant(PLANTED, Fleet, "running_on")
def a_worker_that_is_being_killed_is_heard(right: Method) -> Method:
    def wrong(self: Fleet, worker_id: int) -> Execution | None:
        worker = self.workers.get(worker_id)
        return None if worker is None else worker.execution or worker.killed

    return wrong


@plant(PLANTED, Register, "check_settled")
def a_family_settles_before_its_processes_are_gone(right: Method) -> Method:
    def wrong(self: Register, family: Family) -> None:
        leaving, family.leaving = family.leaving, set()
        right(self, family)
        family.leaving = leaving

    return wrong


@plant(PLANTED, Fleet, "_assign")
def a_hand_over_is_not_written(right: Method) -> Method:
    def wrong(self: Fleet, worker: Worker, execution: Execution, now: Instant) -> None:
        rows = self._outbox.executions
        written = execution in rows
        right(self, worker, execution, now)
        if not written:
            del rows[execution]

    return wrong


@plant(PLANTED, Register, "adopt_execution")
def a_retry_does_not_count_as_unfinished(right: Method) -> Method:
    def wrong(self: Register, execution: Execution) -> None:
        right(self, execution)
        if execution.attempt > 1:
            execution.step.run.family.unfinished -= 1

    return wrong


@plant(PLANTED, Fleet, "_start_worker")
def a_worker_is_never_started(right: Method) -> Method:
    def wrong(self: Fleet, host: Host, execution: Execution) -> None:
        right(self, host, execution)
        if execution.worker is not None and execution.worker.id % 4 == 0:
            self._outbox.commands.pop()

    return wrong


@pytest.mark.parametrize(("owner", "method", "bug"), PLANTED, ids=[bug.__name__ for _, _, bug in PLANTED])
def test_the_simulation_catches(
    owner: object, method: str, bug: Callable[[Method], Method], monkeypatch: pytest.MonkeyPatch
) -> None:
    catches(owner, method, bug, monkeypatch)
