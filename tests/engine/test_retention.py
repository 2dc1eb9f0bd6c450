"""`coflux gc` and deleting runs, with an engine that has other work meanwhile."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from coflux.executor.blobs import FileBlobs
from coflux.executor.history import History
from tests.engine.conftest import scratch_project
from tests.engine.scratch import ScratchProject, eventually

FLOW = """
    @cf.task(cache=True)
    def big(name):
        mark(f"big {name}")
        return name * 100_000

    @cf.workflow()
    def make(name):
        print("making", name)
        return big(name)

    @cf.workflow()
    def length(name):
        return len(big(name))

    @cf.workflow()
    def holds(name):
        value = big(name)
        mark("holds")
        gate("held")
        return len(value + big(name))
"""

YEAR = 365 * 86400.0


def blobs(project: ScratchProject) -> FileBlobs:
    return FileBlobs(str(Path(project.project.data_dir) / "blobs"))


def age(project: ScratchProject, *runs: str) -> None:
    """Make runs a year older, and all blobs; the engine knows nothing of runs that have settled."""
    path = os.path.join(project.project.data_dir, "coflux.db")
    with closing(sqlite3.connect(path, timeout=10)) as connection, connection:
        for run in runs:
            for table, key in (("runs", "id"), ("executions", "run")):
                sql = f"UPDATE {table} SET created_at = created_at - ?, finished_at = finished_at - ? WHERE {key} = ?"
                connection.execute(sql, (YEAR, YEAR, run))
    for digest in (files := blobs(project)).files():
        os.utime(files.path_of(digest), (time.time() - YEAR,) * 2)


def collected(project: ScratchProject, *arguments: str) -> dict[str, Any]:
    finished = project.coflux("gc", "--json", *arguments)
    assert finished.status == 0, finished.err
    report: dict[str, Any] = json.loads(finished.out)
    return report


def runs(project: ScratchProject) -> list[str]:
    with closing(History.open(project.project.data_dir)) as history:
        return [run.id for run in history.runs(limit=1000)]


def rows(project: ScratchProject) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(os.path.join(project.project.data_dir, "coflux.db"))) as connection:
        tables = ("runs", "steps", "executions", "targets", "contexts")
        return {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[ScratchProject]:
    with scratch_project(tmp_path / "project") as scratch:
        scratch.write("flow", FLOW)
        scratch.hold()
        yield scratch


def test_old_runs_go_and_what_others_use_of_them_stays(project: ScratchProject) -> None:
    """A cache hit from a run that is kept into one that is gone still gives its value; a run that works goes on."""
    empty = project.coflux("gc")
    assert (empty.status, empty.out.startswith("removed 0 runs")) == (0, True)
    kept_source, unused = (project.detach("flow/make", name) for name in "ab")
    for run in (kept_source, unused):
        project.settled(run)
    user = project.detach("flow/make", "a")
    project.settled(user)
    working = project.detach("flow/holds", "b")
    project.marked("holds")
    age(project, kept_source, unused)
    before = rows(project), blobs(project).files()

    foreseen = collected(project, "--dry-run")
    assert (rows(project), blobs(project).files()) == before
    report = collected(project)
    assert (foreseen["dry_run"], report["dry_run"]) == (True, False)
    assert {**foreseen, "dry_run": 0, "bytes_after": 0} == {**report, "dry_run": 0, "bytes_after": 0}
    assert report["runs"] == 2
    assert runs(project) == [working, user]
    assert project.coflux("runs", "result", user).out.strip() == json.dumps("a" * 100_000)
    assert project.output(kept_source) == []

    project.open_gate("held")
    assert project.settled(working)["result"] == 200_000
    # The cache has nothing of what was deleted any more.
    assert project.run("flow/length", "a").value == 100_000
    assert len(project.marks("big a")) == 2

    age(project, user, working)
    collected(project, "--older-than", "10d", "--max-size", "off")
    assert len(blobs(project).files()) == 1
    assert "collected garbage: 2 runs" in Path(project.project.data_dir, "supervisor.log").read_text()
    words = project.coflux("gc", "--max-size", "0", "--dry-run").out
    assert words.startswith("would remove 1 run, ")
    bad = project.coflux("gc", "--max-size", "much")
    assert (bad.status, bad.out) == (2, "")
    assert "--max-size" in bad.err


def test_a_deleted_run_leaves_nothing(project: ScratchProject) -> None:
    run = project.detach("flow/make", "a")
    project.settled(run)
    age(project)
    assert project.coflux("runs", "delete", run).status == 0
    assert runs(project) == []
    eventually(lambda: not rows(project)["runs"])
    eventually(lambda: not rows(project)["targets"])


def test_an_engine_that_becomes_idle_collects_once_a_day(tmp_path: Path) -> None:
    with scratch_project(tmp_path / "project", keep_for="30d") as project:
        project.write("flow", FLOW)
        old = project.detach("flow/make", "a")
        project.settled(old)
        eventually(lambda: not project.processes())
        age(project, old)
        path = os.path.join(project.project.data_dir, "coflux.db")
        assert project.run("flow/make", "b").status == 0
        eventually(lambda: not project.processes())
        assert len(runs(project)) == 2  # not due yet
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE settings SET value = CAST('1000.0' AS BLOB) WHERE key = 'collected_at'")
        assert project.run("flow/make", "c").status == 0
        eventually(lambda: not project.processes())
        assert len(runs(project)) == 2
        assert old not in runs(project)
        log = Path(project.project.data_dir, "supervisor.log").read_text()
        assert log.count("collected garbage: 1 runs") == 1


MANY = """
    @cf.task()
    def some(number):
        print("x" * 2000)
        return "y" * 20_000 + number

    @cf.workflow()
    def main(name):
        return len([some.submit(f"{name} {number}") for number in range(30)])

    @cf.workflow()
    def busy(count):
        return sum(some.submit(f"busy {number}").result() is not None for number in range(count))
"""


def test_it_goes_on_after_kills_and_stands_in_nobodys_way(project: ScratchProject) -> None:
    """The engine is killed in the middle of it, again and again; a run and a reader go on meanwhile in the end."""
    project.write("many", MANY)
    old = [project.detach("many/main", name) for name in "abc"]
    for run in old:
        project.settled(run)
    kept = project.detach("many/main", "kept")
    project.settled(kept)
    age(project, *old)
    before = rows(project), blobs(project).files()
    begun: list[Callable[[], bool]] = [
        lambda: len(rows(project)["executions"]) < len(before[0]["executions"]),
        lambda: len(blobs(project).files()) < len(before[1]),
    ]
    for has_begun in begun:
        collecting = project.start("gc")
        eventually(has_begun, interval=0.001)
        os.kill(project.supervisor_pid(), signal.SIGKILL)
        project.finish(collecting)
        project.hold()
    reading = threading.Event()
    seen: list[int] = []

    def read() -> None:
        while not reading.is_set():
            with closing(History.open(project.project.data_dir)) as history:
                seen.append(len(history.document(kept)["steps"]))

    reader = threading.Thread(target=read)
    reader.start()
    busy = project.start("run", "--no-ui", "many/busy", "50")
    collected(project)
    assert project.finish(busy).value == 50
    reading.set()
    reader.join()
    assert set(seen) == {31}
    assert not set(old) & set(runs(project))
    assert len(blobs(project).files()) == 80
    with closing(sqlite3.connect(os.path.join(project.project.data_dir, "coflux.db"))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM runs WHERE hidden").fetchone() == (0,)
    for step in project.read(kept)["steps"]:
        assert step["executions"][-1]["status"] == "succeeded"
