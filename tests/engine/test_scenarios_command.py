"""Scenarios: the command line (CLI, IDEM), several commands at once, what outlives the engine (PERSIST), fresh code."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from coflux.executor.client import Client
from coflux.executor.messages import RunOptions
from coflux.executor.requests import Advanced, RunFinished, RunSettled, RunStarted, StartRun, Status, Subscribe
from tests.engine.scratch import ScratchProject, eventually, kinds

SQUARE = """
@cf.task()
def square(x):
    return x * x

@cf.workflow()
def main(x: int = 3):
    return square(x)
"""


def test_only_the_result_is_on_stdout(shared: ScratchProject) -> None:
    """CLI-S01, adapted: the run's id is on stderr, with the progress (behaviour 11.1)."""
    shared.write(
        "flow",
        SQUARE
        + """
@cf.workflow()
def failing():
    raise ValueError("no")

@cf.workflow()
def text():
    return "words"

@cf.workflow()
def odd():
    return {1, 2}
""",
    )
    succeeded = shared.run("flow/main", "4")
    assert (succeeded.status, succeeded.out) == (0, "16\n")
    assert shared.last_run() in succeeded.err
    failed = shared.run("flow/failing")
    assert (failed.status, failed.out) == (1, "")
    assert "ValueError: no" in failed.err
    assert shared.run("flow/text").out == '"words"\n'
    assert shared.coflux("run", "--raw", "flow/text").out == "words\n"
    assert shared.run("flow/odd").status == 0


def test_the_document_of_a_run(shared: ScratchProject) -> None:
    """CLI-S02: and a failed run has one too, with its exit status (behaviour 11.2)."""
    shared.write("flow", SQUARE)
    document = shared.document("flow/main", "--x", "5")
    assert document["version"] == 1
    assert document["run"]["target"] == "flow/main"
    assert document["run"]["status"] == "succeeded"
    assert (document["result"], document["result_repr"], document["error"]) == (25, "25", None)
    assert [step["target"] for step in document["steps"]] == ["flow/main", "flow/square"]
    assert document["steps"][1]["arguments"] == ["5"]
    [execution] = document["steps"][1]["executions"]
    assert execution["created_at"] <= execution["started_at"] <= execution["finished_at"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("four",), "argument x"),
        (("1", "2"), "main(x: int = 3)"),
        (("--y", "1"), "y"),
    ],
)
def test_arguments_that_do_not_fit_make_no_run(shared: ScratchProject, words: tuple[str, ...], named: str) -> None:
    """CLI-S03."""
    shared.write("flow", SQUARE)
    before = shared.coflux("runs", "list").out
    finished = shared.run("flow/main", *words)
    assert (finished.status, finished.out) == (2, "")
    assert named in finished.err
    assert shared.coflux("runs", "list").out == before


def test_results_of_a_run_a_step_and_an_attempt(shared: ScratchProject) -> None:
    """CLI-S04."""
    shared.write(
        "flow",
        """
        @cf.task(retries=1)
        def child():
            if attempt("child") == 1:
                raise ValueError("first")
            return "second"

        @cf.workflow()
        def main():
            return [child()]
        """,
    )
    run = shared.document("flow/main")["run"]["id"]
    assert shared.coflux("runs", "result", run).value == ["second"]
    assert shared.coflux("runs", "result", f"{run}:2").value == "second"
    assert shared.coflux("runs", "result", f"{run}:2:2").value == "second"
    first = shared.coflux("runs", "result", f"{run}:2:1")
    assert first.status == 1
    assert "first" in first.err
    assert shared.coflux("runs", "result", "Rnone").status == 3
    assert shared.coflux("runs", "result", f"{run}:9").status == 3


