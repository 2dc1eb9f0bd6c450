"""Scenarios: `runs resume` after the code was mended: what succeeded is kept (behaviour 11.5)."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.engine.scratch import ScratchProject, attempts, kinds

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
