"""Signals to the foreground command: Ctrl-C at any moment, twice, SIGTERM, a terminal that is closed."""

from __future__ import annotations

import fcntl
import os
import pty
import random
import signal
import subprocess
import termios
import time

import psutil

from tests.engine.scratch import COMMAND, SLACK, ScratchProject, eventually, kinds

SEED = 73

FLOW = """
    @cf.task()
    def held(name="never"):
        mark("held")
        gate(name)
        return name

    @cf.workflow()
    def main():
        return [handle.result() for handle in [held.submit() for _ in range(4)]]

    @cf.workflow()
    def short(name):
        return held(name)
"""


def interrupted(project: ScratchProject, running: subprocess.Popen[str], limit: float) -> str:
    """Send Ctrl-C; the command must end within the limit. Returns what it said."""
    sent_at = time.monotonic()
    running.send_signal(signal.SIGINT)
    finished = project.finish(running)
    assert finished.status == 130, finished.err
    assert finished.out == ""
    assert time.monotonic() - sent_at < limit * SLACK
    return finished.err


def test_b02_ctrl_c_cancels_the_run(shared: ScratchProject) -> None:
    shared.write("flow", FLOW)
    running = shared.start("run", "--no-ui", "flow/main")
    marks = shared.marked("held", 4)
    said = interrupted(shared, running, 3.0)
    assert "cancelling" in said
    assert "Traceback" not in said
    run = said.split()[1]
    assert kinds(shared.read(run), "main") == [["cancelled"]]
    assert kinds(shared.read(run), "held") == [["cancelled"]] * 4
    assert not any(psutil.pid_exists(mark.pid) for mark in marks)


def test_b03_ctrl_c_during_an_import(project: ScratchProject) -> None:
    project.write("slow", "mark('importing')\ngate('never')\n")
    running = project.start("run", "--no-ui", "slow/main")
    project.marked("importing")
    assert "Traceback" not in interrupted(project, running, 3.0)
    eventually(lambda: not project.processes(), 3.0 * SLACK)


def test_b04_ctrl_c_twice_leaves_at_once(project: ScratchProject) -> None:
    """Even a task that takes its grace period is killed by the second one."""
    project.write(
        "flow",
        """
        import signal

        @cf.workflow()
        def main():
            signal.signal(signal.SIGTERM, lambda *_: mark("told to end"))
            mark("running")
            while True:
                time.sleep(0.01)
        """,
    )
    running = project.start("run", "--no-ui", "flow/main", COFLUX_GRACE="30")
    (mark,) = project.marked("running")
    running.send_signal(signal.SIGINT)
    project.marked("told to end")
    interrupted(project, running, 0.5)
    eventually(lambda: not psutil.pid_exists(mark.pid), 1.0 * SLACK)


def test_b06_sigterm_ends_a_task_that_ignores_sigterm(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        import signal

        @cf.workflow()
        def main():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            mark("running")
            gate("never")
        """,
    )
    running = project.start("run", "--no-ui", "flow/main", COFLUX_GRACE="0.5")
    (mark,) = project.marked("running")
    sent_at = time.monotonic()
    running.send_signal(signal.SIGTERM)
    finished = project.finish(running)
    assert (finished.status, finished.out) == (143, "")
    assert 0.5 <= time.monotonic() - sent_at < 1.5 * SLACK
    assert not psutil.pid_exists(mark.pid)
    assert kinds(project.read(project.only_run()), "main") == [["cancelled"]]


def test_b07_a_closed_terminal_leaves_the_run_alone(project: ScratchProject) -> None:
    """Also the engine: no other client is attached."""
    project.write("flow", FLOW)
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        (*COMMAND, "run", "--no-ui", "flow/short", "open"),
        cwd=project.root,
        env=project.environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 (this test has one thread)
    )
    os.close(theirs)
    project.marked("held")
    os.close(ours)
    assert running.wait(10) == 129
    run = project.only_run()
    assert kinds(project.read(run), "held") == [["running"]]
    project.open_gate("open")
    project.settled(run)
    assert project.coflux("runs", "result", run).value == "open"


def test_a_terminal_that_is_closed_during_an_import(project: ScratchProject) -> None:
    """The run is not there yet, but it was asked for."""
    project.write("flow", "mark('importing')\ngate('imported')\n@cf.workflow()\ndef main():\n    return 5\n")
    running = project.start("run", "--no-ui", "flow/main")
    project.marked("importing")
    running.send_signal(signal.SIGHUP)
    project.open_gate("imported")
    assert project.finish(running).status == 129
    assert project.settled(project.only_run())["result"] == 5


def test_b13_exit_handlers_of_the_users_code_harm_nothing(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        import atexit, threading

        def raising():
            mark("raising")
            raise ValueError("from an exit handler")

        def sleeping():
            mark("sleeping")
            time.sleep(60)

        @cf.task()
        def leave_handlers():
            atexit.register(sleeping)
            atexit.register(raising)
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()  # so that the process is not kept
            return 42

        @cf.workflow()
        def main():
            return leave_handlers()
        """,
    )
    finished = project.run("flow/main")
    assert (finished.status, finished.value) == (0, 42), finished.err
    (mark,) = project.marked("sleeping")
    assert len(project.marks("raising")) == 1
    eventually(lambda: not psutil.pid_exists(mark.pid), 3.0 * SLACK)
    assert "from an exit handler" in "\n".join(project.output(project.only_run()))


def test_ctrl_c_at_twenty_random_moments(shared: ScratchProject) -> None:
    shared.write(
        "flow",
        """
        @cf.task()
        def work(x):
            mark("work")
            time.sleep(0.02)
            return x

        @cf.workflow()
        def main():
            while True:
                total = sum(handle.result() for handle in [work.submit(x) for x in range(4)])
        """,
    )
    chance = random.Random(SEED)
    runs = []
    for _ in range(20):
        running = shared.start("run", "--no-ui", "flow/main")
        assert running.stderr is not None
        runs.append(running.stderr.readline().split()[1])
        time.sleep(chance.uniform(0.0, 0.3))
        interrupted(shared, running, 3.0)
    for run in runs:
        document = shared.settled(run, 3.0 * SLACK)
        assert document["run"]["status"] == "cancelled"
        states = {execution["status"] for step in document["steps"] for execution in step["executions"]}
        assert states <= {"cancelled", "succeeded"}