def test_an_unfinished_run_can_be_looked_at(shared: ScratchProject) -> None:
    """CLI-S05, CLI-S07."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main():
            mark("start")
            gate("go")
            return 1
        """,
    )
    run = shared.detach("flow/main")
    shared.marked("start")
    result = shared.coflux("runs", "result", run)
    assert result.status != 0
    assert "no result yet" in result.err
    assert kinds(shared.inspect(run), "main") == [["running"]]
    shared.open_gate("go")
    shared.settled(run)
    assert shared.coflux("runs", "result", run).value == 1


def test_events_come_as_they_happen(shared: ScratchProject) -> None:
    """Behaviour 11.1: NDJSON."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main():
            print("printed")
            gate("go")
            return 1
        """,
    )
    process = shared.start("run", "--events", "flow/main")
    assert process.stdout is not None
    events: list[dict[str, Any]] = []
    while not events or events[-1]["event"] != "log":
        events.append(json.loads(process.stdout.readline()))
    shared.open_gate("go")
    events += [json.loads(line) for line in shared.finish(process).out.splitlines()]
    assert all(event["version"] == 1 for event in events)
    assert events[-1]["event"] == "result"
    assert events[-1]["result"] == 1
    assert [event["status"] for event in events if event["event"] == "execution"][-1] == "succeeded"


def test_options_of_one_run(shared: ScratchProject) -> None:
    """Behaviour 11.1: retries, timeout and delay of the command line are the root's."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main():
            mark("start")
            if attempt("tries") < 3:
                raise ValueError("no")
            time.sleep(20)
        """,
    )
    finished = shared.coflux("run", "--json", "--retries", "2", "--timeout", "0.3", "flow/main")
    assert finished.status == 124
    assert kinds(finished.value, "main") == [["failed", "failed", "timed_out"]]


def test_one_run_per_idempotency_key(shared: ScratchProject) -> None:
    """IDEM-S01: another run's arguments are refused (behaviour 11.1)."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main(x: int):
            mark("main")
            return x
        """,
    )
    key = ("--idempotency-key", "monday")
    first = shared.coflux("run", "--json", *key, "flow/main", "1").value
    second = shared.coflux("run", "--json", *key, "flow/main", "1").value
    assert first == second
    assert len(shared.marks("main")) == 1
    other = shared.coflux("run", *key, "flow/main", "2")
    assert other.status == 2
    assert first["run"]["id"] in other.err


def test_a_key_finds_a_run_whose_target_has_ended(shared: ScratchProject) -> None:
    """Whoever joins a run is told that its result is there, while its children still run."""
    shared.write(
        "flow",
        """
        @cf.task()
        def child():
            gate("go")

        @cf.workflow()
        def main():
            child.submit()
            return "early"
        """,
    )
    command = ("run", "--no-wait-children", "--idempotency-key", "tuesday", "flow/main")
    assert shared.coflux(*command).value == "early"
    assert shared.coflux(*command).value == "early"
    shared.open_gate("go")
    assert kinds(shared.settled(shared.last_run()), "child") == [["succeeded"]]


def test_one_key_in_two_workspaces_is_two_runs(shared: ScratchProject) -> None:
    """IDEM-S02."""
    shared.write("flow", SQUARE)
    assert shared.coflux("workspaces", "create", "keys").status == 0
    key = ("--idempotency-key", "wednesday")
    runs = {
        shared.coflux("run", "--json", *key, "--workspace", workspace, "flow/main").value["run"]["id"]
        for workspace in ("default", "keys", "default", "keys")
    }
    assert len(runs) == 2


# -- one engine -------------------------------------------------------------------------------------------------------


def test_a_second_command_attaches_to_the_running_engine(project: ScratchProject) -> None:
    """Design: one supervisor for each project."""
    project.write(
        "flow",
        """
        @cf.workflow()
        def main(name: str):
            mark(name)
            gate(name)
            return os.getpid()
        """,
    )
    first = project.start("run", "--no-ui", "flow/main", "first")
    project.marked("first")
    engine = project.supervisor_pid()
    second = project.start("run", "--no-ui", "flow/main", "second")
    project.marked("second")
    assert project.supervisor_pid() == engine
    project.open_gate("second")
    assert project.finish(second).status == 0
    assert project.supervisor_pid() == engine
    project.open_gate("first")
    assert project.finish(first).status == 0


