"""Scenarios: `runs resume` after the code was mended: what succeeded is kept (behaviour 11.5)."""

from __future__ import annotations

import signal
from collections import Counter
from typing import Any

from tests.engine.scratch import ScratchProject, attempts, eventually, kinds

ITEMS = 1000
BAD = 637

MAP = """
    def parse(n):
        {broken}
        return n * n

    @cf.task()
    def load(n):
        mark(f"load {{n}}")
        return parse(n)

    @cf.task()
    def add(handles):
        mark("add")
        return sum(handle.result() for handle in handles)

    @cf.workflow()
    def main():
        handles = [load.submit(n) for n in range(ITEMS)]
        parts = [add.submit(handles[start : start + 100]) for start in range(0, ITEMS, 100)]
        return sum(part.result() for part in parts)
"""

NESTED = """
    @cf.task()
    def load(n):
        mark(f"load {{n}}")
        {broken}
        return n

    @cf.task()
    def total(values):
        mark("total")
        return sum(values)

    @cf.workflow()
    def chunk(start):
        mark(f"chunk {{start}}")
        return total([handle.result() for handle in [load.submit(n) for n in range(start, start + 10)]])

    @cf.workflow()
    def main():
        mark("main")
        chunks = [chunk.submit(start) for start in range(0, 100, 10)]
        return sum(handle.result() for handle in chunks)
"""


def broken(number: int) -> str:
    return f"if n == {number}: raise ValueError(n)"


def counts(project: ScratchProject) -> Counter[str]:
    return Counter(mark.text for mark in project.marks())


def resumed(project: ScratchProject, run: str) -> dict[str, Any]:
    finished = project.coflux("runs", "resume", run)
    assert finished.status == 0, finished.err
    document = project.settled(run)
    assert document["run"]["status"] == "succeeded", document["error"]
    return document


def test_one_bad_item_of_a_thousand(shared: ScratchProject) -> None:
    """Mend the file, resume the run: exactly that item and what depends on it are executed."""
    source = MAP.replace("ITEMS", str(ITEMS))
    shared.write("flow", source.format(broken=broken(BAD)))
    failed = shared.coflux("run", "--json", "flow/main")
    assert failed.status == 1
    run = failed.value["run"]["id"]
    before = counts(shared)
    assert sum(before.values()) == ITEMS + ITEMS // 100
    shared.write("flow", source.format(broken=""))
    document = resumed(shared, run)
    assert document["result"] == sum(n * n for n in range(ITEMS))
    assert counts(shared) - before == Counter([f"load {BAD}", "add"])
    assert kinds(document, "main") == [["failed", "succeeded"]]
    bad = next(step for step in document["steps"] if step["arguments"] == [str(BAD)])
    assert [one["status"] for one in bad["executions"]] == ["failed", "succeeded"]


def test_a_bad_item_in_a_child_workflow(shared: ScratchProject) -> None:
    """The child's run is resumed in its place; what it had is kept, too."""
    shared.write("flow", NESTED.format(broken=broken(37)))
    failed = shared.coflux("run", "--json", "flow/main")
    assert failed.status == 1
    run = failed.value["run"]["id"]
    before = counts(shared)
    assert before["total"] == 9
    shared.write("flow", NESTED.format(broken=""))
    document = resumed(shared, run)
    assert document["result"] == sum(range(100))
    assert counts(shared) - before == Counter(["main", "chunk 30", "load 37", "total"])
    again = next(step for step in document["steps"] if step["arguments"] == ["30"])
    child = shared.read(again["spawned"])
    assert [one["status"] for one in attempts(child, "chunk")] == ["failed", "succeeded"]
    assert kinds(child, "total") == [["succeeded"]]


def test_the_second_of_two_equal_submissions_is_answered_by_the_second(shared: ScratchProject) -> None:
    """The k-th submission of equal target and arguments by the k-th that succeeded."""
    source = """
        @cf.task()
        def draw(kind):
            return attempt("draw")

        @cf.workflow()
        def main():
            drawn = [draw("a"), draw("b"), draw("a")]
            {broken}
            return [*drawn, draw("a")]
    """
    shared.write("flow", source.format(broken="raise ValueError(drawn)"))
    failed = shared.coflux("run", "--json", "flow/main")
    assert failed.status == 1
    shared.write("flow", source.format(broken=""))
    document = resumed(shared, failed.value["run"]["id"])
    assert document["result"] == [1, 2, 3, 4]


