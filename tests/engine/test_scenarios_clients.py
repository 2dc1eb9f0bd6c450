"""Scenarios: several clients of one engine; each sees its own terminal, and what another one does to its run."""

from __future__ import annotations

import json
import os
import time

from tests.engine.scratch import ScratchProject, eventually

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
    assert project.coflux("logs", "-f", run).status == 0
    document = project.inspect(run)["run"]
    assert (document["status"], document["interrupted"]) == ("abandoned", False)


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
