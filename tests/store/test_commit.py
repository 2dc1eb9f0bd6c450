"""What was committed is there, once, whoever interferes."""

from __future__ import annotations

import os
import resource
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coflux.executor.history import History
from coflux.executor.rows import Batch, ExecutionRow, GroupRow, PrunedRow, SharedRow
from coflux.executor.store import Store, StoreBusy, StoreFull
from tests.store.factories import batch, execution_row, log_row, run_row, start_python, step_row, succeeded

HOLD_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
print("released", flush=True)
"""


@contextmanager
def locked_by_another_process(path: str) -> Iterator[None]:
    with start_python(HOLD_LOCK, path) as holder:
        assert holder.stdin
        assert holder.stdout
        assert holder.stdout.readline() == "locked\n"
        yield
        holder.stdin.write("\n")
        holder.stdin.flush()
        assert holder.stdout.readline() == "released\n"


def test_all_kinds_of_rows_come_back_as_they_were(store: Store) -> None:
    run = run_row(idempotency_key="null", started_at=5.0, options=b"\xff\x00")
    keys: dict[str, Any] = {"keys": b"k", "memo_key": b"m", "cache_key": b"c", "defer_key": b"d", "spawned": "Rchild"}
    steps = [step_row(number=1), step_row(number=2, parent="Rtest:1:1", group=0, name="other", depth=3, **keys)]
    executions = [
        execution_row(step=1, status="running", started_at=7.5, pid=12, generation=3),
        execution_row(step=2, attempt=2, workspace="dev", trigger="resumption", awaits="Rtest:1:1", resumes=True),
        execution_row(step=2, attempt=10, status="failed", outcome=b"o", cpu_seconds=0.5, peak_memory=2**40, due_at=9),
        execution_row(step=2, attempt=11, status="cached", fingerprint=b"f", cache_key=b"c", older_code=True),
    ]
    group = GroupRow("Rtest", 1, 1, 0, "batch", None)
    shared = SharedRow("Rtest", 1, 1, 3, "Rtest:2:2", 0)
    store.commit(batch(run, *executions, *steps, group, shared))

    loaded = store.load_run("Rtest")
    assert loaded is not None
    assert (loaded.run, loaded.steps, loaded.executions) == (run, steps, executions)
    assert (loaded.groups, loaded.shared) == ([group], [shared])
    assert store.outcome("Rtest", 2, 10) == b"o"
    assert store.outcome("Rtest", 2, 2) is None
    assert store.outcome("Rtest", 3, 1) is None
    assert store.load_run("Rnone") is None


def test_of_two_rows_with_one_key_the_later_one_counts(store: Store) -> None:
    older = (run_row(status="running"), execution_row(status="running"), step_row(name="old"))
    newer = (run_row(status="succeeded"), execution_row(status="succeeded"), step_row(name="new"))
    store.commit(batch(*older, *newer))
    loaded = store.load_run("Rtest")
    assert loaded is not None
    assert (loaded.run.status, loaded.executions[0].status, loaded.steps[0].name) == ("succeeded", "succeeded", "new")


def test_an_empty_batch_is_false_and_any_row_makes_it_true() -> None:
    assert not Batch()
    for row in (run_row(), step_row(), execution_row(), log_row(), GroupRow("Rtest", 1, 1, 0, None, None)):
        assert batch(row)
    assert batch(SharedRow("Rtest", 1, 1, 1, "Rtest:2:1", None))
    assert batch(PrunedRow("Rtest", 1, 1, None))


def test_log_ids_go_on_where_they_were(data_dir: str) -> None:
    with closing(Store.open(data_dir)) as store:
        store.commit(batch(run_row(), log_row()))
        store.commit(batch(log_row(), log_row()))
        assert store.last_log_id == 3
    with closing(Store.open(data_dir)) as store:
        assert store.last_log_id == 3


@pytest.mark.parametrize("database", ["coflux.db", "logs.db"])
def test_a_lock_of_another_process_refuses_at_once_and_loses_nothing(
    store: Store, history: History, data_dir: str, database: str
) -> None:
    store.commit(batch(run_row(), step_row(), execution_row(), log_row(template="first")))
    pending = batch(execution_row(status="running"), log_row(template="second"))
    with locked_by_another_process(os.path.join(data_dir, database)):
        started = time.monotonic()
        with pytest.raises(StoreBusy, match=database):
            store.commit(pending)
        assert time.monotonic() - started < 0.5
        assert store.last_log_id == 1
        assert [row.status for row in history.executions("Rtest")] == ["queued"]
        assert [row.template for row in history.logs("Rtest")] == ["first"]
        pending.executions.append(execution_row(status="succeeded"))
        pending.logs.append(log_row(template="third"))
        with pytest.raises(StoreBusy):
            store.commit(pending)

    store.commit(pending)
    assert [row.status for row in history.executions("Rtest")] == ["succeeded"]
    assert [(row.id, row.template) for row in history.logs("Rtest")] == [(1, "first"), (2, "second"), (3, "third")]


def test_without_log_rows_the_log_database_may_be_locked(store: Store, data_dir: str) -> None:
    with locked_by_another_process(os.path.join(data_dir, "logs.db")):
        store.commit(batch(run_row()))


@contextmanager
def files_may_not_exceed(size: int) -> Iterator[None]:
    """What a full disk looks like, without filling one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("big_row", [execution_row(outcome=b"x" * 500_000), log_row(template="x" * 500_000)])
