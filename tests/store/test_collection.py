"""Garbage collection on real stores: what goes and stays, shorter files, kills in the middle, readers meanwhile."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from math import inf
from pathlib import Path

import msgspec
import pytest

from coflux import asset_manifest
from coflux.executor.blobs import FileBlobs
from coflux.executor.collection import GarbageCollection
from coflux.executor.history import History
from coflux.executor.marking import Limits
from coflux.executor.messages import Succeeded, TargetSpec
from coflux.executor.rows import AssetRow, ExecutionRow, SharedRow
from coflux.executor.store import Store, StoreError
from coflux.task_options import TaskOptions
from coflux.values import Reference, Value
from tests.store.factories import (
    batch,
    collect,
    execution_row,
    finished_run,
    json_value,
    log_row,
    make,
    run_row,
    start_python,
    step_row,
    succeeded,
)

DONE = {"status": "succeeded", "settled": True}
EVERYTHING = Limits(before=inf)


@pytest.fixture
def blobs(data_dir: str) -> FileBlobs:
    return FileBlobs(os.path.join(data_dir, "blobs"))


def big(blobs: FileBlobs, text: str, **changes: object) -> Value:
    """A value in a blob."""
    content = text.encode() * 1000
    return msgspec.structs.replace(Value("pickle", b"", len(content), blobs.write([content])), **changes)


def outcome(value: Value) -> bytes:
    return msgspec.msgpack.encode(Succeeded(value))


def ended(run: str, at: float, value: Value) -> ExecutionRow:
    return execution_row(run, status="succeeded", created_at=0.0, finished_at=at, outcome=outcome(value))


def snapshot(data_dir: str) -> dict[str, object]:
    """Every row of both databases, and every blob."""
    rows: dict[str, object] = {"blobs": sorted(FileBlobs(os.path.join(data_dir, "blobs")).files())}
    for name in ("coflux.db", "logs.db"):
        with closing(sqlite3.connect(os.path.join(data_dir, name))) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                if table != "settings":
                    rows[table] = connection.execute(f"SELECT * FROM {table}").fetchall()
    return rows


def fill(store: Store, blobs: FileBlobs) -> set[str]:
    """Runs of every kind of reference. Return the blobs that must be left when all that may go is gone.

    Rold is old and nothing needs it. Rhit has a result of Rsource from the cache, which has a handle of Rdeep. Ropen
    is unfinished; its arguments and its target are blobs.
    """
    values = {name: big(blobs, name) for name in ("old", "source", "deep", "argument", "code", "file", "hit", "nobody")}
    manifest = blobs.write([manifest_of(values["file"].blob or "")])
    handle = msgspec.structs.replace(values["source"], references=(Reference("execution", "Rdeep:1:1"),))
    with_asset = json_value("1", references=(Reference("asset", manifest),))
    spec = TargetSpec("m", "by_value", "task", ("p0", "p1"), TaskOptions(), code=values["code"])
    for name, value in (("Rold", values["old"]), ("Rsource", handle), ("Rdeep", values["deep"])):
        store.commit(batch(run_row(name, created_at=1000.0, **DONE), step_row(name), log_row(name)))
        store.commit(batch(ended(name, 1000.0, value)))
    hit = execution_row("Rhit", status="cached", next="Rsource:1:1")
    store.commit(batch(run_row("Rhit", **DONE), step_row("Rhit", values=(values["hit"],)), hit, log_row("Rhit")))
    arguments = (values["argument"], with_asset)
    step = step_row("Ropen", values=arguments, name="by_value", target=msgspec.msgpack.encode(spec))
    store.commit(batch(run_row("Ropen"), step, execution_row("Ropen")))
    return {value.blob or "" for name, value in values.items() if name not in ("old", "nobody")} | {manifest}


def test_only_what_nothing_needs_goes(store: Store, history: History, blobs: FileBlobs, data_dir: str) -> None:
    kept = fill(store, blobs)
    before = snapshot(data_dir)
    limits = Limits(before=2000.0)
    promised = collect(store, limits, dry_run=True)
    assert snapshot(data_dir) == before
    report = collect(store, limits)

    assert set(blobs.files()) == kept
    assert [run.id for run in history.runs()] == ["Ropen", "Rhit"]
    assert [len(history.logs(run)) for run in ("Rold", "Rsource", "Rdeep", "Rhit")] == [0, 0, 0, 1]
    end = history.chain_end("Rhit:1:1")
    assert end is not None
    assert history.outcome(end.id) is not None
    assert store.load_run("Rold") is None
    assert (report.runs, report.blobs, report.log_entries) == (3, 2, 3)
    assert (promised.runs, promised.rows, promised.blobs) == (report.runs, report.rows, report.blobs)
    assert promised.log_entries == report.log_entries
    again = collect(store, limits)
    assert (again.runs, again.rows, again.log_entries, again.blobs) == (0, 0, 0, 0)

    store.delete_run("Rhit")
    collect(store)
    with closing(sqlite3.connect(store.path)) as connection:
        assert connection.execute("SELECT id FROM runs").fetchall() == [("Ropen",)]
        assert connection.execute("SELECT name FROM targets").fetchall() == [("by_value",)]


def test_the_oldest_go_until_the_rest_is_small_enough(store: Store, history: History, blobs: FileBlobs) -> None:
    for number in range(10):
        value = Value("pickle", b"", 100_000, blobs.write([os.urandom(100_000)]))
        name = f"R{number}"
        run = run_row(name, created_at=0.0, **DONE)
        store.commit(batch(run, step_row(name), ended(name, float(number), value)))
    report = collect(store, Limits(size=600_000))
    left = sorted(run.id for run in history.runs())
    assert left == [f"R{number}" for number in range(10 - len(left), 10)]
    assert 2 <= len(left) <= 5
    assert report.bytes_after <= 600_000 < report.bytes_before
    assert len(blobs.files()) == len(left)


def test_hidden_families_that_need_only_each_other_go(store: Store) -> None:
    for name, other in (("Ra", "Rb"), ("Rb", "Ra")):
        store.commit(batch(run_row(name, **DONE), step_row(name), SharedRow(name, 1, 1, 1, f"{other}:1:1", None)))
    store.delete_run("Ra")
    collect(store)
    assert store.load_run("Ra") is not None
    store.delete_run("Rb")
    collect(store)
    assert store.load_run("Ra") is store.load_run("Rb") is None


def test_what_was_just_written_stays(store: Store, blobs: FileBlobs) -> None:
    """Its row may be yet to come; and what is written again is as good as new."""
    digests = [blobs.write([name]) for name in (b"old", b"renewed", b"new")]
    for digest in digests[:2]:
        os.utime(blobs.path_of(digest), (1000.0, 1000.0))
    assert blobs.write([b"renewed"]) == digests[1]
    report = collect(store, untouched_since=2000.0)
    assert sorted(blobs.files()) == sorted(digests[1:])
    assert (report.blobs, report.recent_blobs) == (1, 2)


def test_a_blob_that_is_renewed_while_it_is_removed_stays(blobs: FileBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = blobs.write([b"used again"])
    os.utime(blobs.path_of(digest), (1000.0, 1000.0))
    rename = os.rename

    def rename_late(source: str, target: str) -> None:
        os.utime(source)  # a writer is a moment quicker
        rename(source, target)

    monkeypatch.setattr(os, "rename", rename_late)
    assert blobs.remove(digest, time.time() - 60) is None
    monkeypatch.undo()
    assert bytes(blobs.open(digest, 10)) == b"used again"
    # Killed while the blob is aside: it is put back.
    os.rename(
        blobs.path_of(digest), os.path.join(os.path.dirname(os.path.dirname(blobs.path_of(digest))), "tmp", digest)
    )
    assert list(blobs.files()) == [digest]


def test_files_of_killed_writers_go(store: Store, blobs: FileBlobs, data_dir: str) -> None:
    with start_python("") as writer:
        pass
    temporary = Path(data_dir, "blobs", "tmp")
    temporary.mkdir(parents=True)
    for name in (f"{writer.pid}-dead", f"{os.getpid()}-alive"):
        temporary.joinpath(name).write_bytes(b"half")
    collect(store, untouched_since=1000.0)
    assert len(list(temporary.iterdir())) == 2
    collect(store)
    assert [path.name for path in temporary.iterdir()] == [f"{os.getpid()}-alive"]


def test_who_is_busy_keeps_a_family(store: Store) -> None:
    """Also one that somebody becomes busy with, or begins to refer to, while garbage is being collected."""
    for name in ("Rasked", "Rlate", "Rused", "Rbelow", "Rfree"):
        store.commit(finished_run(name))
    store.commit(batch(SharedRow("Rused", 1, 1, 1, "Rbelow:1:1", None)))
    busy = ["Rasked"]
    garbage = GarbageCollection(store, EVERYTHING, inf, lambda: busy)
    garbage.look()
    busy.append("Rlate")
    store.commit(batch(run_row("Rnew"), step_row("Rnew"), execution_row("Rnew", status="cached", next="Rused:1:1")))
    make(garbage.delete_rows())
    assert [name for name in ("Rasked", "Rlate", "Rused", "Rbelow", "Rfree") if store.load_run(name) is not None] == [
        "Rasked",
        "Rlate",
        "Rused",
        "Rbelow",
    ]


def test_a_target_that_is_used_again_meanwhile_stays(store: Store) -> None:
    store.commit(finished_run("Rold"))
    store.delete_run("Rold")
    collect(store)
    garbage = GarbageCollection(store, EVERYTHING, inf)
    store.commit(batch(run_row("Rnew"), step_row("Rnew")))
    garbage.look()
    make(garbage.delete_rows())
    loaded = store.load_run("Rnew")
    assert loaded is not None
    assert loaded.steps == [step_row("Rnew")]


def test_a_store_that_cannot_be_read_loses_nothing(store: Store, data_dir: str, blobs: FileBlobs) -> None:
    blobs.write([b"somebody's"])
    store.commit(batch(run_row(), step_row(), execution_row(outcome=b"\xff", status="failed")))
    with pytest.raises(StoreError, match="is damaged"):
        collect(store, EVERYTHING)
    assert len(blobs.files()) == 1


# -- files ------------------------------------------------------------------------------------------------------------


def test_files_get_shorter_while_others_read(store: Store, history: History, data_dir: str) -> None:
    store.commit(finished_run("Rkept", created_at=inf))
    for number in range(20):
        name = f"R{number}"
        rows = [execution_row(name, attempt, outcome=succeeded(f'"{"x" * 5000}"')) for attempt in range(1, 21)]
        logs = [log_row(name, template="y" * 5000) for _ in range(20)]
        store.commit(batch(run_row(name, **DONE), *rows, *logs))
    collect(store)  # so that nothing is in the write-ahead logs
    sizes = [os.path.getsize(os.path.join(data_dir, name)) for name in ("coflux.db", "logs.db")]
    assert min(sizes) > 2_000_000
    with closing(History.open(data_dir)) as reader:
        assert len(reader.runs(limit=100)) == 21
        garbage = GarbageCollection(store, Limits(before=2e9), inf)
        garbage.look()
        lengths = set[int]()
        make(garbage.delete_rows(), meanwhile=lambda: lengths.add(len(reader.runs(limit=100))))
        assert lengths == {1}  # hidden first, all of them
        make(garbage.shrink())
        garbage.measure()
        assert [run.id for run in reader.runs()] == ["Rkept"]
    for name in ("coflux.db", "logs.db"):
        assert os.path.getsize(os.path.join(data_dir, name)) < 200_000
    assert garbage.report(1).bytes_after < 500_000
    assert [entry.template for entry in history.logs("Rkept")] == ["hello"]


# -- kills ------------------------------------------------------------------------------------------------------------

# Dies before the n-th thing that garbage collection does to the store or a file.
KILLED = """
import itertools, os, sys
from coflux.executor import blobs
from coflux.executor.database import Database
from coflux.executor.marking import Limits
from coflux.executor.store import Store
from tests.store.factories import collect
left = itertools.count(int(sys.argv[2]), -1)
def dying(call):
    def wrapper(*arguments):
        if next(left) == 0:
            os._exit(9)
        return call(*arguments)
    return wrapper
