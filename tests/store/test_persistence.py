"""From the scheduler's objects to rows, and back after a restart."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from coflux.executor.core.effects import Outbox, Shared
from coflux.executor.core.scheduler import Scheduler
from coflux.executor.core.state import Execution, Hold, Run, State, Step, Suspension, Trigger
from coflux.executor.database import StoreError
from coflux.executor.messages import ArgumentKey, RunOptions, Succeeded, Terminated, Usage
from coflux.executor.persistence import blobs_of, load_family, restore, to_batch
from coflux.executor.rows import Batch, LogRow, PrunedRow, SharedRow
from coflux.executor.store import Store
from coflux.logs import Level
from coflux.redaction import Redactor
from tests.core.bench import new_scheduler
from tests.core.factories import instant, spec
from tests.store.factories import batch, execution_row, json_value, run_row, step_row, succeeded

NOW = instant(1000.0)
ABANDONED = msgspec.msgpack.encode(Terminated("abandoned", "gone"))


@pytest.fixture
def scheduler() -> Scheduler:
    return new_scheduler()


def known(scheduler: Scheduler, execution_id: str) -> Execution:
    execution = scheduler.find(execution_id)
    assert execution is not None
    return execution


# -- to the store -----------------------------------------------------------------------------------------------------


def new_step(run: Run, number: int = 1, parent: Execution | None = None) -> Step:
    run.steps = max(run.steps, number)
    return Step(run, number, parent, None, spec(), msgspec.msgpack.encode(spec()), (), 0, 5.0)


def new_run(run_id: str = "Rtest", workspace: str = "default") -> tuple[Run, Execution]:
    run = Run(run_id, None, None, RunOptions(workspace=workspace), 5.0)
    run.root = Execution(new_step(run), 1, None, 1, 5.0)
    return run, run.root


def rows_of(outbox: Outbox) -> Batch:
    result = Batch()
    to_batch(outbox.take(), result, 77.0, Redactor())
    return result


def test_steps_have_their_keys_and_what_they_spawned() -> None:
    run, _ = new_run()
    child, _ = new_run("Rchild")
    plain, keyed = new_step(run, 1), new_step(run, 2)
    keyed.keys = (ArgumentKey(b"digest", ("Rtest:1:1",)), None)
    keyed.memo_key, keyed.cache_key, keyed.defer_key, keyed.spawned = b"memo", b"cache", b"defer", child
    outbox = Outbox()
    outbox.steps |= {plain: None, keyed: None}
    rows = rows_of(outbox).steps
    empty, full = [(row.keys, row.memo_key, row.cache_key, row.defer_key, row.spawned) for row in rows]
    assert empty == (None, None, None, None, None)
    assert full == (msgspec.msgpack.encode(keyed.keys), b"memo", b"cache", b"defer", "Rchild")


def test_executions_say_why_they_are_there_and_what_they_ran() -> None:
    _, root = new_run(workspace="dev")
    attempt = Execution(root.step, 2, None, 2, 5.0)
    attempt.trigger, attempt.resumes, attempt.fingerprint = "rerun", True, b"code"
    outbox = Outbox()
    outbox.executions |= {root: None, attempt: None}
    first, second = rows_of(outbox).executions
    assert (first.workspace, first.trigger, first.resumes, first.fingerprint) == ("dev", "submission", False, None)
    assert (second.workspace, second.trigger, second.resumes, second.fingerprint) == ("dev", "rerun", True, b"code")


def test_a_hit_leads_to_its_source_and_has_no_copy_of_its_outcome() -> None:
    run, root = new_run()
    root.state, root.cached_from, root.older_code = State.CACHED, "Rold:2:1", True
    root.outcome = Succeeded(json_value("1", blob="blob"))
    outbox = Outbox()
    outbox.runs[run] = outbox.executions[root] = None
    assert list(blobs_of(outbox.take())) == []
    outbox.executions[root] = None
    (row,) = rows_of(outbox).executions
    assert (row.status, row.next, row.outcome, row.older_code) == ("cached", "Rold:2:1", None, True)


def test_only_results_of_steps_with_a_key_are_for_the_cache() -> None:
    _, root = new_run()
    root.step.cache_key = b"key"
    outbox = Outbox()
    for state, key in ((State.RUNNING, None), (State.FAILED, None), (State.SUCCEEDED, b"key")):
        root.state = state
        outbox.executions[root] = None
        assert rows_of(outbox).executions[0].cache_key == key


def hold(execution: Execution, targets: list[Execution], *, any: bool) -> Hold:  # noqa: A002
    made = Hold(execution, any=any)
    made.targets = targets
    return made


def test_what_a_queued_execution_waits_for_is_told_but_for_its_arguments() -> None:
    run, root = new_run()
    others = [Execution(new_step(run, number), 1, None, number, 5.0) for number in (2, 3)]

    def told() -> str | None:
        outbox = Outbox()
        outbox.executions[root] = None
        return rows_of(outbox).executions[0].awaits

    assert told() is None
    root.hold = hold(root, others, any=False)
    assert told() is None
    root.hold = hold(root, others, any=True)
    assert told() == "Rtest:2:1 Rtest:3:1"
    root.hold.over = True
    assert told() is None
    root.source = others[0]
    assert told() == "Rtest:2:1"
    root.source, root.superseded_by = None, others[1]
    assert told() == "Rtest:3:1"
    root.state, root.superseded_by = State.RUNNING, None
    assert told() is None
    root.suspension = Suspension(0.0, 0.0, (others[0],))
    assert told() == "Rtest:2:1"
    root.state = State.SUSPENDED
    assert told() == "Rtest:2:1"
    root.state = State.CANCELLED
    assert told() is None


def test_shared_submissions_warnings_and_pruned_attempts() -> None:
    run, root = new_run()
    child = Execution(new_step(run, 7, root), 3, None, 2, 5.0)
    childless = Execution(new_step(run, 8, root), 1, None, 3, 5.0)
    root.children = [Execution(new_step(run, number, root), 1, None, 4, 5.0) for number in (9, 7)]
    outbox = Outbox()
    outbox.shared.append(Shared(root, 4, child, 2))
    outbox.warnings.append((child, "no key for {x}"))
    outbox.pruned += [root, childless]
    rows = rows_of(outbox)
    assert rows.shared == [SharedRow("Rtest", 1, 1, 4, "Rtest:7:3", 2)]
    assert rows.logs == [LogRow("Rtest", 7, 3, 77.0, Level.WARNING, "no key for {x}", None)]
    assert rows.pruned == [PrunedRow("Rtest", 1, 1, 7), PrunedRow("Rtest", 8, 1, None)]


# -- and back ---------------------------------------------------------------------------------------------------------


def test_a_step_comes_back_with_its_attempts_and_keys(store: Store, scheduler: Scheduler) -> None:
    keys = (ArgumentKey(b"digest", ("Rtest:9:1",)), None)
    step = step_row(
        keys=msgspec.msgpack.encode(keys), memo_key=b"m", cache_key=b"c", defer_key=b"d", values=(json_value("1"),)
    )
    store.commit(
        batch(
            run_row(),
            step,
            execution_row(status="suspended", next="Rtest:1:2", fingerprint=b"code", cpu_seconds=0.5, peak_memory=9),
            execution_row(
                attempt=2, trigger="resumption", workspace="dev", resumes=True, older_code=True, due_at=NOW.wall + 5
            ),
        )
    )
    restore(scheduler, store, NOW)
    first, second = known(scheduler, "Rtest:1:1"), known(scheduler, "Rtest:1:2")
    restored = first.step
    assert restored.executions == [first, second]
    assert (restored.keys, restored.memo_key, restored.cache_key, restored.defer_key) == (keys, b"m", b"c", b"d")
    assert (first.successor, first.fingerprint, first.usage) == (second, b"code", Usage(0.5, 9))
    assert (second.trigger, second.workspace, second.resumes, second.older_code) == ("resumption", "dev", True, True)
    assert second.due_wall == NOW.wall + 5
    assert scheduler.next_due(NOW) == pytest.approx(5.0)


def test_what_comes_back_is_written_as_it_was(store: Store, scheduler: Scheduler) -> None:
    rows = batch(
        run_row(started_at=6.0),
        step_row(values=(json_value("1"),)),
        step_row(number=2, parent="Rtest:1:1", keys=msgspec.msgpack.encode((None,)), memo_key=b"m", spawned="Rchild"),
        execution_row(status="succeeded", reason="", outcome=succeeded(), finished_at=7.0, fingerprint=b"f"),
        execution_row(step=2, status="spawned", reason="", next="Rchild:1:1", finished_at=8.0),
        run_row("Rchild", parent="Rtest:2:1", root_run="Rtest", status="queued"),
        step_row("Rchild", depth=2),
        execution_row("Rchild", workspace="dev", trigger="submission", reason="importing module shop.orders"),
    )
    store.commit(rows)
    restore(scheduler, store, NOW)
    outbox = Outbox()
    for run in scheduler.runs.values():
        outbox.runs[run] = None
    for execution in scheduler.families["Rtest"].executions.values():
        outbox.executions[execution] = None
        outbox.steps[execution.step] = None
    again = rows_of(outbox)
    assert again.steps == rows.steps
    assert again.executions == rows.executions
    assert [(row.id, row.parent, row.root_run) for row in again.runs] == [
        ("Rtest", None, "Rtest"),
        ("Rchild", "Rtest:2:1", "Rtest"),
    ]


def test_child_runs_belong_to_the_family_of_the_root(store: Store, scheduler: Scheduler) -> None:
    options = msgspec.msgpack.encode(RunOptions(concurrency=3))
    store.commit(
        batch(
            run_row(options=options),
            step_row(),
            execution_row(status="succeeded", outcome=succeeded()),
            step_row(number=2, parent="Rtest:1:1", depth=1, spawned="Rchild"),
            execution_row(step=2, status="spawned", next="Rchild:1:1"),
            run_row("Rchild", parent="Rtest:2:1", root_run="Rtest"),
            step_row("Rchild", depth=2),
            execution_row("Rchild"),
        )
    )
    restore(scheduler, store, NOW)
    (family,) = scheduler.families.values()
    top, child = scheduler.runs["Rtest"], scheduler.runs["Rchild"]
    caller, root = known(scheduler, "Rtest:2:1"), known(scheduler, "Rchild:1:1")
    assert family.runs == [top, child]
    assert (family.root, family.cap, child.family) == (top, 3, family)
    assert (child.parent, child.root, caller.step.spawned, caller.end()) == (caller, root, child, root)
    assert (root.step.parent, root.step.depth) == (None, 2)
    assert family.unfinished == 1
    assert set(family.executions) == {"Rtest:1:1", "Rtest:2:1", "Rchild:1:1"}


def test_submissions_are_in_order_with_those_that_made_no_step(store: Store, scheduler: Scheduler) -> None:
    """The second and fourth got the steps of the first and of another execution."""
    steps = [step_row(number=number, parent="Rtest:1:1") for number in (3, 4, 5)]
    store.commit(
        batch(
            run_row(),
            step_row(),
            execution_row(status="succeeded", outcome=succeeded()),
            step_row(number=2),
            execution_row(step=2),
            *steps,
            *(execution_row(step=step.number, status="abandoned", outcome=ABANDONED) for step in steps),
            *(execution_row(step=step.number, attempt=2, trigger="rerun") for step in steps),
            SharedRow("Rtest", 1, 1, 2, "Rtest:3:2", None),
            SharedRow("Rtest", 1, 1, 4, "Rtest:2:1", None),
        )
    )
    restore(scheduler, store, NOW)
    root = known(scheduler, "Rtest:1:1")
    assert [child.id for child in root.submissions] == ["Rtest:3:1", "Rtest:3:2", "Rtest:4:1", "Rtest:2:1", "Rtest:5:1"]
    assert {child.id for child in root.children} == {child.id for child in root.submissions}
    assert known(scheduler, "Rtest:3:1").step.shared_by == []
    assert known(scheduler, "Rtest:2:1").step.shared_by == [root]
    assert known(scheduler, "Rtest:4:1").step.shared_by == []


@pytest.mark.parametrize(
    ("triggers", "streaks"),
    [
        (("submission", "retry", "retry"), [0, 1, 2]),
        (("submission", "retry", "resumption", "retry"), [0, 1, 0, 1]),
        (("submission", "recurrence", "retry", "recurrence"), [0, 0, 1, 0]),
        (("submission", "retry", "rerun"), [0, 1, 0]),
    ],
)
def test_only_retries_directly_before_count(
    store: Store, scheduler: Scheduler, triggers: tuple[Trigger, ...], streaks: list[int]
) -> None:
    last = len(triggers)
    for attempt, trigger in enumerate(triggers, 1):
        ended: dict[str, Any] = {"status": "failed", "outcome": ABANDONED, "next": f"Rtest:1:{attempt + 1}"}
        if attempt == last:
            ended = {}
        store.commit(batch(run_row(), step_row(), execution_row(attempt=attempt, trigger=trigger, **ended)))
    restore(scheduler, store, NOW)
    assert [known(scheduler, f"Rtest:1:{attempt}").streak for attempt in range(1, last + 1)] == streaks


@pytest.mark.parametrize(
    ("attempts", "root"),
    [
        ({1: "submission", 2: "retry"}, 1),
        ({1: "submission", 2: "retry", 3: "rerun", 4: "recurrence"}, 3),
        ({7: "recurrence", 8: "retry"}, 7),  # what came before was pruned
        ({1: "submission", 5: "recurrence", 6: "recurrence"}, 5),  # the re-run 2 was
    ],
)
def test_the_root_is_the_head_of_the_newest_chain(
    store: Store, scheduler: Scheduler, attempts: dict[int, Trigger], root: int
) -> None:
    last = max(attempts)
    for attempt, trigger in attempts.items():
        ended: dict[str, Any] = {} if attempt == last else {"status": "succeeded", "outcome": succeeded()}
        store.commit(batch(run_row(), step_row(), execution_row(attempt=attempt, trigger=trigger, **ended)))
    restore(scheduler, store, NOW)
    assert scheduler.runs["Rtest"].root is known(scheduler, f"Rtest:1:{root}")


def test_links_lead_into_other_families_taken_in_or_not(store: Store, scheduler: Scheduler) -> None:
    """Deferred to one that is queued, deferred to one that has long ended elsewhere, and two with its result."""
    store.commit(
        batch(
            run_row("Ra", status="deferred"),
            step_row("Ra"),
            execution_row("Ra", status="deferred", next="Rb:1:1"),
            step_row("Ra", number=2, parent="Ra:1:1"),
            execution_row("Ra", step=2, status="deferred", next="Rold:1:1"),
            step_row("Ra", number=3, parent="Ra:1:1"),
            execution_row("Ra", step=3, status="cached", next="Rold:1:2", older_code=True),
            step_row("Ra", number=4, parent="Ra:1:1"),
            execution_row("Ra", step=4, status="cached", next="Rb:2:1"),
            step_row("Ra", number=5, parent="Ra:1:1"),
            execution_row("Ra", step=5),
            run_row("Rb"),
            step_row("Rb"),
            execution_row("Rb"),
            step_row("Rb", number=2),
            execution_row("Rb", step=2, status="succeeded", outcome=succeeded("2")),
            run_row("Rold", settled=True, status="succeeded"),
            step_row("Rold", name="archived"),
            execution_row("Rold", status="failed", outcome=ABANDONED, next="Rold:1:2"),
            execution_row("Rold", attempt=2, status="succeeded", outcome=succeeded("7"), trigger="retry"),
        )
    )
    restore(scheduler, store, NOW)
    assert set(scheduler.runs) == {"Ra", "Rb"}
    deferred, gone, hit, near = [known(scheduler, f"Ra:{number}:1") for number in (1, 2, 3, 4)]
    assert deferred.end() is known(scheduler, "Rb:1:1")
    end = gone.end()
    assert (end.id, end.state, end.outcome) == ("Rold:1:2", State.SUCCEEDED, Succeeded(json_value("7")))
    assert (end.step.spec.name, end.unfinished) == ("archived", False)
    assert (hit.cached_from, hit.outcome, hit.older_code) == ("Rold:1:2", Succeeded(json_value("7")), True)
    assert (near.cached_from, near.outcome) == ("Rb:2:1", Succeeded(json_value("2")))
    assert hit.successor is near.successor is None


def test_links_to_pruned_attempts_lead_to_what_came_after(store: Store, scheduler: Scheduler) -> None:
    store.commit(
        batch(
            run_row(),
            step_row(),
            execution_row(attempt=5, status="recurred", next="Rtest:1:6", trigger="recurrence"),
            execution_row(attempt=6, trigger="recurrence"),
            step_row(number=2, parent="Rtest:1:5"),
            execution_row(step=2, status="deferred", next="Rtest:1:3"),
        )
    )
    restore(scheduler, store, NOW)
    assert known(scheduler, "Rtest:2:1").end() is known(scheduler, "Rtest:1:6")
    assert known(scheduler, "Rtest:1:5").children == [known(scheduler, "Rtest:2:1")]


def test_no_step_gets_the_number_of_one_that_was_pruned(store: Store, scheduler: Scheduler) -> None:
    store.commit(batch(run_row(steps=7), step_row(), execution_row(), step_row(number=3, parent="Rtest:1:1")))
    store.commit(batch(execution_row(step=3)))
    restore(scheduler, store, NOW)
    outbox = Outbox()
    outbox.runs[scheduler.runs["Rtest"]] = None
    assert (scheduler.runs["Rtest"].steps, rows_of(outbox).runs[0].steps) == (7, 7)


def test_a_caller_that_comes_back_is_not_below_what_it_has_called(store: Store, scheduler: Scheduler) -> None:
    """By memo, the call of an execution may be one that it is below of: cancelling that is no cancel of the caller."""
    store.commit(
        batch(
            run_row(),
            step_row(),
            execution_row(),
            step_row(number=2, parent="Rtest:1:1", memo_key=b"m"),
            execution_row(step=2),
            step_row(number=3, parent="Rtest:2:1"),
            execution_row(step=3),
            SharedRow("Rtest", 3, 1, 1, "Rtest:2:1", None),
        )
    )
    restore(scheduler, store, NOW)
    caller, called = known(scheduler, "Rtest:3:1"), known(scheduler, "Rtest:2:1")
    assert (caller.submissions, caller.children, called.step.shared_by) == ([called], [], [])


def test_a_link_to_nothing_is_damage(store: Store, scheduler: Scheduler) -> None:
    store.commit(
        batch(run_row(), step_row(), execution_row(status="deferred", next="Rgone:1:1"), execution_row(step=2))
    )
    with pytest.raises(StoreError, match=r"coflux\.db is damaged \(Rtest:1:1 leads to Rgone:1:1, which is not there\)"):
        restore(scheduler, store, NOW)


def test_a_suspended_execution_goes_on_waiting_for_the_same(store: Store, scheduler: Scheduler) -> None:
    def suspended(step: int, awaits: str) -> Batch:
        return batch(
            step_row(number=step),
            execution_row(step=step, status="suspended", next=f"Rtest:{step}:2"),
            execution_row(step=step, attempt=2, trigger="resumption", awaits=awaits),
        )

    store.commit(batch(run_row(), step_row(), execution_row(due_at=NOW.wall + 60), run_row("Rold", settled=True)))
    store.commit(batch(step_row("Rold"), execution_row("Rold", status="succeeded", outcome=succeeded())))
    store.commit(suspended(2, "Rtest:1:1 Rtest:4:1"))
    store.commit(suspended(3, "Rtest:1:1 Rgone:1:1"))
    store.commit(batch(step_row(number=4), execution_row(step=4, awaits="Rtest:1:1")))  # linked to a cache source
    store.commit(suspended(5, "Rtest:1:1 Rold:1:1"))
    restore(scheduler, store, NOW)
    hold = known(scheduler, "Rtest:2:2").hold
    assert hold is not None
    assert hold.any
    assert [target.id for target in hold.targets] == ["Rtest:1:1", "Rtest:4:1"]
    assert known(scheduler, "Rtest:3:2").hold is None
    assert known(scheduler, "Rtest:5:2").hold is None
    assert known(scheduler, "Rtest:4:1").hold is None


def test_what_ran_is_abandoned(store: Store, scheduler: Scheduler) -> None:
    store.commit(batch(run_row(), step_row(), execution_row(status="running", started_at=5.0, pid=7)))
    restore(scheduler, store, NOW)
    effects = scheduler.drain(NOW)
    (execution,) = effects.executions
    assert (execution.state, execution.outcome) == (
        State.ABANDONED,
        Terminated("abandoned", "the engine ended while it was running"),
    )
    assert scheduler.families == {}


def test_what_had_asked_to_be_suspended_is_suspended_although_the_engine_was_killed_meanwhile(
    store: Store, scheduler: Scheduler
) -> None:
    store.commit(
        batch(
            run_row(),
            step_row(),
            execution_row(status="running", reason="suspending", awaits="Rtest:2:1", due_at=NOW.wall - 1),
            step_row(number=2, parent="Rtest:1:1"),
            execution_row(step=2, due_at=NOW.wall + 60),
        )
    )
    restore(scheduler, store, NOW)
    first, second = known(scheduler, "Rtest:1:1"), known(scheduler, "Rtest:1:2")
    assert (first.state, first.successor) == (State.SUSPENDED, second)
    assert second.hold is not None
    assert [target.id for target in second.hold.targets] == ["Rtest:2:1"]


def test_a_settled_run_is_taken_in_for_a_rerun_with_its_family(store: Store, scheduler: Scheduler) -> None:
    store.commit(
        batch(
            run_row(settled=True, status="succeeded"),
            step_row(),
            execution_row(status="succeeded", outcome=succeeded()),
            step_row(number=2, parent="Rtest:1:1", spawned="Rchild"),
            execution_row(step=2, status="spawned", next="Rchild:1:1"),
            run_row("Rchild", parent="Rtest:2:1", root_run="Rtest", settled=True, status="succeeded"),
            step_row("Rchild"),
            execution_row("Rchild", status="succeeded", outcome=succeeded()),
        )
    )
    restore(scheduler, store, NOW)
    assert scheduler.families == {}
    assert load_family(scheduler, store, "Rnone") is None
    child = load_family(scheduler, store, "Rchild")
    assert child is not None
    assert (child.id, child.settled, child.family.root.settled) == ("Rchild", False, False)
    assert [run.id for run in child.family.runs] == ["Rtest", "Rchild"]
    assert child.family.unfinished == 0
    assert load_family(scheduler, store, "Rtest") is child.family.root
    effects = scheduler.drain(NOW)
    assert not effects.runs
    assert not effects.executions
    store.delete_run("Rtest")
    assert load_family(new_scheduler(), store, "Rtest") is None
