"""Scenarios: several clients of one engine; each sees its own terminal, and what another one does to its run."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

from tests.engine.scratch import COMMAND, SLACK, ScratchProject, eventually

FLOW = """
NAMES = ("TERM", "COLUMNS", "SSH_TTY")

def terminal():
    return [os.environ.get(name) for name in NAMES]

at_import = terminal()
os.environ["COLORTERM"] = "chosen"

@cf.task()
def child():
    return terminal()

@cf.workflow()
def held(name):
    mark(name)
    gate(name)
    return terminal()

@cf.workflow()
def main():
    return terminal(), child(), os.environ["COLORTERM"]

@cf.task(retries=1)
def retried(name):
    if attempt(name) == 1:
        gate("never")
    return terminal()

@cf.workflow()
def imported():
    return at_import

@cf.task()
def overwriting():
    os.environ["TERM"] = "mine"
    os.environ.pop("COLUMNS", None)
"""

FIRST = {"TERM": "aaa", "COLUMNS": "", "SSH_TTY": "/dev/pts/7"}
SECOND = {"TERM": "bbb", "COLUMNS": "99", "COLORTERM": "truecolor"}


def test_a_stop_that_cancels_is_the_end_of_the_run_not_the_loss_of_the_engine(project: ScratchProject) -> None:
    """Behaviour 11.1: one document, as after `runs cancel`."""
    project.write("flow", FLOW)
    running = [
        project.start("run", "--json", "flow/held", "first"),
        project.start("run", "--no-ui", "flow/held", "second"),
    ]
    project.marked("first")
    project.marked("second")
    stopped = project.coflux("stop", "--cancel")
    assert (stopped.status, "cancelled 2" in stopped.out) == (0, True)
    document, lines = (project.finish(process) for process in running)
    assert document.status == lines.status == 1
    assert json.loads(document.out)["run"]["status"] == "cancelled"
    assert "lost the engine" not in document.err + lines.err
    assert lines.err.splitlines()[-1].endswith("cancelled")


def test_executions_see_the_terminal_of_their_own_client(serial: ScratchProject) -> None:
    """Behaviour 12.1: the environments count as equal, so the clients share processes. Children see it, too."""
    serial.write("flow", FLOW)
    serial.environment.pop("SSH_TTY", None)
    first, second = ["aaa", "", "/dev/pts/7"], ["bbb", "99", None]
    for _ in range(2):
        assert serial.run("flow/main", **FIRST).value == [first, first, "chosen"]
        assert serial.run("flow/overwriting", **FIRST).value is None
        assert serial.run("flow/main", **SECOND).value == [second, second, "chosen"]
    assert serial.run("flow/imported", **SECOND).value == [None, None, None]
    assert len(serial.workers()) <= 3


def test_who_started_the_engine_does_not_lend_its_terminal(project: ScratchProject) -> None:
    """Two runs at a time, also with workers that are spawned; the first one's client started the engine."""
    project.write("flow", FLOW)
    project.environment.pop("SSH_TTY", None)
    for method in ("fork", "spawn"):
        project.clear()
        holding = project.start("run", "--no-ui", "flow/held", "hold", COFLUX_START_METHOD=method, **FIRST)
        project.marked("hold")
        assert project.run("flow/main", **SECOND).value[0] == ["bbb", "99", None]
        project.open_gate("hold")
        assert project.finish(holding).value == ["aaa", "", "/dev/pts/7"]
        eventually(lambda: not project.processes())


def test_a_run_keeps_its_terminal_when_another_engine_takes_it_up(project: ScratchProject) -> None:
    project.write("flow", FLOW)
    project.environment.pop("SSH_TTY", None)
    run = project.detach("flow/retried", "name", **SECOND)
    project.marked("name")
    os.kill(project.supervisor_pid(), 9)
    eventually(lambda: not project.processes())
    assert project.coflux("logs", "-f", run, **FIRST).status == 0
    assert project.settled(run)["result"] == ["bbb", "99", None]


def test_an_environment_that_is_no_text_is_refused(project: ScratchProject) -> None:
    """In one line, without the value: it may be a secret."""
    project.write("flow", FLOW)
    finished = project.run("flow/main", API_TOKEN=os.fsdecode(b"abc\xff"))
    assert (finished.status, finished.out, finished.err.count("\n")) == (2, "", 1)
    assert "the environment variable API_TOKEN is not UTF-8" in finished.err
    assert "abc" not in finished.err
    script = "import coflux as cf, flow\ntry:\n    cf.run(flow.main)\nexcept RuntimeError as error:\n    print(error)\n"
    assert "API_TOKEN is not UTF-8" in project.python("-c", script, API_TOKEN=os.fsdecode(b"abc\xff")).out


