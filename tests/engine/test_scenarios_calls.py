"""Scenarios: calling targets (CALL), and what of an execution is recorded (EXEC)."""

from __future__ import annotations

import re

from tests.engine.scratch import ScratchProject, attempts, kinds


def test_calling_is_submitting_and_reading(shared: ScratchProject) -> None:
    """CALL-S01."""
    shared.write(
        "flow",
        """
        @cf.task()
        def double(x):
            return 2 * x

        @cf.workflow()
        def main():
            return double(3), double.submit(3).result()
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == [6, 6]
    assert kinds(document, "double") == [["succeeded"], ["succeeded"]]


def test_keywords_are_bound_as_python_binds_them(shared: ScratchProject) -> None:
    """CALL-S02, CALL-S05: arguments that do not fit raise `TypeError` in the caller, and the engine works on."""
    shared.write(
        "flow",
        """
        @cf.task()
        def subtract(a, b):
            return a - b

        @cf.workflow()
        def main():
            values = [subtract(b=2, a=7), subtract(7, 2), subtract(7, b=2)]
            for attempt in (lambda: subtract(1, z=2), lambda: subtract(1), lambda: subtract.submit(1, 2, 3)):
                try:
                    attempt()
                except TypeError as error:
                    values.append(str(error))
            return values
        """,
    )
    document = shared.document("flow/main")
    *values, unknown, missing, superfluous = document["result"]
    assert values == [5, 5, 5]
    assert "'z'" in unknown
    assert "'b'" in missing
    assert "subtract" in superfluous
    assert len(kinds(document, "subtract")) == 3


def test_without_an_engine_targets_are_plain_functions(project: ScratchProject) -> None:
    """CALL-S03, CALL-S04: a script calls workflow, tasks and stub directly; nothing is stored."""
    project.write(
        "flow",
        """
        @cf.task()
        def double(x):
            mark("double")
            return 2 * x

        @cf.stub("elsewhere")
        def other():
            return 4

        @cf.workflow()
        def main(x):
            return double(x) + double.submit(x).result() + other()
        """,
    )
    finished = project.python("-c", "import flow, os; print(flow.main(10), os.getpid())")
    value, pid = finished.out.split()
    assert value == "44", finished.err
    assert {mark.pid for mark in project.marks("double")} == {int(pid)}
    assert not (project.root / ".coflux").exists()


def test_a_handle_arrives_as_a_handle(shared: ScratchProject) -> None:
    """CALL-S06."""
    shared.write(
        "flow",
        """
        @cf.task()
        def number():
            return 5

        @cf.task()
        def describe(handle, nested):
            found = nested["list"][0]
            return [type(handle).__name__, handle.id, handle.module, handle.target, found == handle, found.result()]

        @cf.workflow()
        def main():
            handle = number.submit()
            return [describe(handle, {"list": [handle]}), handle.id]
        """,
    )
    described, identifier = shared.run("flow/main").value
    assert described == ["Execution", identifier, "flow", "number", True, 5]


def test_a_result_that_is_a_handle_stays_one(shared: ScratchProject) -> None:
    """CALL-S07, with a task in the place of the inner workflow."""
    shared.write(
        "flow",
        """
        @cf.task()
        def number(x):
            return x

        @cf.task()
        def inner():
            return number.submit(5)

        @cf.workflow()
        def main():
            handle = inner()
            return [type(handle).__name__, handle.result()]
        """,
    )
    assert shared.run("flow/main").value == ["Execution", 5]


def test_a_target_that_exists_nowhere_fails_its_step_with_the_nearest_names(shared: ScratchProject) -> None:
    """Behaviour 2.3."""
    shared.write(
        "flow",
        """
        @cf.task()
        def download():
            return 1

        @cf.stub("flow", name="downlaod")
        def misspelt():
            return 2

        @cf.stub("no_such_module")
        def missing():
            return 3

        @cf.workflow()
        def main():
            errors = []
            for target in (misspelt, missing):
                try:
                    target()
                except cf.ExecutionError as error:
                    errors.append(str(error))
            return errors
        """,
    )
    misspelt, missing = shared.run("flow/main").value
    assert "flow" in misspelt
    assert "'downlaod'" in misspelt
    assert "download" in misspelt.replace("'downlaod'", "")
    assert "no_such_module" in missing


def test_ids_of_runs_steps_and_executions(shared: ScratchProject) -> None:
    """EXEC-S01."""
    shared.write(
        "flow",
        """
        @cf.task()
        def one():
            return 1

        @cf.task()
        def two():
            return 2

        @cf.workflow()
        def main():
            return one.submit().result() + two.submit().result()
        """,
    )
    document = shared.document("flow/main")
    run = document["run"]["id"]
    assert re.fullmatch(r"R\w{4,}", run)
    assert [step["id"] for step in document["steps"]] == [f"{run}:1", f"{run}:2", f"{run}:3"]
    assert [step["executions"][0]["id"] for step in document["steps"]] == [f"{run}:{n}:1" for n in (1, 2, 3)]
    assert [step["parent"] for step in document["steps"]] == [None, f"{run}:1:1", f"{run}:1:1"]


def test_a_failed_attempt_points_to_its_successor(shared: ScratchProject) -> None:
    """EXEC-S02."""
    shared.write(
        "flow",
        """
        @cf.workflow(retries=2)
        def main():
            raise ValueError("no")
        """,
    )
    document = shared.document("flow/main")
    run = document["run"]["id"]
    executions = attempts(document, "main")
    assert [execution["status"] for execution in executions] == ["failed"] * 3
    assert [execution["attempt"] for execution in executions] == [1, 2, 3]
    assert [execution["next"] for execution in executions] == [f"{run}:1:2", f"{run}:1:3", None]


def test_a_child_outlives_a_parent_that_returns(shared: ScratchProject) -> None:
    """EXEC-S03: the root's value is there before the child has ended."""
    shared.write(
        "flow",
        """
        @cf.task()
        def child():
            gate("go")
            return "late"

        @cf.workflow()
        def main():
            child.submit()
            return "early"
        """,
    )
    first = shared.coflux("run", "--no-wait-children", "flow/main")
    assert first.value == "early", first.err
    run = first.err.split()[1]
    assert kinds(shared.read(run), "child") != [["succeeded"]]
    shared.open_gate("go")
    assert kinds(shared.settled(run), "child") == [["succeeded"]]
    assert shared.coflux("runs", "result", f"{run}:2").value == "late"


def test_a_child_outlives_a_parent_that_fails(shared: ScratchProject) -> None:
    """EXEC-S04."""
    shared.write(
        "flow",
        """
        @cf.task()
        def child():
            gate("go")
            return "late"

        @cf.workflow()
        def main():
            child.submit()
            raise ValueError("early")
        """,
    )
    first = shared.coflux("run", "--no-wait-children", "flow/main")
    assert first.status == 1
    run = first.err.split()[1]
    shared.open_gate("go")
    document = shared.settled(run)
    assert kinds(document, "main") == [["failed"]]
    assert kinds(document, "child") == [["succeeded"]]


def test_an_outcome_never_changes(shared: ScratchProject) -> None:
    """EXEC-S05: cancelling what has returned keeps its value, while the rest of its run is still unfinished."""
    shared.write(
        "flow",
        """
        @cf.task()
        def seven():
            return 7

        @cf.workflow()
        def main():
            seven()
            mark("returned")
            gate("go")
        """,
    )
    run = shared.detach("flow/main")
    shared.marked("returned")
    assert shared.coflux("runs", "cancel", f"{run}:2:1").status == 0
    shared.open_gate("go")
    document = shared.settled(run)
    assert kinds(document, "seven") == [["succeeded"]]
    assert kinds(document, "main") == [["succeeded"]]
    assert shared.coflux("runs", "result", f"{run}:2:1").value == 7
