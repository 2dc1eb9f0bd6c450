"""Old attempts leave with all that is below them, unless something points there."""

from __future__ import annotations

from contextlib import closing

import pytest

from coflux.executor.history import History
from coflux.executor.rows import ExecutionRow, GroupRow, PrunedRow, SharedRow
from coflux.executor.store import Store
from tests.store.factories import (
    batch,
    execution_row,
    finished_run,
    log_row,
    metric_row,
    points_row,
    run_row,
    step_row,
    succeeded,
)

PRUNED = PrunedRow("Rtest", 1, 1, 2)


def commit_recurrences(store: Store) -> None:
    """Three attempts at step 1. The first submitted steps 2 and 3, and 3 step 5, which became a run of two steps; the
    second submitted step 4."""
    store.commit(
        batch(
            run_row(),
            step_row(),
            execution_row(status="recurred", next="Rtest:1:2"),
            execution_row(attempt=2, status="recurred", next="Rtest:1:3", trigger="recurrence"),
            execution_row(attempt=3, trigger="recurrence"),
            step_row(number=2, parent="Rtest:1:1"),
            execution_row(step=2, status="failed", next="Rtest:2:2"),
            execution_row(step=2, attempt=2, status="succeeded", outcome=succeeded(), trigger="retry"),
            step_row(number=3, parent="Rtest:1:1", group=0),
            execution_row(step=3, status="succeeded", outcome=succeeded()),
            step_row(number=4, parent="Rtest:1:2"),
            execution_row(step=4, status="succeeded", outcome=succeeded()),
            step_row(number=5, parent="Rtest:3:1", spawned="Rchild"),
            execution_row(step=5, status="spawned", next="Rchild:1:1"),
            GroupRow("Rtest", 1, 1, 0, "batch", None),
            GroupRow("Rtest", 1, 2, 0, "batch", None),
            SharedRow("Rtest", 1, 1, 3, "Rtest:2:1", None),
            SharedRow("Rtest", 1, 2, 2, "Rtest:4:1", None),
            run_row("Rchild", parent="Rtest:5:1", root_run="Rtest"),
            step_row("Rchild"),
            execution_row("Rchild", status="succeeded", outcome=succeeded()),
            step_row("Rchild", number=2, parent="Rchild:1:1", spawned="Rgrandchild"),
            execution_row("Rchild", step=2, status="spawned", next="Rgrandchild:1:1"),
            run_row("Rgrandchild", parent="Rchild:2:1", root_run="Rtest"),
            step_row("Rgrandchild"),
            execution_row("Rgrandchild", status="succeeded", outcome=succeeded()),
            *(log_row(step=step, attempt=attempt) for step in (1, 2, 3, 4, 5) for attempt in (1, 2, 3)),
            *(metric_row(attempt=attempt) for attempt in (1, 2, 3)),
            *(points_row([1.0], attempt=attempt) for attempt in (1, 2, 3)),
            metric_row("Rchild"),
            points_row([1.0], run="Rchild"),
            log_row("Rchild"),
            log_row("Rgrandchild", step=1),
        )
    )


def left(store: Store, history: History) -> dict[str, list[object]]:
    """Everything there is of the run and its child runs."""
    runs = ("Rtest", "Rchild", "Rgrandchild")
    loaded = [run for run in map(store.load_run, runs) if run is not None]
    return {
        "runs": [run.run.id for run in loaded],
        "steps": [f"{step.run}:{step.number}" for run in loaded for step in run.steps],
        "executions": [execution.id for run in loaded for execution in run.executions],
        "groups": [(group.step, group.attempt) for run in loaded for group in run.groups],
        "shared": [(shared.step, shared.attempt) for run in loaded for shared in run.shared],
        "logs": [(entry.run, entry.step, entry.attempt) for run in runs for entry in history.logs(run)],
        "metrics": [(metric.execution, metric.points) for run in runs for metric in history.metrics(run)],
    }


PRUNED_STATE: dict[str, list[object]] = {
    "runs": ["Rtest"],
    "steps": ["Rtest:1", "Rtest:4"],
    "executions": ["Rtest:1:2", "Rtest:1:3", "Rtest:4:1"],
    "groups": [(1, 2)],
    "shared": [(1, 2)],
    # The log entries of attempts that never were stay.
    "logs": [("Rtest", step, attempt) for step, attempt in
             [(1, 2), (1, 3), (2, 3), (3, 2), (3, 3), (4, 1), (4, 2), (4, 3), (5, 2), (5, 3)]],
    "metrics": [("Rtest:1:2", 1), ("Rtest:1:3", 1)],
}  # fmt: skip


