"""Scenarios: the first of several executions (SEL)."""

from __future__ import annotations

from tests.engine.scratch import ScratchProject, kinds

GATED = """
    @cf.task()
    def gated(name):
        mark(f"start {name}")
        gate(name)
        mark(f"end {name}")
        return name
"""


def test_the_first_to_end_wins(shared: ScratchProject) -> None:
    """SEL-S04: the handles themselves come back, the remaining ones in their order; they go on."""
    shared.write(
        "flow",
        GATED
        + """
    @cf.workflow()
    def main():
        handles = [gated.submit(name) for name in "abc"]
        winner, remaining = cf.select(handles)
        assert winner is handles[1]
        assert [id(handle) for handle in remaining] == [id(handles[0]), id(handles[2])]
        mark("selected")
        return [winner.result(), *[handle.result() for handle in remaining]]
    """,
    )
    process = shared.start("run", "--no-ui", "flow/main")
    for name in "abc":
        shared.marked(f"start {name}")
    shared.open_gate("b")
    shared.marked("selected")
    shared.open_gate("a")
    shared.open_gate("c")
    assert shared.finish(process).value == ["b", "a", "c"]


def test_of_several_that_are_ready_the_first_in_the_list_wins(shared: ScratchProject) -> None:
    """SEL-S05: with a target in it that is still running, too."""
    shared.write(
        "flow",
        GATED
        + """
    @cf.workflow()
    def main():
        handles = [gated.submit(name) for name in "abc"]
        handles[2].result()
        handles[1].result()
        winner, _ = cf.select(handles)
        gate("main")
        again, _ = cf.select([handles[2], handles[1]])
        handles[0].result()
        last, _ = cf.select(handles)
        return [winner.result(), again.result(), last.result()]
    """,
    )
    process = shared.start("run", "--no-ui", "flow/main")
    for name in "abc":
        shared.marked(f"start {name}")
    for name in ("b", "c", "main"):
        shared.open_gate(name)
    shared.marked("end c")
    shared.open_gate("a")
    assert shared.finish(process).value == ["b", "c", "a"]


def test_a_failure_wins_as_well(shared: ScratchProject) -> None:
    """SEL-S06."""
    shared.write(
        "flow",
        GATED
        + """
    @cf.task()
    def failing():
        raise ValueError("no")

    @cf.workflow()
    def main():
        handles = [gated.submit("a"), failing.submit()]
        winner, remaining = cf.select(handles)
        assert winner is handles[1]
        try:
            winner.result()
        except ValueError as error:
            mark("caught")
            return [str(error), *[handle.result() for handle in remaining]]
    """,
    )
    process = shared.start("run", "--no-ui", "flow/main")
    shared.marked("caught")
    shared.open_gate("a")
    assert shared.finish(process).value == ["no", "a"]


def test_the_losers_can_be_cancelled(shared: ScratchProject) -> None:
    """SEL-S07."""
    shared.write(
        "flow",
        GATED
        + """
    @cf.workflow()
    def main():
        winner, [loser] = cf.select([gated.submit("slow"), gated.submit("quick")], cancel_remaining=True)
        try:
            loser.result()
        except cf.ExecutionCancelled:
            return winner.result()
    """,
    )
    process = shared.start("run", "--json", "flow/main")
    shared.marked("start slow")
    shared.open_gate("quick")
    document = shared.finish(process).value
    assert document["result"] == "quick"
    assert kinds(document, "gated") == [["cancelled"], ["succeeded"]]
    assert shared.marks("end slow") == []


def test_what_cannot_be_selected_from(shared: ScratchProject) -> None:
    """SEL-S08."""
    shared.write(
        "flow",
        """
        @cf.task()
        def child():
            pass

        @cf.workflow()
        def main():
            kinds = []
            for handles in ([], [1], child.submit()):
                try:
                    cf.select(handles)
                except (ValueError, TypeError) as error:
                    kinds.append(type(error).__name__)
            return kinds
        """,
    )
    assert shared.run("flow/main").value == ["ValueError", "TypeError", "TypeError"]


def test_threads_and_loops_select_at_the_same_time(shared: ScratchProject) -> None:
    """Behaviour 2.1: replies are never mixed up."""
    shared.write(
        "flow",
        """
        from concurrent.futures import ThreadPoolExecutor

        @cf.task()
        def number(n):
            time.sleep(0.01 * (n % 3))
            return n

        @cf.workflow()
        def main():
            def race(n):
                winner, remaining = cf.select([number.submit(n), number.submit(n + 100)])
                return sorted([winner.result(), *[handle.result() for handle in remaining]])

            with ThreadPoolExecutor(8) as threads:
                return list(threads.map(race, range(16)))
        """,
    )
    assert shared.run("flow/main").value == [[n, n + 100] for n in range(16)]
