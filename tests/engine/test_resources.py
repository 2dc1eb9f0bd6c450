"""What executions use: CPU time, memory and storage, with the processes that they start; shown and in JSON."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from coflux.executor import sampling
from coflux.executor.messages import Usage
from coflux.executor.sampling import ProcessTrees, more, sample, since
from tests.engine.scratch import ScratchProject, attempts

MIB = 1 << 20


def is_counted(directory: Path) -> bool:
    """Whether what is written there is written to storage, and not only to memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_oublock
    with open(directory / "probe", "wb") as file:
        file.write(os.urandom(MIB))
        os.fsync(file.fileno())
    return resource.getrusage(resource.RUSAGE_SELF).ru_oublock > before


def test_what_executions_use_with_the_processes_that_they_start(serial: ScratchProject) -> None:
    """One process runs all of them: each has its own, and the killed one what was seen of it."""
    serial.write(
        "flow",
        """
        import subprocess

        CHILD = '''
        import os, sys, time
        block = os.urandom(1 << 20) * 100
        until = time.process_time() + 0.25
        while time.process_time() < until:
            pass
        with open(sys.argv[1], "wb") as file:
            file.write(block[: 8 << 20])
            os.fsync(file.fileno())
        print("ready", flush=True)
        sys.stdin.read()
        '''

        def child():
            import textwrap
            command = [sys.executable, "-c", textwrap.dedent(CHILD), os.path.join(cf.project_dir(), f"w{time.time()}")]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert process.stdout.readline()
            return process

        @cf.task()
        def first():
            return os.getpid()

        @cf.task()
        def waits_for_a_child():
            child().communicate()
            return os.getpid()

        @cf.task()
        def second():
            return os.getpid()

        @cf.task()
        def has_two_children():
            children = [child(), child()]
            time.sleep(1.2)  # it is looked at twice a second
            for process in children:
                process.communicate()

        @cf.task()
        def is_killed():
            kept = child()
            mark("to be killed")
            gate("never")

        @cf.workflow()
        def main():
            assert first() == waits_for_a_child() == second()
            has_two_children()
            handle = is_killed.submit()
            while handle.poll(0.02) is None and not os.path.exists(os.path.join(os.environ["COFLUX_TEST_GATES"], "go")):
                pass
            handle.cancel()
        """,
    )
    running = serial.start("run", "--events", "flow/main")
    serial.marked("to be killed")
    serial.open_gate("go")
    events = [json.loads(line) for line in serial.finish(running).out.splitlines()]
    document = serial.read(serial.last_run())
    used = {name: attempts(document, name)[0] for name in ("first", "waits_for_a_child", "second")}
    used |= {name: attempts(document, name)[0] for name in ("has_two_children", "is_killed")}

    for name in ("first", "second"):
        assert used[name]["cpu_seconds"] < 0.2
        assert used[name]["written_bytes"] < MIB
        assert used[name]["read_bytes"] is not None
    for name, children in (("waits_for_a_child", 1), ("has_two_children", 2), ("is_killed", 1)):
        assert 0.25 * children <= used[name]["cpu_seconds"] < 0.25 * children + 1.0, name
        if is_counted(serial.root):
            assert 7.9 * children * MIB <= used[name]["written_bytes"] < (8 * children + 4) * MIB, name
    own = used["first"]["peak_memory"]
    assert used["second"]["peak_memory"] < own + 30 * MIB
    assert used["waits_for_a_child"]["peak_memory"] > 100 * MIB
    assert own + 200 * MIB < used["has_two_children"]["peak_memory"] < 2 * own + 300 * MIB
    assert own + 100 * MIB < used["is_killed"]["peak_memory"] < 2 * own + 200 * MIB
    assert used["is_killed"]["status"] == "cancelled"

    keys = ("cpu_seconds", "peak_memory", "read_bytes", "written_bytes")
    told = {event["id"]: event for event in events if event["event"] == "execution"}
    for execution in used.values():
        if execution["status"] == "succeeded":  # that of the killed one is known only when its process is gone
            assert [told[execution["id"]][key] for key in keys] == [execution[key] for key in keys]
    (run,) = json.loads(serial.coflux("runs", "list", "--json").out)["runs"]
    everything = [execution for step in document["steps"] for execution in step["executions"]]
    assert run["written_bytes"] == sum(execution["written_bytes"] for execution in everything)
    assert run["peak_memory"] == max(execution["peak_memory"] for execution in everything)
    assert abs(run["cpu_seconds"] - sum(execution["cpu_seconds"] for execution in everything)) < 1e-6
    assert "s CPU, " in serial.coflux("runs", "list").out
    (line,) = [line for line in serial.coflux("runs", "inspect", run["id"]).out.splitlines() if "has_two" in line]
    assert re.search(r"\d MiB +\d+ms$", line)


PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "print('ready', flush=True); input()"], stdin=subprocess.PIPE)
input()
child.communicate()
"""


@pytest.mark.parametrize("listed", [True, False], ids=["children are listed", "all processes are read"])
def test_a_tree_is_seen_from_outside(listed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not listed:
        monkeypatch.setattr(sampling, "_kernel_lists_children", lambda: False)
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        tree = ProcessTrees().of(process.pid)
        assert len(tree) == 2
        assert tree[0] == process.pid
        assert set(tree) < set(ProcessTrees().of(os.getpid()))
        both, child = sample(process.pid, ProcessTrees()), sample(tree[1], ProcessTrees())
        assert both is not None
        assert child is not None
        assert both.cpu_seconds > child.cpu_seconds > 0
        assert both.peak_memory > child.peak_memory > MIB
        assert (both.read_bytes is None) == (child.read_bytes is None)
        process.communicate(b"\n")
    assert sample(process.pid, ProcessTrees()) is None
    assert ProcessTrees().of(process.pid) == [process.pid]


@pytest.mark.parametrize(
    ("now", "before", "used"),
    [
        (Usage(2.0, 5, 10, 20), Usage(0.5, 9, 1, 2), Usage(1.5, 5, 9, 18)),
        (Usage(2.0, 5, 10, 20), Usage(0.0, 0), Usage(2.0, 5, 10, 20)),
        (Usage(2.0, 5), Usage(0.5, 9, 1, 2), Usage(1.5, 5)),
        (Usage(1.0, 5, 1, 1), Usage(1.5, 9, 2, 2), Usage(0.0, 5, 0, 0)),  # ticks are coarser than what a worker tells
    ],
)
def test_what_was_used_since(now: Usage, before: Usage, used: Usage) -> None:
    assert since(now, before) == used


@pytest.mark.parametrize(
    ("left", "right", "greater"),
    [
        (Usage(1.0, 9, 1, 9), Usage(2.0, 8, 3, 7), Usage(2.0, 9, 3, 9)),
        (Usage(1.0, 9), Usage(0.0, 0, 3, 7), Usage(1.0, 9, 3, 7)),
        (Usage(1.0, 9, 0, 0), Usage(0.0, 0), Usage(1.0, 9, 0, 0)),
    ],
)
def test_two_views_of_one_execution(left: Usage, right: Usage, greater: Usage) -> None:
    assert more(left, right) == greater
    assert more(right, left) == greater