def test_all_below_an_attempt_leaves_with_it(store: Store, history: History) -> None:
    commit_recurrences(store)
    store.commit(batch(PRUNED))
    assert left(store, history) == PRUNED_STATE
    store.commit(batch(PRUNED))  # as after a commit that was refused half way
    assert left(store, history) == PRUNED_STATE


def test_an_attempt_that_submitted_nothing_leaves_alone(store: Store, history: History) -> None:
    commit_recurrences(store)
    before = left(store, history)
    store.commit(batch(PrunedRow("Rtest", 1, 2, None)))
    after = left(store, history)
    assert after["steps"] == before["steps"]
    assert after["executions"] == [execution for execution in before["executions"] if execution != "Rtest:1:2"]


def test_rows_of_the_same_batch_are_pruned_too(store: Store, history: History) -> None:
    commit_recurrences(store)
    store.commit(batch(PRUNED, execution_row(status="recurred", next="Rtest:1:2", cpu_seconds=1.0), log_row()))
    assert left(store, history) == PRUNED_STATE


POINTERS: dict[str, ExecutionRow | SharedRow] = {
    "a cache hit": execution_row("Rother", status="cached", next="Rtest:2:2"),
    "a deferral to an attempt of a step": execution_row("Rother", status="deferred", next="Rtest:3:1"),
    "a chain into a child run": execution_row("Rother", status="cached", next="Rgrandchild:1:1"),
    "a chain of another attempt": execution_row("Rtest", step=4, status="cached", next="Rtest:2:2"),
    "a shared handle": SharedRow("Rtest", 1, 3, 1, "Rtest:2:1", None),
    "a handle shared by another step": SharedRow("Rtest", 4, 1, 1, "Rchild:1:1", None),
}


@pytest.mark.parametrize("pointer", POINTERS)
def test_what_others_point_into_stays_with_its_attempt(store: Store, history: History, pointer: str) -> None:
    commit_recurrences(store)
    store.commit(batch(run_row("Rother"), step_row("Rother"), POINTERS[pointer]))
    before = left(store, history)
    store.commit(batch(PRUNED))
    assert left(store, history) == before


def test_links_to_the_attempt_itself_go_on_to_the_next_one(store: Store, history: History) -> None:
    commit_recurrences(store)
    store.commit(batch(execution_row("Rother", status="deferred", next="Rtest:1:1")))
    store.commit(batch(PRUNED, PrunedRow("Rtest", 1, 2, 4)))
    ends = [history.chain_end(start) for start in ("Rother:1:1", "Rtest:1:1", "Rtest:1:2", "Rtest:1:3")]
    assert [end and end.id for end in ends] == ["Rtest:1:3"] * 4
    stored = store.chain_end("Rother:1:1")
    assert stored is not None
    assert stored.id == "Rtest:1:3"
    assert history.chain_end("Rtest:1:4") is None
    assert history.execution("Rtest:1:1") is None
    newest = history.newest_end("Rtest")
    assert newest is not None
    assert newest.id == "Rtest:1:3"


def test_other_runs_are_left_alone(store: Store, history: History) -> None:
    commit_recurrences(store)
    # Of the same numbers, and of an id that begins alike.
    for run in ("Rother", "Rtest2"):
        store.commit(finished_run(run))
        store.commit(batch(step_row(run, number=2, parent=f"{run}:1:1"), execution_row(run, step=2), log_row(run, 2)))
    store.commit(batch(PRUNED))
    for run in ("Rother", "Rtest2"):
        assert [row.number for row in history.steps(run)] == [1, 2]
        assert [row.id for row in history.executions(run)] == [f"{run}:1:1", f"{run}:2:1"]
        assert len(history.logs(run)) == 2


def test_what_was_pruned_is_gone_after_a_restart(data_dir: str) -> None:
    with closing(Store.open(data_dir)) as store:
        commit_recurrences(store)
        store.commit(batch(PRUNED))
    with closing(Store.open(data_dir)) as store, closing(History.open(data_dir)) as history:
        assert left(store, history) == PRUNED_STATE
        assert [run.run.id for run in store.unfinished()] == ["Rtest"]