store = Store.open(sys.argv[1])
run = Database.run
Database.run = lambda database, sql, parameters=(): (
    dying(run) if sql.startswith(("DELETE", "COMMIT")) else run)(database, sql, parameters)
os.rename, os.unlink = dying(os.rename), dying(os.unlink)
collect(store, Limits(before=2000.0))
"""


def deaths(data_dir: str) -> Iterator[int]:
    """Kill one collection after the other, each a few operations later, until one survives."""
    for number in count(0, 7):
        with start_python(KILLED, data_dir, str(number)) as process:
            pass
        if process.returncode == 0:
            return
        assert process.returncode == 9
        yield number


def test_whatever_is_left_by_a_kill_is_whole_and_goes_later(data_dir: str) -> None:
    blobs = FileBlobs(os.path.join(data_dir, "blobs"))
    with closing(Store.open(data_dir)) as store:
        kept = fill(store, blobs)
    kills = 0
    for _ in deaths(data_dir):
        kills += 1
        left = set(blobs.files())
        with closing(Store.open(data_dir)) as store, closing(History.open(data_dir)) as history:
            assert left >= kept
            for run in history.runs():
                history.document(run.id)
            assert {"Ropen", "Rhit"} <= {run.id for run in history.runs()}
            assert store.load_run("Rdeep") is not None
        snapshot(data_dir)
    assert kills >= 3
    assert set(blobs.files()) == kept
    with closing(Store.open(data_dir)) as store:
        assert store.load_run("Rold") is None


def manifest_of(blob: str) -> bytes:
    """What an asset with one file is stored as."""
    return asset_manifest.encode(
        asset_manifest.new_manifest(None, [asset_manifest.StoredFile("a.txt", blob, 1, 0o644)])
    )


def test_assets_keep_their_blobs(store: Store, blobs: FileBlobs) -> None:
    content = blobs.write([b"content"])
    manifest = blobs.write([manifest_of(content)])
    store.commit(finished_run("Rmaker"))
    store.commit(batch(AssetRow("Rmaker", 1, 1, manifest, "report", 1, 7, 0.0)))
    collect(store)
    assert set(blobs.files()) == {content, manifest}
    collect(store, EVERYTHING)
    assert blobs.files() == {}