def test_a_run_whose_engine_was_killed_is_shown_as_interrupted(project: ScratchProject) -> None:
    """Nothing works on it, and its time stands still, until a command starts an engine again."""
    project.write("flow", FLOW)
    running = project.start("run", "--no-ui", "flow/held", "name")
    project.marked("name")
    run = project.last_run()
    queued = project.detach("flow/main", COFLUX_CONCURRENCY="1")
    project.settled(queued)
    before = project.coflux("runs", "list")
    assert (before.out.count("interrupted"), before.err) == (0, "")
    os.kill(project.supervisor_pid(), 9)
    assert "lost the engine" in project.finish(running).err
    eventually(lambda: not project.processes())

    listed = project.coflux("runs", "list")
    inspected = project.coflux("runs", "inspect", run)
    assert [line.split()[1] for line in listed.out.splitlines()] == ["succeeded", "interrupted"]
    assert inspected.out.splitlines()[0] == f"run {run} flow/held interrupted"
    for finished in (listed, inspected):
        assert f"no engine runs, so {run} does not go on" in finished.err
        assert f"`coflux logs -f {run}` starts one" in finished.err
    time.sleep(0.3)  # the durations have a resolution of milliseconds here
    assert project.coflux("runs", "list").out == listed.out
    assert project.coflux("runs", "inspect", run).out == inspected.out

    rows = json.loads(project.coflux("runs", "list", "--json").out)["runs"]
    assert [(row["status"], row["interrupted"]) for row in rows] == [("succeeded", False), ("running", True)]
    document = project.inspect(run)["run"]
    assert (document["status"], document["interrupted"]) == ("running", True)
    result = project.coflux("runs", "result", run)
    assert (result.status, result.out, f"`coflux logs -f {run}`" in result.err) == (1, "", True)
    as_json = json.loads(project.coflux("runs", "result", run, "--json").out)
    assert (as_json["status"], as_json["interrupted"]) == ("running", True)

    doctor = project.coflux("doctor", "--json")
    [finding] = [finding for finding in json.loads(doctor.out)["findings"] if finding["subject"] == "runs"]
    assert (doctor.status, f"`coflux logs -f {run}`" in finding["problem"]) == (1, True)
    followed = project.coflux("logs", "-f", run)
    assert (followed.status, followed.out, followed.err.count("\n")) == (0, "", 1)
    assert followed.err.startswith(f"run {run} abandoned: ")
    document = project.inspect(run)["run"]
    assert (document["status"], document["interrupted"]) == ("abandoned", False)


def test_following_a_log_as_json_ends_without_a_word(project: ScratchProject) -> None:
    project.write("flow", FLOW)
    run = project.detach("flow/held", "name")
    project.marked("name")
    os.kill(project.supervisor_pid(), 9)
    eventually(lambda: not project.processes())
    followed = project.coflux("logs", "-f", "--json", run)
    assert (followed.status, followed.out, followed.err) == (0, "", "")


def test_the_document_of_a_run_whose_engine_was_killed(project: ScratchProject) -> None:
    """Behaviour 11.1: one document, the one that `runs inspect` shows."""
    project.write("flow", FLOW)
    running = project.start("run", "--json", "flow/held", "name")
    project.marked("name")
    os.kill(project.supervisor_pid(), 9)
    finished = project.finish(running)
    assert (finished.status, "lost the engine" in finished.err) == (1, True)
    document = json.loads(finished.out)
    assert (document["run"]["status"], document["run"]["interrupted"]) == ("running", True)
    eventually(lambda: not project.processes())
    run = document["run"]["id"]
    assert document == project.inspect(run)
    assert project.coflux("logs", "-f", run).err.startswith(f"run {run} abandoned: ")


def test_ctrl_c_on_a_terminal_while_a_task_prints_in_a_loop(project: ScratchProject) -> None:
    """Nobody can show it as fast as it comes, and the command does not collect it."""
    project.write(
        "flow",
        """
        @cf.workflow()
        def main():
            for number in range(100_000_000):
                print("line", number, "x" * 100)
                if number == 200_000:
                    mark("printed")
        """,
    )
    with terminal() as (theirs, shown):
        environment = {**project.environment, "TERM": "xterm"}
        running = subprocess.Popen(
            (*COMMAND, "run", "--no-ui", "flow/main"), cwd=project.root, env=environment, stdout=theirs, stderr=theirs
        )
        project.marked("printed", timeout=60)
        assert psutil.Process(running.pid).memory_info().rss < 150 << 20
        length = len(shown)
        eventually(lambda: len(shown) > length)
        sent_at = time.monotonic()
        running.send_signal(signal.SIGINT)
        eventually(lambda: b"cancelling run" in shown, 2.0 * SLACK)
        assert running.wait(30) == 130
        assert time.monotonic() - sent_at < 7.0 * SLACK
    run = project.only_run()
    assert project.read(run)["run"]["status"] == "cancelled"
    assert f"`coflux logs {run}` has it" in shown.decode()


@contextmanager
def terminal() -> Iterator[tuple[int, bytearray]]:
    """A terminal for a command, and what it shows."""
    ours, theirs = pty.openpty()
    shown = bytearray()

    def read() -> None:
        with suppress(OSError):  # the terminal's end
            while data := os.read(ours, 1 << 16):
                shown.extend(data)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield theirs, shown
    finally:
        os.close(theirs)
        thread.join()
        os.close(ours)


def test_queued_runs_that_a_stop_left_wait_for_an_engine(project: ScratchProject) -> None:
    """That is no problem, but the next engine's work."""
    project.write("flow", FLOW)
    run = project.coflux("run", "--detach", "--delay", "1h", "flow/main").out.strip()
    assert project.coflux("stop").status == 0
    eventually(lambda: not project.processes())
    listed = project.coflux("runs", "list")
    assert (listed.out.split()[1], f"{run} does not go on" in listed.err) == ("queued", True)
    findings = json.loads(project.coflux("doctor", "--json").out)["findings"]
    [finding] = [finding for finding in findings if finding["subject"] == "runs"]
    assert (finding["problem"], run in finding["warning"]) == ("", True)
    project.coflux("runs", "cancel", run)
