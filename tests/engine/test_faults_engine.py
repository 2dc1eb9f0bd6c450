"""The engine's own processes are killed: supervisor, guardian, module host. What was recorded goes on."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sys
import time
from pathlib import Path

import psutil
import pytest

from coflux.executor.client import Client, EngineError
from coflux.executor.peers import Poller
from coflux.project import find_project
from tests.engine.scratch import SLACK, Mark, ScratchProject, eventually, kinds

SEED = 20240817

FLOW = """
    import subprocess

    @cf.task(retries=1)
    def work(name):
        mark(f"work {name}")
        gate(name)
        return name

    @cf.task()
    def fragile():
        subprocess.Popen(["setsid", "sleep", "600"])
        mark("fragile")
        gate("never")

    @cf.workflow(retries=1)
    def main():
        mark("main")
        return work("one")

    @cf.workflow(retries=1)
    def two():
        mark("two")
        child = fragile.submit()
        return [work("one"), child.poll(30)]

    @cf.task()
    def identity(x):
        return x
"""


def ancestors(mark: Mark) -> list[psutil.Process]:
    """Module host, guardian and supervisor of the worker that left a mark."""
    return psutil.Process(mark.pid).parents()[:3]


def supervisors(project: ScratchProject) -> list[psutil.Process]:
    """The engine's process, if one runs or starts, found without asking it."""
    found = []
    for process in project.processes():
        try:
            if "coflux.executor.launch" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            pass  # it has just ended
    # What it forked has its command line.
    return [process for process in found if process.ppid() not in {other.pid for other in found}]


def wake(project: ScratchProject) -> None:
    """A command that needs the engine: it finds what an earlier one left unfinished."""
    assert project.run("flow/identity", "5").value == 5


def test_a_killed_supervisor_takes_everything_down_and_its_successor_goes_on(project: ScratchProject) -> None:
    project.write("flow", FLOW)
    run = project.detach("flow/main")
    project.marked("work one")
    killed_at = time.monotonic()
    os.kill(project.supervisor_pid(), signal.SIGKILL)
    eventually(lambda: not project.processes(), 2.0 * SLACK)
    assert time.monotonic() - killed_at < 2.0 * SLACK
    before = project.read(run)
    assert kinds(before, "work") == [["running"]]
    project.open_gate("one")
    wake(project)
    after = project.settled(run)
    assert after["run"]["status"] == "succeeded"
    assert after["result"] == "one"
    assert kinds(after, "main") == [["abandoned", "succeeded"]]
    # The second attempt of `main` submits a second step; the orphan of the first one retries too.
    assert kinds(after, "work") == [["abandoned", "succeeded"], ["succeeded"]]


def test_a_guardian_cleans_up_even_when_the_supervisor_dies_with_unread_news(project: ScratchProject) -> None:
    """Its socket is reset then, not just closed."""
    project.write("flow", FLOW)
    run = project.detach("flow/two")
    (fragile,) = project.marked("fragile")
    (work,) = project.marked("work one")
    supervisor = psutil.Process(project.supervisor_pid())
    supervisor.suspend()
    os.kill(work.pid, signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(work.pid))
    supervisor.kill()
    eventually(lambda: not project.processes(), 2.0 * SLACK)
    assert not psutil.pid_exists(fragile.pid)
    assert list(project.temporary.iterdir()) == []
    wake(project)
    assert project.coflux("runs", "cancel", run).status == 0
    project.settled(run)


def test_executions_that_were_lost_are_abandoned_with_the_reason(project: ScratchProject) -> None:
    project.write("flow", FLOW)
    run = project.detach("flow/fragile")
    project.marked("fragile")
    os.kill(project.supervisor_pid(), signal.SIGKILL)
    wake(project)
    document = project.settled(run)
    assert kinds(document, "fragile") == [["abandoned"]]
    assert document["error"]["type"] == "coflux.errors.ExecutionAbandoned"
    assert "engine" in document["error"]["message"]
    assert len(project.marks("fragile")) == 1


def test_a_follower_of_a_killed_supervisor_says_what_becomes_of_the_run(project: ScratchProject) -> None:
    project.write("flow", FLOW)
    running = project.start("run", "--no-ui", "flow/main")
    (mark,) = project.marked("work one")
    ancestors(mark)[2].kill()
    finished = project.finish(running, timeout=5.0 * SLACK)
    assert (finished.status, finished.out) == (1, "")
    assert "lost the engine" in finished.err
    command = finished.err.rpartition("`coflux ")[2].partition("`")[0].split()
    assert command == ["logs", "-f", project.only_run()]
    project.open_gate("one")
    # It starts an engine, and follows the run to its end.
    assert project.coflux(*command).status == 0
    assert project.read(command[-1])["result"] == "one"