def test_a_client_is_told_once_of_the_end_of_its_run(shared: ScratchProject) -> None:
    """Or the command would print a result twice, when the run ends before it asks to be told of it."""
    path = shared.write("flow", SQUARE)
    with Client.connect(shared.project, "foreground", start=False) as client:
        started = client.request(StartRun(client.next_request(), "", str(path), "main", RunOptions(), ("2",)))
        assert isinstance(started, RunStarted)
        received: list[object] = []
        while not any(isinstance(message, RunSettled) for message in received):
            received.append(client.receive(20))
        client.send(Subscribe(started.run))
        client.request(Status(client.next_request()))  # answered after the subscription
        while (message := client.receive(0)) is not None:
            received.append(message)
        assert [type(message) for message in received if not isinstance(message, Advanced)] == [RunFinished, RunSettled]


def test_an_engine_that_nobody_needs_leaves(project: ScratchProject) -> None:
    """Behaviour 12.3."""
    project.write("flow", SQUARE)
    assert project.run("flow/main").value == 9
    assert project.run("flow/main").value == 9  # also for a command that comes while the engine is leaving
    eventually(lambda: not project.processes())


def test_a_delay_outlives_the_engine(project: ScratchProject) -> None:
    """PERSIST-S01: it runs once, not before its time."""
    project.write(
        "flow",
        """
        @cf.task(delay=1.0)
        def late():
            mark("late")

        @cf.workflow()
        def main():
            late.submit()
            mark("submitted")
        """,
    )
    assert project.coflux("run", "--no-wait-children", "flow/main").status == 0
    run = project.last_run()
    assert project.coflux("stop").status == 0
    assert project.marks("late") == []
    project.hold()
    assert kinds(project.settled(run), "late") == [["succeeded"]]
    [submitted], [late] = project.marks("submitted"), project.marks("late")
    assert late.at - submitted.at >= 0.98


def test_executions_see_the_environment_of_their_client(shared: ScratchProject) -> None:
    """Behaviour 12.1: each run its own, at the same time."""
    shared.write(
        "flow",
        """
        @cf.task()
        def child():
            return os.environ.get("COLOUR")

        @cf.workflow()
        def main():
            mark("start")
            gate("go")
            return [os.environ.get("COLOUR"), child()]
        """,
    )
    red = shared.start("run", "--no-ui", "flow/main", COLOUR="red")
    blue = shared.start("run", "--no-ui", "flow/main", COLOUR="blue")
    shared.marked("start", 2)
    shared.open_gate("go")
    assert shared.finish(red).value == ["red", "red"]
    assert shared.finish(blue).value == ["blue", "blue"]
    assert shared.run("flow/main").value == [None, None]


def test_hanging_up_leaves_the_run_alone(shared: ScratchProject) -> None:
    """Behaviour 12.2: the command leaves, and what it ran is the engine's from then on."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main():
            mark("start")
            gate("go")
            return "done"
        """,
    )
    process = shared.start("run", "--no-ui", "flow/main")
    shared.marked("start")
    process.send_signal(signal.SIGHUP)
    hung_up = shared.finish(process)
    run = shared.last_run()
    assert (hung_up.status, hung_up.out) == (129, "")
    assert hung_up.err.endswith(f"hung up; run {run} goes on: `coflux logs -f {run}` follows it\n")
    shared.open_gate("go")
    assert kinds(shared.settled(run), "main") == [["succeeded"]]
    assert shared.coflux("runs", "result", run).value == "done"


# -- fresh code -------------------------------------------------------------------------------------------------------


