"""The store and its place: locked by others, unusable, shared by many commands, in directories with odd names."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.engine.conftest import scratch_project
from tests.engine.scratch import Finished, ScratchProject, kinds

FLOW = """
    @cf.task()
    def double(x):
        print("doubling", x)
        return x * 2

    @cf.workflow()
    def main():
        mark("main")
        gate("locked")
        handles = [double.submit(x) for x in range(50)]
        mark("submitted")
        return sum(handle.result() for handle in handles)
"""


def one_line_error(finished: Finished, *words: str) -> None:
    assert (finished.status, finished.out) == (2, ""), finished.err
    assert len(finished.err.splitlines()) == 1, finished.err
    for word in words:
        assert word in finished.err


def test_g01_a_store_locked_by_another_process_loses_nothing(project: ScratchProject) -> None:
    project.write("flow", FLOW)
    running = project.start("run", "--no-ui", "flow/main")
    project.marked("main")
    intruder = sqlite3.connect(Path(project.project.data_dir) / "coflux.db", isolation_level=None)
    try:
        intruder.execute("BEGIN EXCLUSIVE")
        project.open_gate("locked")
        project.marked("submitted")
        assert running.stderr is not None
        while "locked by another process" not in (line := running.stderr.readline()):
            assert line, "the command ended without a word about the lock"
        intruder.execute("ROLLBACK")
    finally:
        intruder.close()
    finished = project.finish(running)
    assert (finished.status, finished.value) == (0, 2450), finished.err
    run = project.only_run()
    assert kinds(project.read(run), "double") == [["succeeded"]] * 50
    assert sorted(project.output(run)) == sorted(f"doubling {x}" for x in range(50))


def test_g02_a_place_that_cannot_be_used_is_one_line(project: ScratchProject) -> None:
    project.write("flow", FLOW)
    file = project.root / "file"
    file.touch()
    one_line_error(project.run("flow/double", "1", COFLUX_DATA_DIR=str(file)), str(file))
    one_line_error(project.run("flow/double", "1", COFLUX_DATA_DIR="/proc/coflux"), "/proc/coflux")
    blocked = project.root / "blocked"
    (blocked / "coflux.db").mkdir(parents=True)
    one_line_error(project.run("flow/double", "1", COFLUX_DATA_DIR=str(blocked)), "coflux.db")


@contextmanager
def mounted(place: Path, options: str) -> Iterator[Path]:
    """A small file system in memory, where the tests may mount one."""
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_g02_g13_read_only_places_and_full_ones(project: ScratchProject) -> None:
    """A data directory that is read-only is one line; so is a full one. Homes and places for temporary files that are
    read-only, full or `noexec` do no harm."""
    project.write("flow", FLOW)
    with mounted(project.root / "readonly", "ro,size=64k") as place:
        one_line_error(project.run("flow/double", "1", COFLUX_DATA_DIR=str(place)), str(place))
        assert project.run("flow/double", "1", HOME=str(place), TMPDIR=str(place)).value == 2
    with mounted(project.root / "full", "size=16k,noexec") as place:
        (place / "filler").write_bytes(b"x" * 16_384)
        one_line_error(project.run("flow/double", "1", COFLUX_DATA_DIR=str(place)), str(place))
        assert project.run("flow/double", "1", HOME=str(place), TMPDIR=str(place)).value == 2


def test_g10_commands_that_start_at_once_share_one_engine(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        import psutil

        @cf.workflow()
        def main():
            mark("main")
            gate("all there")
            return psutil.Process().parents()[2].pid
        """,
    )
    commands = [project.start("run", "--no-ui", "flow/main") for _ in range(6)]
    project.marked("main", 6, timeout=30)
    project.open_gate("all there")
    engines = [project.finish(command).value for command in commands]
    assert len(set(engines)) == 1


def test_g12_a_stale_lock_and_socket_are_taken_over(project: ScratchProject) -> None:
    project.write("flow", FLOW)
    data = Path(project.project.data_dir)
    data.mkdir()
    (data / "lock").write_text(f"{os.getpid()}\n")  # a process that lives, but is no engine
    (data / "supervisor.sock").touch()
    finished = project.run("flow/double", "1")
    assert (finished.status, finished.value) == (0, 2), finished.err


@pytest.mark.parametrize(
    "name",
    ["with spaces", "ünïcödé 日本", "x" * 240, 'it\'s $HOME; "quoted" %s {0}'],
    ids=["spaces", "unicode", "long", "quotes"],
)
def test_g13_odd_project_paths(tmp_path: Path, name: str) -> None:
    with scratch_project(tmp_path / name) as scratch:
        scratch.write("flow", FLOW)
        finished = scratch.run("flow/double", "1")
        assert (finished.status, finished.value) == (0, 2), finished.err
        assert scratch.run(str(scratch.root / "flow.py/double"), "2").value == 4


def test_g13_a_symlink_and_dots_lead_to_the_same_project(project: ScratchProject) -> None:
    project.write("flow", FLOW)
    link = project.root.parent / "link"
    link.symlink_to(project.root)
    assert project.run(f"{link}/gates/../flow.py/double", "1").value == 2
    assert project.run("./gates/../flow.py/double", "2").value == 4
    assert len(project.coflux("runs", "list", "--json").out.split('"id"')) == 3


def test_g13_homes_and_temporary_directories_that_cannot_be_used(project: ScratchProject) -> None:
    project.write("flow", FLOW)
    del project.environment["HOME"]
    assert project.run("flow/double", "1").value == 2
    assert project.run("flow/double", "2", HOME="/proc").value == 4
    # Python falls back to /tmp.
    assert project.run("flow/double", "3", TMPDIR="/proc").value == 6
