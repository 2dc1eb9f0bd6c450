"""Disks that are full, files that are damaged or gone, and what a power cut leaves (faults B11, G03, G05, G06, G07)."""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from coflux.executor.blobs import FileBlobs
from tests.engine.conftest import scratch_project
from tests.engine.scratch import COMMAND, ScratchProject, eventually, kinds

FLOW = """
    @cf.task(cache=True)
    def big(size=100_000):
        return b"x" * size

    @cf.workflow()
    def main():
        print("hello")
        return len(big())

    @cf.workflow()
    def full():
        try:
            big(8_000_000)
        except cf.ExecutionError as error:
            failure = str(error)
        mark("failed")
        for _ in range(40):
            print("y" * 100_000)
        mark("printed")
        return failure
"""

LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.fixture
def flow(project: ScratchProject) -> ScratchProject:
    project.write("flow", FLOW)
    return project


def test_g03_a_full_disk_fails_what_needs_it_and_the_rest_waits_for_space(flow: ScratchProject) -> None:
    """A result that does not fit fails its step; logs and rows wait, and nothing of them is lost. No file may exceed
    two megabytes, until the test lets them."""
    running = flow.start_python("-c", LIMITED, *COMMAND[1:], "run", "--no-ui", "flow/full")
    flow.marked("failed")
    assert running.stderr is not None
    while "cannot grow" not in (line := running.stderr.readline()):
        assert line, "the command ended without a word about the disk"
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    for process in flow.processes():
        if process.pid != running.pid:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
    finished = flow.finish(running)
    assert finished.status == 0, finished.err
    assert "File too large" in finished.value
    assert "nothing was lost" in finished.err
    run = flow.only_run()
    assert kinds(flow.read(run), "big") == [["failed"]]
    assert sum(len(text) == 100_000 for text in flow.output(run)) == 40


def test_g05_damage_is_named_and_logs_are_begun_anew(flow: ScratchProject) -> None:
    data = Path(flow.project.data_dir)
    assert flow.run("flow/main").value == 100_000
    first = flow.only_run()
    eventually(lambda: not flow.processes())

    (data / "logs.db").write_bytes(b"garbage" * 1000)
    again = flow.run("flow/main")
    assert (again.status, again.value) == (0, 100_000)
    assert "logs.db is damaged" in again.err
    assert "results are all there" in again.err
    assert len(list(data.glob("logs.db.damaged-*"))) == 1
    assert flow.coflux("runs", "result", first).status == 0
    assert flow.output(flow.last_run()) == ["hello"]
    assert "damaged" not in flow.run("flow/main").err  # said once
    eventually(lambda: not flow.processes())

    before = b"garbage" * 1000
    (data / "coflux.db").write_bytes(before)
    refused = flow.run("flow/main")
    assert (refused.status, refused.out) == (2, "")
    assert len(refused.err.splitlines()) == 1
    assert (data / "coflux.db").read_bytes() == before  # never touched without being asked for
    remedy = refused.err.partition("`")[2].partition("`")[0]
    subprocess.run(shlex.split(remedy), check=True)
    assert flow.run("flow/main").value == 100_000


def test_g05_logs_that_are_damaged_under_a_running_engine(flow: ScratchProject) -> None:
    flow.hold()
    assert flow.run("flow/main").value == 100_000
    logs = Path(flow.project.data_dir, "logs.db")
    with closing(sqlite3.connect(logs, timeout=10)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    logs.write_bytes(b"garbage" * 10_000)
    finished = flow.run("flow/main")
    assert (finished.status, finished.value) == (0, 100_000)
    assert "and a new one is begun" in finished.err
    assert flow.output(flow.last_run()) == ["hello"]


@pytest.mark.parametrize("removed", ["coflux.db-wal", "coflux.db-shm"])
def test_g06_an_engine_whose_files_were_removed_says_so_and_stops(tmp_path: Path, removed: str) -> None:
    with scratch_project(tmp_path / "project") as project:
        project.write("flow", FLOW.replace("100_000)", "10)") + LOOP)
        running = project.start("run", "--no-ui", "flow/loop")
        project.marked("loop")
        os.unlink(Path(project.project.data_dir, removed))
        project.open_gate("go")
        finished = project.finish(running)
        assert finished.status != 0
        assert f"{removed} was removed while in use" in finished.err
        eventually(lambda: not project.processes())
        project.stop()
        shutil.rmtree(project.project.data_dir)  # what is lost is lost; `check` wants a store that is whole


LOOP = """
    @cf.task()
    def small(number):
        return number

    @cf.workflow()
    def loop():
        mark("loop")
        gate("go")
        return sum(small(number) for number in range(200))
"""


@pytest.mark.parametrize("damage", ["missing", "truncated", "wrong"])
def test_g07_a_blob_that_is_not_as_it_was(flow: ScratchProject, damage: str) -> None:
    """The cache takes nothing of it and says so, and the value is written anew, under the same name."""
    assert flow.run("flow/big").status == 0
    blobs = FileBlobs(str(Path(flow.project.data_dir, "blobs")))
    [digest] = blobs.files()
    path = Path(blobs.path_of(digest))
    match damage:
        case "missing":
            path.unlink()
        case "truncated":
            os.truncate(path, 10)
        case _:
            path.write_bytes(b"z" * path.stat().st_size)
    again = flow.run("flow/main")
    assert (again.status, again.value) == (0, 100_000)
    assert "is not taken from the cache" in again.err
    assert digest in again.err
    assert flow.run("flow/main").err.count("is not taken from the cache") == 0  # it has been written anew


def test_b11_after_a_power_cut_nothing_succeeded_without_its_value(project: ScratchProject, tmp_path: Path) -> None:
    """Copies of a working store, of which the last pages of the write-ahead log did not get to the disk."""
    project.write("flow", FLOW + LOOP)
    running = project.start("run", "--no-ui", "flow/loop")
    project.marked("loop")
    project.open_gate("go")
    data = Path(project.project.data_dir)
    eventually(lambda: (data / "coflux.db-wal").stat().st_size > 200_000)
    copy = tmp_path / "copy"
    shutil.copytree(data, copy, ignore=shutil.ignore_patterns("*.sock", "lock", "*-shm"))
    assert project.finish(running).status == 0
    project.stop()
    eventually(lambda: not project.processes())
    log = copy / "coflux.db-wal"
    os.truncate(log, log.stat().st_size * 2 // 3 + 7)
    assert project.coflux("runs", "list", "--data-dir", str(copy)).status == 0
    listed = project.coflux("queue", "--data-dir", str(copy))
    assert listed.status == 0, listed.err
    resumed = project.coflux("run", "--no-ui", "--data-dir", str(copy), "flow/small", "7")
    assert (resumed.status, resumed.value) == (0, 7), resumed.err
    eventually(lambda: not project.processes())  # what was queued has been executed, too
    with closing(sqlite3.connect(copy / "coflux.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        statement = "SELECT status, outcome IS NULL FROM executions"
        states = connection.execute(statement).fetchall()
    assert ("succeeded", 1) not in states
    assert {status for status, _ in states} <= {"succeeded", "abandoned", "cancelled"}
