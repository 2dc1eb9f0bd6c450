"""Scenarios: steps are executed again, and runs resumed (RERUN; behaviour 11.5)."""

from __future__ import annotations

import json
import os
import signal
import textwrap

from tests.engine.scratch import ScratchProject, attempts, eventually, kinds

COUNTER = """
@cf.workflow()
def main():
    return attempt("main")
"""


def test_a_finished_run_is_executed_again(shared: ScratchProject) -> None:
    """RERUN-S01: the newest attempt is what is shown, the first keeps its value."""
    shared.write("flow", COUNTER)
    run = shared.document("flow/main")["run"]["id"]
    again = shared.coflux("runs", "rerun", run)
    assert (again.status, again.value) == (0, 2)
    assert shared.coflux("runs", "result", run).value == 2
    assert shared.coflux("runs", "result", f"{run}:1:1").value == 1
    assert kinds(shared.read(run), "main") == [["succeeded", "succeeded"]]
    assert "main attempt 2 " in again.err
    assert "attempt 1" not in again.err.replace("attempt 2", "")  # what had happened before is not told again


def test_a_run_is_executed_again_by_another_engine(project: ScratchProject) -> None:
    """Nothing has to be kept running for that, and nothing stays."""
    project.write("flow", COUNTER)
    run = project.document("flow/main")["run"]["id"]
    eventually(lambda: not project.processes())
    assert project.coflux("runs", "rerun", run).value == 2
    eventually(lambda: not project.processes())


def test_a_child_step_is_executed_again_alone(shared: ScratchProject) -> None:
    """RERUN-S02: the root keeps its value; the status is that of the step."""
    shared.write(
        "flow",
        """
        @cf.task()
        def child(x):
            count = attempt("child")
            if count == 3:
                raise ValueError("third time")
            return x * count

        @cf.workflow()
        def main():
            return child(10)
        """,
    )
    run = shared.document("flow/main")["run"]["id"]
    assert shared.coflux("runs", "rerun", f"{run}:2").value == 20
    document = shared.read(run)
    assert (document["result"], kinds(document, "main")) == (10, [["succeeded"]])
    assert kinds(document, "child") == [["succeeded", "succeeded"]]
    failed = shared.coflux("runs", "rerun", f"{run}:2")
    assert (failed.status, failed.out) == (1, "")
    assert f"{run}:2 failed: ValueError: third time" in failed.err
    assert shared.read(run)["run"]["status"] == "succeeded"


def test_an_attempt_that_runs_is_cancelled_for_another(shared: ScratchProject) -> None:
    """RERUN-S03."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main():
            count = attempt("main")
            if count == 1:
                gate("never")
            return count
        """,
    )
    run = shared.detach("flow/main")
    shared.marked("main")
    again = shared.coflux("runs", "rerun", run)
    assert (again.status, again.value) == (0, 2)
    assert kinds(shared.settled(run), "main") == [["cancelled", "succeeded"]]


def test_the_same_arguments_arrive_again(shared: ScratchProject) -> None:
    """RERUN-S04: a handle and a large value."""
    shared.write(
        "flow",
        """
        @cf.task()
        def one():
            return 1

        @cf.task()
        def child(handle, text):
            mark("child")
            return [handle.result(), len(text), text[-1]]

        @cf.workflow()
        def main():
            return child(one.submit(), "x" * 1_000_000 + "y")
        """,
    )
    run = shared.document("flow/main")["run"]["id"]
    assert shared.coflux("runs", "rerun", f"{run}:3").value == [1, 1_000_001, "y"]
    assert len(shared.marks("child")) == 2


def test_a_rerun_uses_the_code_as_it_is_now(shared: ScratchProject) -> None:
    """Behaviour 13.2; and what does not import is refused with the place."""
    shared.write("flow", "@cf.workflow()\ndef main():\n    return 'old'\n")
    run = shared.document("flow/main")["run"]["id"]
    shared.write("flow", "@cf.workflow()\ndef main():\n    return 'new'\n")
    assert shared.coflux("runs", "rerun", run).value == "new"
    path = shared.write("flow", "def main(:\n", prelude=False)
    refused = shared.coflux("runs", "rerun", run)
    assert (refused.status, refused.out) == (2, "")
    assert f"{path}:1" in refused.err
    assert kinds(shared.read(run), "main") == [["succeeded", "succeeded"]]


