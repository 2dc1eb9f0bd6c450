"""The simulation is worth what it catches: bugs in memo, cache, deferral, suspension and the other options."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

import pytest

from coflux.executor.core import cycles, descent, register
from coflux.executor.core.admission import Admission
from coflux.executor.core.deferral import Deferral
from coflux.executor.core.endings import Endings
from coflux.executor.core.entrance import Entrance
from coflux.executor.core.holds import Holds
from coflux.executor.core.register import Register
from coflux.executor.core.scheduler import Scheduler
from coflux.executor.core.sources import Sources
from coflux.executor.core.state import (
    Execution,
    Hold,
    Instant,
    Run,
    State,
    Worker,
)
from coflux.executor.core.waiting import Waits
from tests.core.planting import Method, Planted, catches, plant
from tests.core.shelf import Shelf

PLANTED: Planted = []


# -- options ----------------------------------------------------------------------------------------------------------


@plant(PLANTED, Endings, "_resolve_links")
def links_are_not_resolved_when_the_source_is_cancelled(right: Method) -> Method:
    def wrong(self: Endings, source: Execution, now: Instant, *, retryable: bool) -> None:
        if source.state is not State.CANCELLED:
            right(self, source, now, retryable=retryable)

    return wrong


@plant(PLANTED, Sources, "newest")
def results_of_any_workspace_are_had_in_the_turn_in_which_they_end(right: Method) -> Method:
    return lambda self, step, workspaces, since: right(self, step, ("default", "dev", "fix"), since)


@plant(PLANTED, Shelf, "cached")
def the_age_of_a_recorded_result_does_not_count(right: Method) -> Method:
    return lambda self, workspaces, key, since: right(self, workspaces, key, 0.0)


@plant(PLANTED, Shelf, "lineage")
def a_base_sees_the_results_of_its_descendants(right: Method) -> Method:
    def wrong(self: Shelf, workspace: str) -> tuple[str, ...]:
        lineage: tuple[str, ...] = right(self, workspace)
        return lineage if sys._getframe(1).f_globals["__name__"].startswith("tests") else (*lineage, "dev")

    return wrong


@plant(PLANTED, Holds, "ended")
def a_hold_is_not_released_by_a_failure(right: Method) -> Method:
    def wrong(self: Holds, hold: Hold, end: Execution) -> None:
        if end.state is not State.FAILED:
            right(self, hold, end)

    return wrong


@plant(PLANTED, Holds, "drop")
def what_is_not_held_any_more_is_still_known_to_what_it_waited_for(right: Method) -> Method:
    def wrong(self: Holds, execution: Execution) -> None:
        if execution.hold is not None:
            execution.hold.over = True
        execution.hold = None

    return wrong


@plant(PLANTED, Holds, "for_any")
def a_resumption_waits_for_the_first_of_its_handles_alone(right: Method) -> Method:
    def wrong(self: Holds, execution: Execution, targets: Iterable[Execution]) -> None:
        right(self, execution, targets)
        if execution.hold is not None:
            execution.hold.targets = execution.hold.targets[:1]

    return wrong


@plant(PLANTED, Holds, "for_any")
def a_resumption_does_not_wait_for_the_handle(right: Method) -> Method:
    return lambda self, execution, targets: None


@plant(PLANTED, cycles, "queued_behind")
def cycles_do_not_lead_through_what_is_queued(right: Method) -> Method:
    return lambda execution: []


@plant(PLANTED, Holds, "closed_cycle")
def what_waits_for_arguments_closes_no_cycle(right: Method) -> Method:
    return lambda self, hold: None


@plant(PLANTED, Entrance, "_revive")
def the_one_before_a_cancelled_survivor_is_not_revived(right: Method) -> Method:
    return lambda self, execution, now: None


@plant(PLANTED, Entrance, "_revive")
def what_was_cancelled_together_with_its_survivor_is_revived(right: Method) -> Method:
    def wrong(self: Entrance, execution: Execution, now: Instant) -> None:
        execution.superseded_by = None
        self._admission.make_ready(execution)

    return wrong


@plant(PLANTED, Deferral, "left_queue")
def what_is_superseded_is_not_deferred(right: Method) -> Method:
    def wrong(self: Deferral, execution: Execution) -> None:
        right(self, execution)
        self.started.clear()

    return wrong


@plant(PLANTED, Deferral, "submitted")
def an_older_submission_survives_beside_the_newer(right: Method) -> Method:
    def wrong(self: Deferral, execution: Execution) -> None:
        right(self, execution)

    return wrong


@plant(PLANTED, Entrance, "_supersede")
def a_superseded_one_stays_in_the_queue(right: Method) -> Method:
    def wrong(self: Entrance, older: Execution, newer: Execution) -> None:
        ready = older.ready
        right(self, older, newer)
        if ready:
            self._admission._placement.push(older)

    return wrong


@plant(PLANTED, register, "has_failed")
def memo_shares_failures(right: Method) -> Method:
    return lambda end: False


@plant(PLANTED, Register, "shareable")
def memo_shares_nothing_that_runs(right: Method) -> Method:
    def wrong(self: Register, run: Run, key: bytes, workspace: str) -> Execution | None:
        found: Execution | None = right(self, run, key, workspace)
        return None if found is not None and found.end().state is State.RUNNING else found

    return wrong


@plant(PLANTED, descent, "_is_needed")
def a_cancel_reaches_shared_steps_that_others_use(right: Method) -> Method:
    return lambda child, found: False


@plant(PLANTED, descent, "_is_needed")
def a_cancel_spares_every_shared_step(right: Method) -> Method:
    return lambda child, found: True


@plant(PLANTED, Admission, "release")
def a_retry_is_let_go_while_it_is_held(right: Method) -> Method:
    def wrong(self: Admission, worker: Worker, now: Instant) -> None:
        for successor in worker.blocked:
            if successor.hold is not None:
                successor.hold = None
        right(self, worker, now)

    return wrong


@plant(PLANTED, Admission, "hold_back")
def a_resumption_may_start_while_the_old_process_is_there(right: Method) -> Method:
    def wrong(self: Admission, successor: Execution, worker: Worker, delay: float, now: Instant) -> None:
        right(self, successor, worker, delay, now)
        successor.blocked_by = None

    return wrong


@plant(PLANTED, Endings, "follow_out")
def a_run_does_not_wait_for_what_its_root_was_deferred_to(right: Method) -> Method:
    return lambda self, run: None


@plant(PLANTED, Waits, "ended")
def awaiting_is_not_decremented(right: Method) -> Method:
    def wrong(self: Waits, execution: Execution) -> list[Run]:
        runs: list[Run] = right(self, execution)
        for run in runs:
            run.family.awaiting += 1
        return runs

    return wrong


@plant(PLANTED, Register, "prune")
def what_is_still_in_use_is_pruned(right: Method) -> Method:
    def wrong(self: Register, execution: Execution) -> bool:
        execution.step.run.family.executions.pop(execution.id, None)
        for child in execution.children:
            execution.step.run.family.executions.pop(child.id, None)
        execution.step.executions.remove(execution)
        self._outbox.pruned.append(execution)
        return True

    return wrong


@plant(PLANTED, Register, "_strike_off")
def the_runs_of_what_is_pruned_stay(right: Method) -> Method:
    return lambda self, step, kept: None


@plant(PLANTED, Sources, "committed")
def sources_are_never_forgotten(right: Method) -> Method:
    return lambda self: self._ended.clear()


@plant(PLANTED, Admission, "resume")
def what_was_parked_stays_parked(right: Method) -> Method:
    return lambda self, workspace: self.paused.discard(workspace)


@plant(PLANTED, Admission, "make_ready")
def a_paused_workspace_goes_on(right: Method) -> Method:
    def wrong(self: Admission, execution: Execution) -> None:
        execution.reason = "ready"
        self._sources.add(execution)
        self._placement.push(execution)

    return wrong


@plant(PLANTED, Entrance, "_start_run")
def a_run_of_its_own_is_a_family_of_its_own(right: Method) -> Method:
    def wrong(self: Entrance, execution: Execution, now: Instant) -> Execution:
        root: Execution = right(self, execution, now)
        execution.step.run.family.runs.remove(root.step.run)
        return root

    return wrong


@plant(PLANTED, Endings, "suspend")
def a_suspension_ends_the_chain(right: Method) -> Method:
    def wrong(self: Endings, execution: Execution, now: Instant) -> None:
        self.end(execution, State.SUSPENDED, None, now)

    return wrong


@plant(PLANTED, Scheduler, "_asking")
def requests_after_a_suspension_count(right: Method) -> Method:
    return lambda self, worker: self.fleet.running_on(worker)


@pytest.mark.parametrize(("owner", "method", "bug"), PLANTED, ids=[bug.__name__ for _, _, bug in PLANTED])
def test_the_simulation_catches(
    owner: object, method: str, bug: Callable[[Method], Method], monkeypatch: pytest.MonkeyPatch
) -> None:
    catches(owner, method, bug, monkeypatch)
