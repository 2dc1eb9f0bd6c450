"""Scenarios: workflows called from code, which become runs of their own (SPAWN)."""

from __future__ import annotations

from typing import Any

from tests.engine.scratch import ScratchProject, attempts, kinds


def child_of(project: ScratchProject, document: dict[str, Any], target: str) -> dict[str, Any]:
    """The document of the run that the only step of `target` became."""
    [spawned] = attempts(document, target)
    assert spawned["status"] == "spawned"
    return project.read(spawned["next"].partition(":")[0])


def test_a_child_workflow_is_a_step_here_and_a_run_of_its_own(shared: ScratchProject) -> None:
    """SPAWN-S01, SPAWN-S04: linked both ways, and results flow through."""
    shared.write(
        "flow",
        """
        @cf.task()
        def double(x):
            return 2 * x

        @cf.workflow()
        def inner(x):
            return double(x) + 1

        @cf.workflow()
        def main():
            handle = inner.submit(3)
            return [handle.id, handle.target, handle.result()]
        """,
    )
    document = shared.document("flow/main")
    handle, target, value = document["result"]
    assert (target, value) == ("inner", 7)
    [spawned] = attempts(document, "inner")
    assert spawned["id"] == handle
    assert kinds(document, "double") == []
    child = child_of(shared, document, "inner")
    assert child["run"]["id"] != document["run"]["id"]
    assert child["run"]["parent"] == handle
    assert child["result"] == 7
    assert (kinds(child, "inner"), kinds(child, "double")) == ([["succeeded"]], [["succeeded"]])
    assert shared.inspect(child["run"]["id"]) == child


def test_errors_of_a_child_run_are_raised_in_the_caller(shared: ScratchProject) -> None:
    """SPAWN-S02: as what they are, and as `ExecutionError`."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def inner(text):
            raise ValueError(text)

        @cf.workflow()
        def main():
            caught = []
            for kind in (ValueError, cf.ExecutionError):
                try:
                    inner(kind.__name__)
                except kind as error:
                    caught.append(str(error))
            return caught
        """,
    )
    assert shared.run("flow/main").value == ["ValueError", "ExecutionError"]


def test_its_own_options_apply_in_its_own_run(shared: ScratchProject) -> None:
    """SPAWN-S03; behaviour 8.1: retries and timeout are those of the run, where upstream forgets the timeout."""
    shared.write(
        "flow",
        """
        @cf.workflow(retries=1)
        def flaky():
            if attempt("flaky") == 1:
                raise ValueError("no")
            return "ok"

        @cf.workflow(timeout=0.3, retries=1)
        def slow():
            if attempt("slow") == 1:
                time.sleep(60)
            return "ok"

        @cf.workflow(delay=0.3)
        def late():
            mark("late")

        @cf.workflow()
        def main():
            mark("main")
            return [handle.result() for handle in [flaky.submit(), slow.submit(), late.submit()]]
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == ["ok", "ok", None]
    assert kinds(child_of(shared, document, "flaky"), "flaky") == [["failed", "succeeded"]]
    assert kinds(child_of(shared, document, "slow"), "slow") == [["timed_out", "succeeded"]]
    [main], [late] = shared.marks("main"), shared.marks("late")
    assert late.at - main.at >= 0.28


def test_arguments_are_waited_for_once_and_the_cache_is_asked_first(shared: ScratchProject) -> None:
    """Behaviour 4, 8.1: by the calling step; a hit makes no run."""
    shared.write(
        "spawning",
        """
        @cf.task()
        def gated():
            mark("gated")
            gate("go")
            mark("ended")
            return 1

        @cf.workflow(wait=True)
        def consumer(handle):
            mark("consumer")
            return handle.result() + 1

        @cf.workflow(cache=True)
        def cached(x):
            mark("cached")
            return x

        @cf.workflow()
        def main():
            handle = consumer.submit(gated.submit())
            return [cached(1), cached(1), handle.result()]
        """,
    )
    process = shared.start("run", "--json", "spawning/main")
    shared.marked("gated")
    shared.marked("cached")
    shared.open_gate("go")
    document = shared.finish(process).value
    assert document["result"] == [1, 1, 2]
    assert kinds(document, "cached") == [["spawned"], ["cached"]]
    assert len(shared.marks("cached")) == 1
    assert [mark.text for mark in shared.marks()][-2:] == ["ended", "consumer"]


def test_recursion_through_workflows(shared: ScratchProject) -> None:
    """Behaviour 2.5: one at a time is enough, since who waits holds no slot; the child runs belong to the family."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def countdown(n: int):
            return [n, *countdown(n - 1)] if n else [0]
        """,
    )
    finished = shared.coflux("run", "--json", "--concurrency", "1", "flow/countdown", "12")
    assert finished.value["result"] == list(range(12, -1, -1))


def test_a_command_waits_for_child_runs_that_nobody_awaits(shared: ScratchProject) -> None:
    """Behaviour 11.1: it returns when every child run has settled, and lists what failed in them."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def inner():
            gate("go")
            mark("inner")
            raise ValueError("lost below")

        @cf.workflow()
        def main():
            inner.submit()
            mark("main")
            return "early"
        """,
    )
    process = shared.start("run", "--no-ui", "flow/main")
    shared.marked("main")
    assert process.poll() is None
    shared.open_gate("go")
    finished = shared.finish(process)
    assert (finished.status, finished.value) == (0, "early")
    assert len(shared.marks("inner")) == 1
    assert "lost below" in finished.err


def test_a_cached_workflow_that_calls_itself_is_executed(shared: ScratchProject) -> None:
    """Behaviour 2.6: the hit would close a cycle, through the child run."""
    shared.write(
        "cyclic",
        """
        @cf.workflow(cache=True)
        def inner():
            return ["second"] if attempt("inner") == 2 else ["first", *inner()]

        @cf.workflow()
        def main():
            return inner()
        """,
    )
    assert shared.run("cyclic/main").value == ["first", "second"]