def test_a_full_disk_is_told_and_the_same_batch_goes_in_later(store: Store, history: History, big_row: object) -> None:
    store.commit(batch(run_row(), step_row(), execution_row()))
    pending = batch(execution_row(status="running"), log_row(template="small"), big_row)  # type: ignore[arg-type]
    with files_may_not_exceed(400_000):
        for _ in range(2):
            with pytest.raises(StoreFull, match="cannot grow"):
                store.commit(pending)
            assert store.last_log_id == 0
    store.commit(pending)
    assert [entry.template for entry in history.logs("Rtest")] == [row.template for row in pending.logs]
    assert history.executions("Rtest")[0].status == pending.executions[-1].status


def test_a_target_is_stored_once_however_many_steps_it_has(store: Store, data_dir: str) -> None:
    store.commit(batch(run_row(), *(step_row(number=n) for n in range(1, 101))))
    store.commit(batch(*(step_row(number=n, name="other") for n in range(101, 201))))
    with closing(sqlite3.connect(os.path.join(data_dir, "coflux.db"))) as connection:
        assert connection.execute("SELECT count(*) FROM targets").fetchone() == (2,)
    loaded = store.load_run("Rtest")
    assert loaded is not None
    assert [step.name for step in loaded.steps] == ["ingest"] * 100 + ["other"] * 100


def test_a_target_of_a_refused_commit_is_stored_by_the_next_one(store: Store) -> None:
    pending = batch(run_row(), step_row(), execution_row(outcome=b"x" * 500_000))
    with files_may_not_exceed(400_000), pytest.raises(StoreFull):
        store.commit(pending)
    store.commit(pending)
    loaded = store.load_run("Rtest")
    assert loaded is not None
    assert loaded.steps == pending.steps


def test_a_mistake_of_the_program_is_not_taken_for_a_damaged_file(store: Store) -> None:
    with pytest.raises(sqlite3.ProgrammingError):
        store.commit(batch(run_row(created_at=object())))
    store.commit(batch(run_row()))


def test_what_is_unfinished_comes_with_its_whole_family(store: Store) -> None:
    done = {"settled": True, "status": "succeeded"}
    store.commit(batch(run_row("Rdone", **done), execution_row("Rdone", status="succeeded")))
    # Its finished child run belongs to the family.
    store.commit(batch(run_row("Rroot"), run_row("Rleaf", root_run="Rroot", parent="Rroot:2:1", **done)))
    store.commit(batch(execution_row("Rroot", step=2), execution_row("Rleaf", status="succeeded")))
    store.commit(batch(run_row("Ropen")))
    assert [loaded.run.id for loaded in store.unfinished()] == ["Rroot", "Rleaf", "Ropen"]
    store.commit(batch(run_row("Ropen", **done), run_row("Rroot", **done)))
    assert store.unfinished() == []


_statuses = st.sampled_from(["queued", "running", "succeeded", "failed"])
_updates = st.tuples(st.sampled_from(["Ra", "Rb"]), st.integers(1, 3), st.integers(1, 2), _statuses)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(_updates, max_size=6), max_size=8), st.integers(0, 8))
def test_any_series_of_commits_leaves_the_last_version_of_each_row(
    commits: list[list[tuple[str, int, int, str]]], reopen_before: int
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        store = Store.open(directory)
        store.commit(batch(run_row("Ra"), run_row("Rb")))
        expected: dict[tuple[str, int, int], ExecutionRow] = {}
        logs = 0
        for number, updates in enumerate(commits):
            if number == reopen_before:
                store.close()
                store = Store.open(directory)
            rows = [execution_row(run, step, attempt, status=status) for run, step, attempt, status in updates]
            store.commit(batch(*rows, *(log_row(row.run) for row in rows)))
            expected.update({(row.run, row.step, row.attempt): row for row in rows})
            logs += len(rows)
        loaded = [store.load_run(run) for run in ("Ra", "Rb")]
        assert [row for run in loaded if run for row in run.executions] == [expected[key] for key in sorted(expected)]
        assert store.last_log_id == logs
        store.close()


def test_an_outcome_is_found_by_its_execution(store: Store) -> None:
    store.commit(batch(run_row(), step_row(), execution_row(attempt=2, outcome=succeeded("[1]"))))
    assert store.outcome("Rtest", 1, 2) == succeeded("[1]")