def test_a_descriptor_that_is_removed_in_a_turn_is_not_read_any_more_in_it() -> None:
    """Its number may be another one's by then: a dying worker's pipe, closed, and a new worker's in its place."""
    poller = Poller()
    pairs = [socket.socketpair() for _ in range(2)]
    called: list[int] = []

    def first_come(own: int, other: int) -> None:
        called.append(own)
        poller.remove(other)

    first, second = pairs[0][0].fileno(), pairs[1][0].fileno()
    poller.add(first, lambda: first_come(first, second))
    poller.add(second, lambda: first_come(second, first))
    for _, theirs in pairs:
        theirs.send(b"news")
    for call in poller.wait(1.0):
        call()
    assert len(called) == 1
    for pair in pairs:
        for end in pair:
            end.close()


@pytest.mark.parametrize("generation", [0, 1], ids=["module host", "guardian"])
def test_a_killed_module_host_or_guardian_costs_an_attempt(project: ScratchProject, generation: int) -> None:
    project.write("flow", FLOW)
    running = project.start("run", "--no-ui", "flow/two")
    (work,) = project.marked("work one")
    project.marked("fragile")
    supervisor = project.supervisor_pid()
    ancestors(work)[generation].kill()
    eventually(lambda: not psutil.pid_exists(work.pid))
    project.open_gate("one")
    project.marked("two", 2)
    assert project.supervisor_pid() == supervisor
    # The second `fragile` would hold the run up for long: cancel it.
    project.marked("fragile", 2)
    run = project.only_run()
    step = [step["id"] for step in project.read(run)["steps"] if step["target"] == "flow/fragile"][-1]
    finished = project.coflux("runs", "cancel", step)
    assert finished.status == 0, finished.err
    project.finish(running)
    document = project.settled(run)
    assert kinds(document, "two")[0][0] == "abandoned"
    assert kinds(document, "work") == [["abandoned", "succeeded"], ["succeeded"]]
    assert kinds(document, "fragile") == [["abandoned"], ["cancelled"]]
    lost = next(step["id"] for step in document["steps"] if step["target"] == "flow/fragile")
    told = project.coflux("runs", "result", f"{lost}:1", "--json")
    assert "killed by SIGKILL" in json.loads(told.out)["error"]["message"]


def test_a_run_outlives_fifteen_murders_of_its_engine(project: ScratchProject) -> None:
    """Thirty steps, each retried for ever; the supervisor is killed at seeded random moments."""
    project.write(
        "flow",
        """
        QUICK = cf.Retries(backoff=(0, 0.05))

        @cf.task(retries=QUICK)
        def step(number):
            time.sleep(0.02)
            mark(f"step {number}")
            return number

        @cf.workflow(retries=QUICK)
        def main():
            return sum(handle.result() for handle in [step.submit(number) for number in range(30)])

        @cf.task()
        def identity(x):
            return x
        """,
    )
    chance = random.Random(SEED)
    run = project.detach("flow/main", COFLUX_CONCURRENCY="2")
    murders = 0
    while murders < 15:
        command = project.start("run", "--detach", "flow/identity", "1")
        time.sleep(chance.uniform(0.1, 0.7))
        for supervisor in supervisors(project):
            supervisor.kill()
            murders += 1
        project.finish(command)
    wake(project)
    document = project.settled(run, timeout=30.0)
    assert (document["run"]["status"], document["result"]) == ("succeeded", sum(range(30)))
    assert len(project.marks("step 29")) >= 1


def test_only_what_a_dying_engine_wrote_itself_is_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what earlier ones have left in the log."""
    project = find_project(str(tmp_path), str(tmp_path / "data"))
    project.prepare()
    log = Path(project.data_dir, "supervisor.log")
    log.write_text("coflux: collected garbage: 2 runs\n")
    interpreter = tmp_path / "python"
    for script, reason in (("exit 3", "it ended at once"), ("echo first; echo no memory >&2; exit 3", "no memory")):
        interpreter.write_text(f"#!/bin/sh\n{script}\n")
        interpreter.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(interpreter))
        with pytest.raises(EngineError) as raised:
            Client.connect(project, "command")
        assert str(raised.value) == f"the engine cannot be started: {reason} (see {log})"
