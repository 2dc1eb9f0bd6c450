"""Checkpoints: the logs stay small, blobs are safe before their rows, and no commit is refused on their account."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from coflux.executor import checkpoints
from coflux.executor.history import History
from coflux.executor.store import Store, StoreBusy, StoreError
from tests.store.factories import batch, execution_row, finished_run, log_row, run_row


def wal_size(data_dir: str, database: str = "coflux.db") -> int:
    return os.path.getsize(os.path.join(data_dir, f"{database}-wal"))


def durable_runs(data_dir: str, copy: Path) -> list[str]:
    """The runs that are there when the write-ahead log is lost."""
    # By another process: closing a file drops the locks that this process, and so SQLite, has on it.
    subprocess.run(["cp", os.path.join(data_dir, "coflux.db"), copy], check=True)
    with closing(sqlite3.connect(copy)) as connection:
        try:
            return [run for (run,) in connection.execute("SELECT id FROM runs ORDER BY id")]
        except sqlite3.OperationalError:
            return []  # not even the table has been checkpointed


class Disk:
    """Stands between the checkpointer and `os.fsync`: the test says when a sync is over, or that it fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.syncing = threading.Semaphore(0)
        self.synced = threading.Semaphore(0)
        self.failure: OSError | None = None
        monkeypatch.setattr("os.fsync", self.fsync)

    def fsync(self, descriptor: int) -> None:
        self.syncing.release()
        assert self.synced.acquire(timeout=30)
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk(monkeypatch)
    yield disk
    disk.failure = None
    for _ in range(1000):
        disk.synced.release()


def test_checkpoints_beside_the_writer_refuse_no_commit(
    store: Store, data_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "GROWTH", 50_000)
    rounds = 0
    original = checkpoints.sync_blobs

    def counted(*arguments: object) -> None:
        nonlocal rounds
        rounds += 1
        original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(checkpoints, "sync_blobs", counted)
    commits = 0
    while rounds < 40:
        commits += 1
        store.commit(batch(run_row(), execution_row(step=commits), log_row(template="x" * 500)))
    loaded = store.load_run("Rtest")
    assert loaded is not None
    assert len(loaded.executions) == commits


def test_a_writer_that_is_never_idle_does_not_make_the_log_grow_for_ever(
    data_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "GROWTH", 100_000)
    monkeypatch.setattr(checkpoints, "LIMIT", 1_000_000)
    store = Store.open(data_dir)
    cuts, previous, number = 0, 0, 0
    with closing(store):
        while cuts < 5:
            number += 1
            try:
                store.commit(batch(execution_row(step=number, outcome=b"x" * 2000)))
            except StoreBusy:
                number -= 1  # a slow disk: the commit may be refused rather than keep the loop waiting
                continue
            size = wal_size(data_dir)
            cuts += size < previous
            previous = size
            assert number < 100_000, f"the log has {size} bytes and only grows"


def test_a_commit_waits_briefly_for_the_last_step_of_a_checkpoint(store: Store) -> None:
    gate = store._checkpointer.gate
    with gate, pytest.raises(StoreBusy, match="being checkpointed"):
        store.commit(batch(run_row()))
    timer = threading.Timer(0.01, gate.release)
    gate.acquire()
    timer.start()
    store.commit(batch(run_row()))
    timer.join()


def test_blobs_are_synced_before_the_rows_that_need_them(
    data_dir: str, tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "GROWTH", 1)
    monkeypatch.setattr(checkpoints, "LOOKS", 1)
    blobs = [tmp_path / name for name in ("first", "second")]
    for blob in blobs:
        blob.write_bytes(b"content")
    store = Store.open(data_dir)
    store.blob_written(str(blobs[0]))
    store.commit(finished_run("Ra"))
    store.commit(batch(log_row()))  # any commit looks after the log
    assert disk.syncing.acquire(timeout=30)
    assert durable_runs(data_dir, tmp_path / "copy") == []

    disk.synced.release()  # the first blob
    assert disk.syncing.acquire(timeout=30)
    assert durable_runs(data_dir, tmp_path / "copy") == []
    disk.synced.release()  # its directory
    store.blob_written(str(blobs[1]))
    store.commit(batch(log_row()))
    store.commit(batch(log_row()))
    assert disk.syncing.acquire(timeout=30)  # the second blob: the next checkpoint, so the first is over
    assert durable_runs(data_dir, tmp_path / "copy") == ["Ra"]

    store.commit(finished_run("Rb"))
    for _ in range(10):
        disk.synced.release()
    store.close()
    assert durable_runs(data_dir, tmp_path / "copy") == ["Ra", "Rb"]


def test_a_blob_that_was_deleted_meanwhile_is_no_failure(data_dir: str, tmp_path: Path) -> None:
    store = Store.open(data_dir)
    store.blob_written(str(tmp_path / "gone" / "blob"))
    store.commit(finished_run())
    store.close()
    assert durable_runs(data_dir, tmp_path / "copy") == ["Rtest"]


def commit_until_refused(store: Store) -> None:
    for _ in range(1_000_000):
        store.commit(batch(run_row()))


def test_a_disk_that_fails_to_sync_stops_the_next_commit_once(
    store: Store, data_dir: str, tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoints, "GROWTH", 1)
    monkeypatch.setattr(checkpoints, "LOOKS", 1)
    blob = tmp_path / "blob"
    blob.write_bytes(b"content")
    disk.failure = OSError(5, "Input/output error")
    store.blob_written(str(blob))
    store.commit(batch(run_row()))
    store.commit(batch(run_row()))
    assert disk.syncing.acquire(timeout=30)
    monkeypatch.setattr(checkpoints, "GROWTH", 1 << 40)
    disk.synced.release()
    with pytest.raises(StoreError, match=r"blob cannot be synced to disk \(Input/output error\)"):
        commit_until_refused(store)
    store.commit(batch(run_row()))
    assert durable_runs(data_dir, tmp_path / "copy") == []


def test_a_reader_in_the_middle_of_a_read_keeps_its_view_and_stops_nobody(
    data_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(data_dir)
    store.commit(finished_run("Rold"))
    with closing(sqlite3.connect(os.path.join(data_dir, "coflux.db"), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM runs").fetchone() == (1,)
        store.commit(finished_run("Rnew"))
        store.close()
        assert reader.execute("SELECT count(*) FROM runs").fetchone() == (1,)
    with closing(History.open(data_dir)) as history:
        assert [run.id for run in history.runs()] == ["Rnew", "Rold"]