def test_the_forms_of_a_rerun(shared: ScratchProject) -> None:
    """As those of a run."""
    shared.write("flow", COUNTER)
    run = shared.document("flow/main")["run"]["id"]
    document = shared.coflux("runs", "rerun", run, "--json").value
    assert (document["run"]["id"], document["result"], len(attempts(document, "main"))) == (run, 2, 2)
    events = [json.loads(line) for line in shared.coflux("runs", "rerun", run, "--events").out.splitlines()]
    assert {event["id"] for event in events if event["event"] == "execution"} == {f"{run}:1:3"}
    assert (events[-1]["event"], events[-1]["result"]) == ("result", 3)
    detached = shared.coflux("runs", "rerun", run, "--detach")
    assert (detached.status, detached.out) == (0, f"{run}:1:4\n")
    assert shared.settled(run)["result"] == 4


def test_what_is_not_there_is_not_found(shared: ScratchProject) -> None:
    shared.write("flow", COUNTER)
    run = shared.document("flow/main")["run"]["id"]
    for command, told in (
        (("rerun", f"{run}:9"), f"{run}:9"),
        (("rerun", "Rzzz"), "Rzzz"),
        (("resume", "Rzzz"), "Rzzz"),
    ):
        refused = shared.coflux("runs", *command)
        assert (refused.status, refused.out) == (3, "")
        assert told in refused.err


# -- resume -----------------------------------------------------------------------------------------------------------


def test_a_run_is_resumed_where_it_failed(shared: ScratchProject) -> None:
    """What succeeded is kept, one by one, also among equal submissions; the rest executes, on the code as it is now."""
    source = textwrap.dedent(
        """
        @cf.task()
        def load(x):
            mark(f"load {x}")
            return x

        @cf.task()
        def parse(x):
            mark(f"parse {x}")
            if x == 2 and not FIXED:
                raise ValueError("two")
            return 10 * x

        @cf.workflow()
        def main():
            handles = [parse.submit(load(x)) for x in (1, 2, 2, 3)]
            return [handle.result() for handle in handles]
        """
    )
    shared.write("flow", f"FIXED = False\n{source}")
    finished = shared.coflux("run", "--json", "flow/main")
    assert finished.status == 1
    run = finished.value["run"]["id"]
    shared.clear()
    shared.write("flow", f"FIXED = True\n{source}")
    resumed = shared.coflux("runs", "resume", run)
    assert (resumed.status, resumed.value) == (0, [10, 20, 20, 30])
    assert sorted(mark.text for mark in shared.marks()) == ["parse 2", "parse 2"]


def test_there_may_be_nothing_to_resume(shared: ScratchProject) -> None:
    shared.write("flow", COUNTER)
    run = shared.document("flow/main")["run"]["id"]
    refused = shared.coflux("runs", "resume", run)
    assert (refused.status, refused.out) == (1, "")
    assert f"nothing to resume: {run}" in refused.err
    assert f"`coflux runs rerun {run}`" in refused.err


