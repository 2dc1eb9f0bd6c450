"""The simulation is worth what it catches: bugs are planted one at a time, and a few hundred lives must find each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from coflux.executor.core import cycles, descent, register, waiting
from coflux.executor.core import events as ev
from coflux.executor.core.admission import Admission
from coflux.executor.core.deferral import Deferral
from coflux.executor.core.endings import Endings
from coflux.executor.core.entrance import Entrance
from coflux.executor.core.fleet import Fleet
from coflux.executor.core.holds import Holds
from coflux.executor.core.queue import FairQueue
from coflux.executor.core.register import Register
from coflux.executor.core.scheduler import Scheduler
from coflux.executor.core.slots import Slots
from coflux.executor.core.sources import Sources
from coflux.executor.core.state import (
    Execution,
    Family,
    Hold,
    Host,
    Instant,
    InvalidTransition,
    Run,
    State,
    Step,
    Wait,
    Worker,
    WorkerState,
)
from coflux.executor.core.waiting import Waits
from tests.core.shelf import Shelf
from tests.core.simulation import Simulation

SEEDS = 600

Method = Callable[..., Any]
PLANTED: list[tuple[object, str, Callable[[Method], Method]]] = []


def plant(owner: object, method: str) -> Callable[[Callable[[Method], Method]], Callable[[Method], Method]]:
    """Register a bug: a function that is given the right method and returns the wrong one."""

    def register(bug: Callable[[Method], Method]) -> Callable[[Method], Method]:
        PLANTED.append((owner, method, bug))
        return bug

    return register


# -- workers ----------------------------------------------------------------------------------------------------------


@plant(Fleet, "remove")
def a_dead_worker_stays_idle(right: Method) -> Method:
    def wrong(self: Fleet, worker_id: int) -> Worker | None:
        worker: Worker | None = right(self, worker_id)
        if worker is not None and worker.state is WorkerState.IDLE:
            worker.host.idle.append(worker)
        return worker

    return wrong


@plant(Fleet, "now_idle")
def what_a_free_worker_took_over_is_also_left_to_the_starting_one(right: Method) -> Method:
    def wrong(self: Fleet, worker: Worker, now: Instant) -> None:
        starting = {w: w.execution for w in worker.host.workers.values() if w.state is WorkerState.STARTING}
        right(self, worker, now)
        for other, execution in starting.items():
            other.execution = execution

    return wrong


@plant(Scheduler, "_start_lost")
def an_execution_is_forgotten_when_its_worker_dies_starting(right: Method) -> Method:
    def wrong(self: Scheduler, execution: Execution, evidence: str, now: Instant) -> None:
        self.slots.give_back(execution)

    return wrong


@plant(Scheduler, "_worker_refused")
def a_refused_worker_keeps_the_slot(right: Method) -> Method:
    def wrong(self: Scheduler, event: ev.WorkerRefused, now: Instant) -> None:
        worker = self.fleet.remove(event.worker)
        if worker is not None and worker.execution is not None:
            self.admission.enqueue(worker.execution, 0.1, now)

    return wrong


@plant(Fleet, "lose_host")
def a_lost_host_still_serves_its_families(right: Method) -> Method:
    def wrong(self: Fleet, host_id: int) -> Host | None:
        right(self, host_id)
        return None

    return wrong


# -- slots ------------------------------------------------------------------------------------------------------------


@plant(Slots, "give_back")
def a_waiting_execution_keeps_its_slot(right: Method) -> Method:
    def wrong(self: Slots, execution: Execution) -> None:
        if not execution.unfinished or execution.state is State.QUEUED:
            right(self, execution)

    return wrong


@plant(Waits, "answer")
def an_answered_execution_takes_no_slot(right: Method) -> Method:
    def wrong(self: Waits, wait: Wait) -> None:
        held = wait.execution.holds_slot
        right(self, wait)
        if not held:
            self._slots.give_back(wait.execution)

    return wrong


@plant(Waits, "next_resumable")
def starting_goes_before_resuming(right: Method) -> Method:
    def wrong(self: Waits, startable: Execution | None, now: Instant) -> Wait | None:
        wait: Wait | None = right(self, None, now) if startable is None else None
        return wait

    return wrong


@plant(Slots, "has_room")
def nobody_starts_while_those_with_a_slot_wait_for_them(right: Method) -> Method:
    def wrong(self: Slots) -> bool:
        return self.active < self.concurrency

    return wrong


@plant(Slots, "has_room")
def there_is_always_room(right: Method) -> Method:
    return lambda self: True


@plant(FairQueue, "slot_given_back")
def a_family_stays_in_the_bucket_of_the_slots_it_had(right: Method) -> Method:
    def wrong(self: FairQueue, family: Family) -> None:
        family.active -= 1

    return wrong


# -- waiting ----------------------------------------------------------------------------------------------------------


@plant(Endings, "_plan_retry")
def waiters_do_not_move_to_the_next_attempt(right: Method) -> Method:
    def wrong(self: Endings, execution: Execution, now: Instant, *, crashed: bool) -> None:
        right(self, execution, now, crashed=crashed)
        if execution.successor is not None:
            execution.waiters.clear()

    return wrong


@plant(Waits, "next_resumable")
def an_answer_that_a_cap_withholds_is_forgotten(right: Method) -> Method:
    def wrong(self: Waits, startable: Execution | None, now: Instant) -> Wait | None:
        while self.resumable:
            wait = self.resumable.popleft()
            family = wait.execution.step.run.family
            if not wait.over and (family.cap is None or family.active < family.cap):
                return wait
        return None

    return wrong


@plant(waiting, "_gathers")
def anything_may_start_before_an_answer(right: Method) -> Method:
    return lambda wait, startable, now: startable is not None


@plant(waiting, "_gathers")
def one_child_after_another_starts_before_an_answer(right: Method) -> Method:
    return lambda wait, startable, now: startable is not None and startable.step.parent is wait.execution


@plant(waiting, "closed_cycle")
def cycles_are_not_seen(right: Method) -> Method:
    return lambda waiter, targets: None


@plant(Waits, "expire")
def an_expired_poll_waits_for_a_slot(right: Method) -> Method:
    def wrong(self: Waits, wait: Wait) -> None:
        if self._slots.has_room():
            right(self, wait)

    return wrong


@plant(Waits, "_start_polled")
def a_polled_handle_cannot_start(right: Method) -> Method:
    return lambda self, execution, targets, now: None


@plant(Waits, "_start_polled")
def a_poll_starts_all_that_is_ready(right: Method) -> Method:
    def wrong(self: Waits, execution: Execution, targets: list[Execution], now: Instant) -> None:
        family = execution.step.run.family
        right(self, execution, targets, now)
        for other in list(family.executions.values()):
            if other.ready and family.host is not None and not self._slots.free_for(family):
                self._slots.queue.withdraw(other)
                self._fleet.hand_over(other, now)

    return wrong


# -- endings ----------------------------------------------------------------------------------------------------------


@plant(Endings, "cancel")
def a_cancel_does_not_reach_grandchildren(right: Method) -> Method:
    def wrong(self: Endings, roots: list[Execution], now: Instant, *, immediate: bool = False) -> None:
        children = {child: child.children for root in roots for child in root.children}
        for child in children:
            child.children = []
        right(self, roots, now, immediate=immediate)
        for child, grandchildren in children.items():
            child.children = grandchildren

    return wrong


@plant(Endings, "cancel")
def a_cancel_does_not_follow_retries(right: Method) -> Method:
    def wrong(self: Endings, roots: list[Execution], now: Instant, *, immediate: bool = False) -> None:
        right(self, [root for root in roots if root.successor is None], now, immediate=immediate)

    return wrong


@plant(Endings, "time_out")
def a_timeout_leaves_the_children_running(right: Method) -> Method:
    def wrong(self: Endings, execution: Execution, now: Instant) -> None:
        children, execution.children = execution.children, []
        right(self, execution, now)
        execution.children = children

    return wrong


@plant(Endings, "_plan_retry")
def the_next_attempt_does_not_wait_for_the_process_of_the_last(right: Method) -> Method:
    def wrong(self: Endings, execution: Execution, now: Instant, *, crashed: bool) -> None:
        family = execution.step.run.family
        leaving, family.leaving = family.leaving, set()
        right(self, execution, now, crashed=crashed)
        family.leaving = leaving

    return wrong


@plant(Admission, "release")
def a_blocked_attempt_is_forgotten_when_the_process_is_gone(right: Method) -> Method:
    return lambda self, worker, now: None


@plant(Scheduler, "_returned")
def a_late_report_changes_the_outcome(right: Method) -> Method:
    def wrong(self: Scheduler, event: ev.Returned, now: Instant) -> None:
        execution = self.find(event.execution)
        right(self, event, now)
        if execution is not None:
            execution.outcome = event.outcome

    return wrong


@plant(Fleet, "running_on")
def a_worker_that_is_being_killed_is_heard(right: Method) -> Method:
    def wrong(self: Fleet, worker_id: int) -> Execution | None:
        worker = self.workers.get(worker_id)
        return None if worker is None else worker.execution or worker.killed

    return wrong


@plant(Register, "check_settled")
def a_family_settles_before_its_processes_are_gone(right: Method) -> Method:
    def wrong(self: Register, family: Family) -> None:
        leaving, family.leaving = family.leaving, set()
        right(self, family)
        family.leaving = leaving

    return wrong


@plant(Fleet, "_assign")
def a_hand_over_is_not_written(right: Method) -> Method:
    def wrong(self: Fleet, worker: Worker, execution: Execution, now: Instant) -> None:
        rows = self._outbox.executions
        written = execution in rows
        right(self, worker, execution, now)
        if not written:
            del rows[execution]

    return wrong


@plant(Register, "adopt_execution")
def a_retry_does_not_count_as_unfinished(right: Method) -> Method:
    def wrong(self: Register, execution: Execution) -> None:
        right(self, execution)
        if execution.attempt > 1:
            execution.step.run.family.unfinished -= 1

    return wrong


@plant(Fleet, "_start_worker")
def a_worker_is_never_started(right: Method) -> Method:
    def wrong(self: Fleet, host: Host, execution: Execution) -> None:
        right(self, host, execution)
        if execution.worker is not None and execution.worker.id % 4 == 0:
            self._outbox.commands.pop()

    return wrong


# -- options ----------------------------------------------------------------------------------------------------------


@plant(Endings, "_resolve_links")
def links_are_not_resolved_when_the_source_is_cancelled(right: Method) -> Method:
    def wrong(self: Endings, source: Execution, now: Instant, *, retryable: bool) -> None:
        if source.state is not State.CANCELLED:
            right(self, source, now, retryable=retryable)

    return wrong


@plant(Sources, "newest")
def a_delayed_one_is_a_source(right: Method) -> Method:
    def wrong(self: Sources, step: Step, workspaces: tuple[str, ...], since: float) -> Execution | None:
        found: Execution | None = right(self, step, workspaces, since)
        known = self._by_key.get(step.cache_key or b"", [])
        others = [one for one in known if one.step is not step and one.unfinished and one.workspace in workspaces]
        return found or next(iter(others), None)

    return wrong


@plant(Sources, "newest")
def the_age_of_a_result_of_this_turn_does_not_count(right: Method) -> Method:
    return lambda self, step, workspaces, since: right(self, step, ("default", "dev", "fix"), since)


@plant(Shelf, "cached")
def the_age_of_a_recorded_result_does_not_count(right: Method) -> Method:
    return lambda self, workspaces, key, since: right(self, workspaces, key, 0.0)


@plant(Shelf, "lineage")
def a_base_sees_the_results_of_its_descendants(right: Method) -> Method:
    def wrong(self: Shelf, workspace: str) -> tuple[str, ...]:
        lineage: tuple[str, ...] = right(self, workspace)
        return lineage if sys._getframe(1).f_globals["__name__"].startswith("tests") else (*lineage, "dev")

    return wrong


@plant(Holds, "ended")
def a_hold_is_not_released_by_a_failure(right: Method) -> Method:
    def wrong(self: Holds, hold: Hold, end: Execution) -> None:
        if end.state is not State.FAILED:
            right(self, hold, end)

    return wrong


@plant(Holds, "drop")
def what_is_not_held_any_more_is_still_known_to_what_it_waited_for(right: Method) -> Method:
    def wrong(self: Holds, execution: Execution) -> None:
        if execution.hold is not None:
            execution.hold.over = True
        execution.hold = None

    return wrong


@plant(Holds, "for_any")
def a_resumption_waits_for_the_first_of_its_handles_alone(right: Method) -> Method:
    def wrong(self: Holds, execution: Execution, targets: Iterable[Execution]) -> None:
        right(self, execution, targets)
        if execution.hold is not None:
            execution.hold.targets = execution.hold.targets[:1]

    return wrong


@plant(Holds, "for_any")
def a_resumption_does_not_wait_for_the_handle(right: Method) -> Method:
    return lambda self, execution, targets: None


@plant(cycles, "queued_behind")
def cycles_do_not_lead_through_what_is_queued(right: Method) -> Method:
    return lambda execution: []


@plant(Holds, "closed_cycle")
def what_waits_for_arguments_closes_no_cycle(right: Method) -> Method:
    return lambda self, hold: None


@plant(Entrance, "_revive")
def the_one_before_a_cancelled_survivor_is_not_revived(right: Method) -> Method:
    return lambda self, execution, now: None


@plant(Entrance, "_revive")
def what_was_cancelled_together_with_its_survivor_is_revived(right: Method) -> Method:
    def wrong(self: Entrance, execution: Execution, now: Instant) -> None:
        execution.superseded_by = None
        self._admission.make_ready(execution)

    return wrong


@plant(Deferral, "left_queue")
def what_is_superseded_is_not_deferred(right: Method) -> Method:
    def wrong(self: Deferral, execution: Execution) -> None:
        right(self, execution)
        self.started.clear()

    return wrong


@plant(Deferral, "submitted")
def an_older_submission_survives_beside_the_newer(right: Method) -> Method:
    def wrong(self: Deferral, execution: Execution) -> None:
        right(self, execution)

    return wrong


@plant(Entrance, "_supersede")
def a_superseded_one_stays_in_the_queue(right: Method) -> Method:
    def wrong(self: Entrance, older: Execution, newer: Execution) -> None:
        ready = older.ready
        right(self, older, newer)
        if ready:
            self._admission._queue.push(older)

    return wrong


@plant(register, "has_failed")
def memo_shares_failures(right: Method) -> Method:
    return lambda end: False


@plant(Register, "shareable")
def memo_shares_nothing_that_runs(right: Method) -> Method:
    def wrong(self: Register, run: Run, key: bytes, workspace: str) -> Execution | None:
        found: Execution | None = right(self, run, key, workspace)
        return None if found is not None and found.end().state is State.RUNNING else found

    return wrong


@plant(descent, "_is_needed")
def a_cancel_reaches_shared_steps_that_others_use(right: Method) -> Method:
    return lambda child, found: False


@plant(descent, "_is_needed")
def a_cancel_spares_every_shared_step(right: Method) -> Method:
    return lambda child, found: True


@plant(Admission, "release")
def a_retry_is_let_go_while_it_is_held(right: Method) -> Method:
    def wrong(self: Admission, worker: Worker, now: Instant) -> None:
        for successor in worker.blocked:
            if successor.hold is not None:
                successor.hold = None
        right(self, worker, now)

    return wrong


@plant(Admission, "hold_back")
def a_resumption_may_start_while_the_old_process_is_there(right: Method) -> Method:
    def wrong(self: Admission, successor: Execution, worker: Worker, delay: float, now: Instant) -> None:
        right(self, successor, worker, delay, now)
        successor.blocked_by = None

    return wrong


@plant(Endings, "follow_out")
def a_run_does_not_wait_for_what_its_root_was_deferred_to(right: Method) -> Method:
    return lambda self, run: None


@plant(Waits, "ended")
def awaiting_is_not_decremented(right: Method) -> Method:
    def wrong(self: Waits, execution: Execution) -> list[Run]:
        runs: list[Run] = right(self, execution)
        for run in runs:
            run.family.awaiting += 1
        return runs

    return wrong


@plant(Register, "prune")
def what_is_still_in_use_is_pruned(right: Method) -> Method:
    def wrong(self: Register, execution: Execution) -> bool:
        execution.step.run.family.executions.pop(execution.id, None)
        for child in execution.children:
            execution.step.run.family.executions.pop(child.id, None)
        execution.step.executions.remove(execution)
        self._outbox.pruned.append(execution)
        return True

    return wrong


@plant(Register, "_strike_off")
def the_runs_of_what_is_pruned_stay(right: Method) -> Method:
    return lambda self, step, kept: None


@plant(Sources, "committed")
def sources_are_never_forgotten(right: Method) -> Method:
    return lambda self: self._ended.clear()


@plant(Admission, "resume")
def what_was_parked_stays_parked(right: Method) -> Method:
    return lambda self, workspace: self.paused.discard(workspace)


@plant(Admission, "make_ready")
def a_paused_workspace_goes_on(right: Method) -> Method:
    def wrong(self: Admission, execution: Execution) -> None:
        execution.reason = "ready"
        self._queue.push(execution)

    return wrong


@plant(Entrance, "_start_run")
def a_run_of_its_own_is_a_family_of_its_own(right: Method) -> Method:
    def wrong(self: Entrance, execution: Execution, now: Instant) -> Execution:
        root: Execution = right(self, execution, now)
        execution.step.run.family.runs.remove(root.step.run)
        return root

    return wrong


@plant(Endings, "suspend")
def a_suspension_ends_the_chain(right: Method) -> Method:
    def wrong(self: Endings, execution: Execution, now: Instant) -> None:
        self.end(execution, State.SUSPENDED, None, now)

    return wrong


@plant(Scheduler, "_asking")
def requests_after_a_suspension_count(right: Method) -> Method:
    return lambda self, worker: self.fleet.running_on(worker)


@pytest.mark.parametrize(("owner", "method", "bug"), PLANTED, ids=[bug.__name__ for _, _, bug in PLANTED])
def test_the_simulation_catches(
    owner: object, method: str, bug: Callable[[Method], Method], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, method, bug(getattr(owner, method)))
    with pytest.raises((AssertionError, InvalidTransition, LookupError)):
        live(SEEDS)


def live(seeds: int) -> None:
    for seed in range(seeds):
        Simulation(seed).run()