def test_no_run_uses_old_code(shared: ScratchProject) -> None:
    """Behaviour 13.1: edited, broken and mended, also in a module that the workflow's module imports."""
    flow = "import helper\n@cf.workflow()\ndef main():\n    return helper.value()\n"
    shared.write("flow", flow)
    shared.write("helper", "def value():\n    return 1\n", prelude=False)
    assert shared.run("flow/main").value == 1
    shared.write("helper", "def value():\n    return 2\n", prelude=False)
    assert shared.run("flow/main").value == 2
    path = shared.write("helper", "def value():\n    return 3\n\ndef broken(:\n", prelude=False)
    broken = shared.run("flow/main")
    assert (broken.status, broken.out) == (2, "")
    assert f"{path}:4" in broken.err or (str(path) in broken.err and "line 4" in broken.err)
    assert "SyntaxError" in broken.err
    shared.write("helper", "def value():\n    return 4\n", prelude=False)
    assert shared.run("flow/main").value == 4


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ('raise KeyError("at import")', "KeyError"),
        ("import sys; sys.exit(4)", "SystemExit"),
        ("import os; os._exit(5)", "5"),
        ("import no_such_module", "no_such_module"),
    ],
)
def test_a_module_that_does_not_import(shared: ScratchProject, source: str, told: str) -> None:
    """Behaviour 13.2: exit status 2; the other modules serve on."""
    path = shared.write("broken", source, prelude=False)
    shared.write("flow", SQUARE)
    finished = shared.run("broken/main")
    assert (finished.status, finished.out) == (2, "")
    assert told in finished.err
    assert "broken" in finished.err
    assert "os._exit" in source or f"{path}:1" in finished.err
    assert shared.run("flow/main").value == 9


@pytest.mark.parametrize("words", [("nope",), ("nope.py",), ("broken",), ("flow", "nope"), ("not-a-module",)])
def test_discovering_what_is_not_there_is_wrong_usage(shared: ScratchProject, words: tuple[str, ...]) -> None:
    """Behaviour 11.2: definition or unknown target, as for `coflux run`. What there is is listed all the same."""
    shared.write("broken", "def f(:\n", prelude=False)
    shared.write("flow", SQUARE)
    finished = shared.coflux("discover", *words)
    assert finished.status == 2
    assert words[-1] in finished.err
    assert ("main(x: int = 3)" in finished.out) is ("flow" in words)


def test_running_work_finishes_on_its_own_code(shared: ScratchProject) -> None:
    """DEV-S02, behaviour 13.2: and so do the children that it submits after the change."""
    source = """
        @cf.task()
        def child():
            return "{version}"

        @cf.workflow()
        def main(wait: bool):
            mark("{version}")
            if wait:
                gate("go")
            return "{version}", child()
        """
    shared.write("flow", source.format(version="old"))
    process = shared.start("run", "--no-ui", "flow/main", "true")
    shared.marked("old")
    shared.write("flow", source.format(version="new"))
    assert shared.run("flow/main", "false").value == ["new", "new"]
    shared.open_gate("go")
    assert shared.finish(process).value == ["old", "old"]


def test_a_file_is_run_as_the_module_that_it_is(shared: ScratchProject) -> None:
    """Behaviour 1.7: its name starts below the first directory without `__init__.py`."""
    shared.write("lib/package/__init__", "", prelude=False)
    shared.write("lib/package/jobs", "from package import parts\n" + SQUARE.replace("x * x", "parts.power(x)"))
    shared.write("lib/package/parts", "def power(x):\n    return x**3\n", prelude=False)
    document = shared.document("lib/package/jobs.py")
    assert document["result"] == 27
    assert document["run"]["target"] == "package.jobs/main"
    assert shared.run("lib/package/jobs.py/main", "2").value == 8


def test_two_files_of_one_name(shared: ScratchProject) -> None:
    """Behaviour 1.7: each run uses the file that it named."""
    for version in ("one", "two"):
        shared.write(f"{version}/jobs", f'@cf.workflow()\ndef main():\n    return "{version}"\n')
    assert shared.run("one/jobs.py").value == "one"
    assert shared.run("two/jobs.py").value == "two"
    assert shared.run("one/jobs.py").value == "one"