def test_a_run_that_was_interrupted_goes_on_from_there(project: ScratchProject) -> None:
    """Cancelled half-way, its engine gone: what had succeeded is read from the store. And it can be resumed again."""
    source = """
        @cf.task()
        def load(n):
            mark(f"load {n}")
            if n >= 3:
                gate("go")
            if n == BROKEN:
                raise ValueError(n)
            return n

        @cf.workflow()
        def main():
            return sum(handle.result() for handle in [load.submit(n) for n in range(6)])
    """
    project.write("flow", source.replace("BROKEN", "4"))
    process = project.start("run", "--json", "flow/main")
    for n in range(6):
        project.marked(f"load {n}")
    process.send_signal(signal.SIGINT)
    interrupted = project.finish(process)
    assert interrupted.status == 130
    run = interrupted.value["run"]["id"]
    eventually(lambda: not project.processes())
    project.clear()
    project.open_gate("go")
    assert project.coflux("runs", "resume", run).status == 1
    assert counts(project) == Counter(["load 3", "load 4", "load 5"])
    project.clear()
    project.open_gate("go")
    project.write("flow", source.replace("BROKEN", "None"))
    document = resumed(project, run)
    assert document["result"] == 15
    assert counts(project) == Counter(["load 4"])
    assert kinds(document, "main") == [["cancelled", "failed", "succeeded"]]


def test_a_root_that_was_suspended_is_resumed(shared: ScratchProject) -> None:
    """Its attempts before the last one submitted most of it."""
    source = """
        @cf.task(memo=True)
        def load(n):
            mark(f"load {n}")
            time.sleep(0.05)
            if n == BROKEN:
                raise ValueError(n)
            return n

        @cf.workflow()
        def main():
            with cf.suspense():
                return [load(n) for n in range(4)]
    """
    shared.write("flow", source.replace("BROKEN", "2"))
    failed = shared.coflux("run", "--json", "flow/main").value
    assert kinds(failed, "main") == [["suspended", "suspended", "suspended", "failed"]]
    shared.clear()
    shared.write("flow", source.replace("BROKEN", "None"))
    document = resumed(shared, failed["run"]["id"])
    assert document["result"] == [0, 1, 2, 3]
    assert counts(shared) == Counter(["load 2", "load 3"])


def test_what_can_not_be_resumed(shared: ScratchProject) -> None:
    """One line that says what to do instead."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main():
            mark("main")
            gate("go")
            return 1
        """,
    )
    run = shared.detach("flow/main")
    shared.marked("main")
    unfinished = shared.coflux("runs", "resume", run)
    assert unfinished.status == 1
    assert f"coflux runs cancel {run}" in unfinished.err
    shared.open_gate("go")
    shared.settled(run)
    finished = shared.coflux("runs", "resume", run)
    assert finished.status == 1
    assert f"coflux runs rerun {run}" in finished.err
    assert shared.coflux("runs", "resume", "Rnone").status == 3


def test_what_is_executed_again_is_cached_as_the_code_has_it_now(shared: ScratchProject) -> None:
    """Behaviour 5.1, 11.5: a mended function with a new `version` gives its result to that version alone."""
    source = """
        @cf.task(cache=cf.Cache(version="VERSION"))
        def load(n):
            mark("load VERSION")
            BODY

        @cf.workflow()
        def main():
            return load(1)
    """
    shared.write("versions", source.replace("VERSION", "1").replace("BODY", "raise ValueError(n)"))
    failed = shared.coflux("run", "--json", "versions/main").value
    shared.write("versions", source.replace("VERSION", "2").replace("BODY", "return 'mended'"))
    resumed(shared, failed["run"]["id"])
    assert shared.run("versions/main").value == "mended"
    assert len(shared.marks("load 2")) == 1
    shared.write("versions", source.replace("VERSION", "1").replace("BODY", "return 'as before'"))
    assert shared.run("versions/main").value == "as before"


def test_a_stub_that_is_resumed_twice_keeps_the_timeout_of_its_target(shared: ScratchProject) -> None:
    """Behaviour 8.1: also by a retry of the attempt that resumes."""
    shared.write(
        "far",
        """
        @cf.task(timeout=0.5)
        def slow():
            mark("slow")
            time.sleep(30)
        """,
    )
    shared.write(
        "near",
        """
        @cf.stub("far")
        def slow(): ...

        @cf.workflow(retries=1)
        def main():
            return slow()
        """,
    )
    failed = shared.coflux("run", "--json", "near/main").value
    assert shared.coflux("runs", "resume", failed["run"]["id"]).status == 1
    document = shared.settled(failed["run"]["id"])
    assert kinds(document, "slow") == [["timed_out", "timed_out", "timed_out"], ["timed_out"]]
