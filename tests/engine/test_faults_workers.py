"""Workers that die: killed, crashed, out of memory, at every moment of an execution's life."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.engine.scratch import SLACK, ScratchProject, eventually, kinds

CALLS = """
    @cf.task()
    def held(name):
        mark(name)
        gate(name)
        return name

    @cf.task()
    def double(x):
        mark("double")
        return x * 2

    def outcome(handle):
        "What a caller gets to see: the value, or the exception's class and text."
        try:
            return handle.result()
        except (cf.ExecutionError, cf.ExecutionCancelled, cf.ExecutionTimeout) as error:
            return [type(error).__name__, str(error)]
"""


def test_a01_a_killed_worker_abandons_its_execution_and_is_replaced(project: ScratchProject) -> None:
    project.write(
        "flow",
        CALLS
        + """
    @cf.workflow()
    def main():
        victim = held.submit("victim")
        bystander = held.submit("bystander")
        text = outcome(victim)
        mark("caught")
        doubled = double(21)
        mark("bystander may end")
        return [text, doubled, bystander.result()]
    """,
    )
    running = project.start("run", "--no-ui", "flow/main")
    (victim,) = project.marked("victim")
    killed_at = time.monotonic()
    os.kill(victim.pid, signal.SIGKILL)
    project.marked("bystander may end")
    project.open_gate("bystander")
    finished = project.finish(running)
    (kind, text), doubled, bystander = finished.value
    assert (kind, doubled, bystander) == ("ExecutionAbandoned", 42, "bystander")
    assert "SIGKILL" in text
    assert project.marks("caught")[0].at - killed_at < 1.0 * SLACK
    assert project.marks("double")[0].at - killed_at < 2.0 * SLACK
    assert kinds(project.read(project.only_run()), "held") == [["abandoned"], ["succeeded"]]


def test_a02_killed_idle_workers_are_nobodys_concern(project: ScratchProject) -> None:
    project.write(
        "flow",
        CALLS
        + """
    @cf.workflow()
    def main():
        pair = [held.submit("one"), held.submit("two")]
        names = [handle.result() for handle in pair]
        mark("both idle")
        gate("killed")
        return names + [handle.result() for handle in [double.submit(1), double.submit(2)]]
    """,
    )
    running = project.start("run", "--no-ui", "flow/main")
    workers = {project.marked(name)[0].pid for name in ("one", "two")}
    project.open_gate("one")
    project.open_gate("two")
    project.marked("both idle")
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    eventually(lambda: workers.isdisjoint(project.workers()), 2.0 * SLACK)
    project.open_gate("killed")
    finished = project.finish(running)
    assert finished.value == ["one", "two", 2, 4]
    assert "abandoned" not in finished.err
    assert workers.isdisjoint(mark.pid for mark in project.marks("double"))


def test_a03_a_worker_killed_while_it_writes_its_result_leaves_no_partial_blob(project: ScratchProject) -> None:
    project.write(
        "flow",
        CALLS
        + """
    class Slow:
        "Its pickling stops until the test lets it go on."
        def __getstate__(self):
            mark("pickling")
            gate("pickling")
            return {"done": True}

    @cf.task(retries=1)
    def produce():
        return [os.urandom(1 << 20) * 64, Slow()]

    @cf.workflow()
    def main():
        data, slow = produce()
        return [len(data), slow.done]
    """,
    )
    running = project.start("run", "--no-ui", "flow/main")
    (first,) = project.marked("pickling")
    os.kill(first.pid, signal.SIGKILL)
    project.marked("pickling", 2)
    project.open_gate("pickling")
    assert project.finish(running).value == [64 << 20, True]
    assert kinds(project.read(project.only_run()), "produce") == [["abandoned", "succeeded"]]
    blobs = [path for path in (Path(project.project.data_dir) / "blobs").rglob("*") if path.is_file()]
    assert [path for path in blobs if path.stat().st_size > 1 << 20 and path.stat().st_size < 64 << 20] == []
    assert [path.name for path in blobs if path.parent.name == "tmp"] == []


def test_a05_a_worker_killed_while_it_reads_its_arguments_blocks_nobody(project: ScratchProject) -> None:
    project.write(
        "flow",
        CALLS
        + """
    class Slow:
        def __setstate__(self, state):
            mark("unpickling")
            gate("never")
        def __getstate__(self):
            return {"x": 1}

    @cf.task()
    def consume(data, slow):
        return len(data)

    @cf.workflow()
    def main():
        text = outcome(consume.submit(b"x" * (64 << 20), Slow()))
        return [text, double(21)]
    """,
    )
    running = project.start("run", "--no-ui", "flow/main")
    (victim,) = project.marked("unpickling")
    killed_at = time.monotonic()
    os.kill(victim.pid, signal.SIGKILL)
    (kind, _), doubled = project.finish(running).value
    assert (kind, doubled) == ("ExecutionAbandoned", 42)
    assert project.marks("double")[0].at - killed_at < 1.0 * SLACK


def test_a06_a07_a15_crashes_are_told_with_their_evidence(project: ScratchProject) -> None:
    project.write(
        "flow",
        CALLS
        + """
    @cf.task()
    def leave():
        for number in range(20):
            print("line", number, flush=True)
        os._exit(7)

    @cf.task()
    def crash():
        import ctypes
        def at_fault():
            ctypes.string_at(0)
        at_fault()

    @cf.task()
    def leave_politely(status):
        sys.exit(status)

    @cf.workflow()
    def main():
        calls = [leave.submit(), crash.submit(), *(leave_politely.submit(status) for status in (3, "the message", 0))]
        return [outcome(call) for call in calls] + [double(21)]
    """,
    )
    finished = project.run("flow/main")
    leave, crash, three, message, zero, doubled = finished.value
    assert leave[0] == crash[0] == "ExecutionAbandoned"
    assert "exit code 7" in leave[1]
    assert "SIGSEGV" in crash[1]
    assert "at_fault" in crash[1]
    assert [three[0], message[0], zero[0]] == ["ExecutionError"] * 3
    assert "3" in three[1]
    assert "the message" in message[1]
    assert doubled == 42
    run = project.only_run()
    assert kinds(project.read(run), "leave_politely") == [["failed"]] * 3
    assert [line for line in project.output(run, 2) if line.startswith("line")] == [f"line {n}" for n in range(20)]


@pytest.fixture
def small_cgroup() -> Iterator[Path]:
    """A memory cgroup with a limit of 200 MiB; members leave it for its parent at the end."""
    limit = 200 << 20
    v2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    parent = Path("/sys/fs/cgroup") if v2 else Path("/sys/fs/cgroup/memory")
    group = parent / f"coflux-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no memory cgroup can be made in {parent}: {error.strerror}")
    try:
        try:
            (group / ("memory.max" if v2 else "memory.limit_in_bytes")).write_text(str(limit))
        except OSError as error:
            pytest.skip(f"the memory of {group} cannot be limited: {error.strerror}")
        yield group
    finally:
        group.rmdir()


def test_a10_out_of_memory_is_named_with_the_peak(project: ScratchProject, small_cgroup: Path) -> None:
    project.write(
        "flow",
        CALLS
        + """
    @cf.task()
    def hoard(group):
        with open(os.path.join(group, "cgroup.procs"), "w") as file:
            file.write(str(os.getpid()))
        kept = []
        while True:
            kept.append(bytearray(os.urandom(1 << 20)))
            time.sleep(0.01)

    @cf.workflow()
    def main(group: str):
        return [outcome(hoard.submit(group)), double(21)]
    """,
    )
    (kind, text), doubled = project.run("flow/main", str(small_cgroup)).value
    assert (kind, doubled) == ("ExecutionAbandoned", 42)
    assert "out of memory" in text
    assert "peak memory" in text


def test_a11_all_workers_killed_at_once(project: ScratchProject) -> None:
    project.write(
        "flow",
        CALLS
        + """
    @cf.workflow()
    def main():
        victims = [held.submit("victim") for _ in range(4)]
        queued = [double.submit(x) for x in range(8)]
        return [[outcome(handle)[0] for handle in victims], [handle.result() for handle in queued]]
    """,
    )
    running = project.start("run", "--no-ui", "flow/main", COFLUX_CONCURRENCY="4")
    victims = project.marked("victim", 4)
    assert project.marks("double") == []
    for victim in victims:
        os.kill(victim.pid, signal.SIGKILL)
    assert project.finish(running).value == [["ExecutionAbandoned"] * 4, [x * 2 for x in range(8)]]


def test_a13_a_module_that_crashes_at_import_is_named_and_not_tried_over_and_over(project: ScratchProject) -> None:
    project.write(
        "broken",
        """
        import ctypes
        mark("import")
        ctypes.string_at(0)
        """,
    )
    finished = project.run("broken/main")
    assert (finished.status, finished.out) == (2, "")
    assert "broken" in finished.err
    assert "SIGSEGV" in finished.err
    assert len(project.marks("import")) == 1


@pytest.mark.parametrize("generations", [1, 2, 3], ids=["module host", "guardian", "supervisor"])
def test_a17_a_task_that_kills_what_runs_it(project: ScratchProject, generations: int) -> None:
    """Whatever it kills above itself, its run goes on with a second attempt."""
    project.write(
        "flow",
        f"""
        import psutil, signal

        @cf.workflow(retries=1)
        def main():
            first = not os.path.exists(os.path.join(os.environ["COFLUX_TEST_GATES"], "again"))
            mark("attempt")
            if first:
                open(os.path.join(os.environ["COFLUX_TEST_GATES"], "again"), "w").close()
                psutil.Process().parents()[{generations - 1}].send_signal(signal.SIGKILL)
                time.sleep(60)
            return 42
        """,
    )
    finished = project.run("flow/main")
    (first, *_) = project.marks("attempt")
    if generations < 3:
        assert (finished.status, finished.value) == (0, 42), finished.err
    else:
        assert finished.status == 1
        assert "lost the engine" in finished.err
        eventually(lambda: not psutil.pid_exists(first.pid))
        project.write("other", CALLS)
        assert project.run("other/double", "1").value == 2  # a command that needs the engine starts it again
    oldest = json.loads(project.coflux("runs", "list", "--json").out)["runs"][-1]
    assert kinds(project.settled(oldest["id"]), "main") == [["abandoned", "succeeded"]]


@pytest.mark.parametrize(
    "ending", ["return 1", 'raise ValueError("mine")', "double(1)", "[open(os.devnull) for _ in range(50)]"]
)
def test_a_task_that_closes_the_engines_descriptors_is_abandoned_with_the_reason(
    shared: ScratchProject, ending: str
) -> None:
    """Its process cannot tell anything any more: it ends, and says nothing in the task's name."""
    shared.write(
        "flow",
        CALLS
        + f"""
    @cf.task()
    def closing():
        print("closing", flush=True)
        os.closerange(3, 200)
        {ending}

    @cf.workflow()
    def main():
        return [outcome(closing.submit()), double(21)]
    """,
    )
    finished = shared.run("flow/main")
    (kind, text), doubled = finished.value
    assert (kind, doubled) == ("ExecutionAbandoned", 42)
    assert text.startswith("its code closed file descriptors of the engine (os.closerange?)")
    assert shared.output(shared.last_run()) == ["closing"]
