"""Scenarios: workspaces keep runs and results apart (WS)."""

from __future__ import annotations

import json
import time

from tests.engine.scratch import ScratchProject, eventually, kinds

CACHED = """
@cf.task(cache=True)
def load(x):
    mark("load")
    return x + 1

@cf.workflow()
def main(x: int):
    return load(x)
"""


def statuses(project: ScratchProject, run: str) -> set[str]:
    return {execution["status"] for step in project.read(run)["steps"] for execution in step["executions"]}


def test_nothing_starts_in_a_paused_workspace(shared: ScratchProject) -> None:
    """WS-S01: what is submitted waits, and whoever submits it is told."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main():
            mark("start")
            return 1
        """,
    )
    assert shared.coflux("workspaces", "create", "paused").status == 0
    assert shared.coflux("workspaces", "pause", "paused").status == 0
    command = shared.start("run", "--no-ui", "--workspace", "paused", "flow/main")
    waiting = eventually(lambda: json.loads(shared.coflux("queue", "--json").out)["queue"])
    assert [(entry["workspace"], entry["reason"]) for entry in waiting] == [("paused", "workspace paused is paused")]
    time.sleep(0.5)
    assert shared.marks() == []
    assert shared.coflux("workspaces", "resume", "paused").status == 0
    finished = shared.finish(command)
    assert finished.value == 1
    assert "`coflux workspaces resume paused`" in finished.err


def test_what_runs_goes_on_when_its_workspace_is_paused(shared: ScratchProject) -> None:
    """Behaviour 8.4: pause stops starting, not running. It outlives the engine."""
    shared.write(
        "flow",
        """
        @cf.task()
        def child():
            mark("child")

        @cf.workflow()
        def main():
            mark("start")
            gate("go")
            child.submit()
            return 1
        """,
    )
    assert shared.coflux("workspaces", "create", "halted").status == 0
    run = shared.detach("--workspace", "halted", "flow/main")
    shared.marked("start")
    assert shared.coflux("workspaces", "pause", "halted").status == 0
    shared.open_gate("go")
    eventually(lambda: kinds(shared.read(run), "main") == [["succeeded"]])
    assert kinds(shared.read(run), "child") == [["queued"]]
    assert shared.marks("child") == []
    assert shared.coflux("workspaces", "resume", "halted").status == 0
    assert kinds(shared.settled(run), "child") == [["succeeded"]]


def test_a_pause_outlives_the_engine(project: ScratchProject) -> None:
    project.write("flow", CACHED)
    assert project.coflux("workspaces", "create", "later").status == 0
    assert project.coflux("workspaces", "pause", "later").status == 0
    run = project.detach("--workspace", "later", "flow/main", "1")
    assert project.coflux("stop").status == 0
    eventually(lambda: not project.processes())
    project.hold()
    assert statuses(project, run) == {"queued"}
    assert project.coflux("workspaces", "resume", "later").status == 0
    assert project.settled(run)["run"]["status"] == "succeeded"


def test_a_workspace_sees_the_results_of_its_base(shared: ScratchProject) -> None:
    """WS-S02, WS-S03: and those of no other."""
    shared.write("flow", CACHED)
    for name, base in (("base", None), ("derived", "base"), ("unrelated", None)):
        created = shared.coflux("workspaces", "create", name, *(("--base", base) if base else ()))
        assert created.status == 0, created.err
    seen = {}
    for workspace in ("base", "derived", "unrelated"):
        document = shared.coflux("run", "--json", "--workspace", workspace, "flow/main", "1").value
        assert document["run"]["workspace"] == workspace
        assert document["result"] == 2
        seen[workspace] = kinds(document, "load")
    assert seen == {"base": [["succeeded"]], "derived": [["cached"]], "unrelated": [["succeeded"]]}
    assert len(shared.marks("load")) == 2


def test_a_base_does_not_see_the_results_of_what_is_based_on_it(shared: ScratchProject) -> None:
    """Behaviour 8.4: never the other way round."""
    shared.write("flow", CACHED)
    assert shared.coflux("workspaces", "create", "lower").status == 0
    assert shared.coflux("workspaces", "create", "upper", "--base", "lower").status == 0
    assert shared.coflux("run", "--workspace", "upper", "flow/main", "7").value == 8
    document = shared.coflux("run", "--json", "--workspace", "lower", "flow/main", "7").value
    assert kinds(document, "load") == [["succeeded"]]