def test_an_unfinished_run_is_not_resumed(shared: ScratchProject) -> None:
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main():
            mark("start")
            gate("go")
        """,
    )
    run = shared.detach("flow/main")
    shared.marked("start")
    refused = shared.coflux("runs", "resume", run)
    assert (refused.status, refused.out) == (1, "")
    assert f"{run} is unfinished" in refused.err
    assert f"`coflux runs cancel {run}`" in refused.err
    shared.open_gate("go")
    assert shared.settled(run)["run"]["status"] == "succeeded"


def test_a_run_that_its_engine_left_is_resumed(project: ScratchProject) -> None:
    """Its root is abandoned when the next engine starts, and resumed by the same command."""
    project.write(
        "flow",
        """
        @cf.task()
        def load():
            mark("load")
            return 5

        @cf.workflow()
        def main():
            value = load()
            if attempt("main") == 1:
                gate("never")
            return value
        """,
    )
    run = project.detach("flow/main")
    project.marked("main")
    engine = project.supervisor_pid()
    os.kill(engine, signal.SIGKILL)
    eventually(lambda: not project.processes())
    resumed = project.coflux("runs", "resume", run)
    assert (resumed.status, resumed.value) == (0, 5)
    assert len(project.marks("load")) == 1


def test_a_client_that_vanishes_takes_its_rerun_with_it(shared: ScratchProject) -> None:
    """Behaviour 12.2."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main():
            if attempt("main") == 2:
                gate("never")
        """,
    )
    run = shared.document("flow/main")["run"]["id"]
    command = shared.start("runs", "rerun", run)
    shared.marked("main", 2)
    shared.kill(command)
    command.wait()
    assert kinds(shared.settled(run), "main") == [["succeeded", "cancelled"]]


# -- child runs -------------------------------------------------------------------------------------------------------


def test_the_log_of_a_child_run_is_followed_to_its_end(shared: ScratchProject) -> None:
    shared.write(
        "flow",
        """
        @cf.workflow()
        def inner():
            mark("inner")
            gate("go")
            print("done")

        @cf.workflow()
        def main():
            inner()
        """,
    )
    run = shared.detach("flow/main")
    shared.marked("inner")
    child = eventually(lambda: shared.read(run)["steps"][1]["executions"][0]["next"]).split(":")[0]
    command = shared.start("logs", "-f", child)
    shared.open_gate("go")
    finished = shared.finish(command)
    assert finished.status == 0
    assert "inner | done" in finished.out


def test_a_step_of_a_child_run_is_executed_again(shared: ScratchProject) -> None:
    shared.write(
        "flow",
        """
        @cf.task()
        def leaf():
            return attempt("leaf")

        @cf.workflow()
        def inner():
            return leaf()

        @cf.workflow()
        def main():
            return inner()
        """,
    )
    document = shared.document("flow/main")
    child = document["steps"][1]["executions"][0]["next"].split(":")[0]
    again = shared.coflux("runs", "rerun", f"{child}:2")
    assert (again.status, again.value) == (0, 2)


def test_child_runs_are_nested_in_what_is_shown(shared: ScratchProject) -> None:
    """Behaviour 8.1, 11.1: in the tree, among the lines and events of a run, and in what it waits for."""
    shared.write(
        "flow",
        """
        @cf.task()
        def leaf(x):
            print("leaf", x)
            return x

        @cf.workflow()
        def inner(x):
            return leaf(x)

        @cf.workflow()
        def main():
            return inner(1)
        """,
    )
    finished = shared.coflux("run", "--events", "flow/main")
    events = [json.loads(line) for line in finished.out.splitlines()]
    runs = [event["id"] for event in events if event["event"] == "run" and event["parent"] is not None]
    child = runs[0]
    assert f"{child}:2" in [event["id"] for event in events if event["event"] == "step"]
    assert [event["text"] for event in events if event["event"] == "log"] == ["leaf 1"]
    run = events[-1]["run"]["id"]
    lines = shared.coflux("runs", "inspect", run).out.splitlines()
    assert [line.strip().split("  ")[0] for line in lines[3:6]] == [
        "✓ main()",
        f"✓ inner(1) [{child}]",
        "✓ leaf(1)",
    ]
    assert [len(line) - len(line.lstrip()) for line in lines[3:6]] == [2, 4, 6]


def test_a_step_whose_parameters_have_changed_says_so(shared: ScratchProject) -> None:
    """In one line, without the engine's own code (behaviour 10.2)."""
    shared.write(
        "changed",
        """
        @cf.workflow()
        def main(first=1):
            return first
        """,
    )
    run = shared.document("changed/main")["run"]["id"]
    shared.write(
        "changed",
        """
        @cf.workflow()
        def main(first=1, second=2):
            return first
        """,
    )
    again = shared.coflux("runs", "rerun", run)
    assert again.status == 1
    assert "changed/main has 2 parameters now, but was submitted with 1" in again.err
    assert "Traceback" not in again.err