def test_a_step_of_the_base_is_executed_again_in_what_is_based_on_it(shared: ScratchProject) -> None:
    """WS-S04: the new attempt belongs to that workspace, and its value is used there."""
    shared.write(
        "flow",
        """
        @cf.task(cache=True)
        def count():
            return attempt("count")

        @cf.workflow()
        def main():
            return count()
        """,
    )
    assert shared.coflux("workspaces", "create", "first").status == 0
    assert shared.coflux("workspaces", "create", "second", "--base", "first").status == 0
    run = shared.coflux("run", "--json", "--workspace", "first", "flow/main").value["run"]["id"]
    again = shared.coflux("runs", "rerun", f"{run}:2", "--workspace", "second")
    assert again.value == 2
    assert shared.coflux("run", "--workspace", "second", "flow/main").value == 2
    assert shared.coflux("run", "--workspace", "first", "flow/main").value == 1
    assert shared.coflux("runs", "result", f"{run}:2").value == 1
    assert shared.coflux("runs", "result", f"{run}:2", "--workspace", "second").value == 2
    refused = shared.coflux("runs", "rerun", f"{run}:2", "--workspace", "default")
    assert (refused.status, refused.out) == (2, "")
    assert f"{run}:2 belongs to workspace first" in refused.err


def test_a_run_of_the_base_that_is_executed_again_elsewhere_stays_what_it_was(shared: ScratchProject) -> None:
    """The base does not see what is based on it: neither a result nor a failure."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main():
            number = attempt("main")
            if number == 2:
                raise ValueError("second")
            return number
        """,
    )
    assert shared.coflux("workspaces", "create", "ground").status == 0
    assert shared.coflux("workspaces", "create", "floor", "--base", "ground").status == 0
    run = shared.coflux("run", "--json", "--workspace", "ground", "flow/main").value["run"]["id"]
    assert shared.coflux("runs", "rerun", run, "--workspace", "floor").status == 1
    assert shared.coflux("runs", "result", run).value == 1
    assert shared.coflux("runs", "inspect", run, "--json").value["run"]["status"] == "succeeded"
    again = shared.coflux("runs", "rerun", run, "--workspace", "floor")
    assert (again.status, again.value) == (0, 3)
    assert shared.coflux("runs", "result", run, "--workspace", "floor").value == 3
    assert shared.coflux("runs", "result", run).value == 1


def test_an_archived_workspace_takes_no_more_work(shared: ScratchProject) -> None:
    """WS-S05."""
    shared.write(
        "flow",
        """
        @cf.task(delay=60)
        def late():
            mark("late")

        @cf.workflow()
        def main():
            handle = late.submit()
            mark("submitted")
            return handle.result()
        """,
    )
    assert shared.coflux("workspaces", "create", "old").status == 0
    run = shared.detach("--workspace", "old", "flow/main")
    shared.marked("submitted")
    archived = shared.coflux("workspaces", "archive", "old")
    assert archived.status == 0
    assert "cancelled" in archived.out
    document = shared.settled(run)
    assert (kinds(document, "main"), kinds(document, "late")) == ([["cancelled"]], [["cancelled"]])
    refused = shared.coflux("run", "--workspace", "old", "flow/main")
    assert (refused.status, refused.out) == (2, "")
    assert "workspace old is archived" in refused.err
    assert shared.coflux("runs", "rerun", run).status == 2
    listed = json.loads(shared.coflux("workspaces", "list", "--json").out)["workspaces"]
    assert "old" not in [row["name"] for row in listed]
    assert shared.marks("late") == []


def test_an_unknown_workspace_is_refused_with_what_to_do(shared: ScratchProject) -> None:
    shared.write("flow", CACHED)
    assert shared.coflux("workspaces", "create", "staging").status == 0
    refused = shared.coflux("run", "--workspace", "stagin", "flow/main", "1")
    assert (refused.status, refused.out) == (2, "")
    assert "did you mean staging" in refused.err
    assert "`coflux workspaces create stagin`" in refused.err


def test_workspaces_that_cannot_be(shared: ScratchProject) -> None:
    """Behaviour 8.4: no cycles, and nothing that another one is based on is archived."""
    assert shared.coflux("workspaces", "create", "a/b").status == 0
    assert shared.coflux("workspaces", "create", "c", "--base", "a/b").status == 0
    for arguments, told in (
        (("create", "c"), "there is a workspace c already"),
        (("create", "d", "--base", "d"), "cannot be based on itself"),
        (("create", "d", "--base", "e"), "there is no workspace 'e'"),
        (("create", "d e"), "cannot be the name of a workspace"),
        (("archive", "a/b"), "archive c first"),
        (("archive", "default"), "default cannot be archived"),
        (("pause", "e"), "there is no workspace 'e'"),
    ):
        refused = shared.coflux("workspaces", *arguments)
        assert (refused.status, refused.out) == (2, ""), arguments
        assert told in refused.err
    listed = {row["name"]: row for row in json.loads(shared.coflux("workspaces", "list", "--json").out)["workspaces"]}
    assert (listed["c"]["base"], listed["c"]["state"], listed["a/b"]["base"]) == ("a/b", "active", None)
    lines = [line.split(maxsplit=2) for line in shared.coflux("workspaces", "list").out.splitlines()]
    assert ["c", "active", "based on a/b"] in lines
    assert ["a/b", "active"] in lines
