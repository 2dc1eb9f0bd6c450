"""Scenarios: `select` and `poll` inside executions (SEL)."""

from __future__ import annotations

from tests.engine.scratch import ScratchProject, kinds

CHILDREN = """
def open_gate(name):
    open(os.path.join(os.environ["COFLUX_TEST_GATES"], name), "w").close()

@cf.task()
def child(name):
    gate(name)
    mark(name)
    return name

@cf.task()
def failing():
    raise KeyError("no")
"""


def write(project: ScratchProject, main: str) -> None:
    path = project.write("flow", main)
    path.write_text(path.read_text() + CHILDREN)


def test_the_first_to_end_wins_and_the_others_stay_usable(shared: ScratchProject) -> None:
    """SEL-S04: the winner is the given object, the remaining ones keep their order."""
    write(
        shared,
        """
        @cf.workflow()
        def main():
            handles = first, second, third = [child.submit(name) for name in ("a", "b", "c")]
            open_gate("b")
            winner, remaining = cf.select(handles)
            same = winner is second and remaining[0] is first and remaining[1] is third and len(remaining) == 2
            open_gate("c")
            after, last = cf.select(remaining)
            open_gate("a")
            return [same, winner.result(), after.result(), [handle.result() for handle in last]]
        """,
    )
    finished = shared.run("flow/main")
    assert finished.value == [True, "b", "c", ["a"]], finished.err


def test_of_several_that_have_ended_the_earliest_in_the_list_wins(shared: ScratchProject) -> None:
    """SEL-S05."""
    write(
        shared,
        """
        @cf.workflow()
        def main():
            handles = [child.submit(name) for name in ("a", "b", "c")]
            for handle in reversed(handles):
                handle.result()
            order = [handles[2], handles[0], handles[1]]
            winners = []
            while order:
                winner, order = cf.select(order)
                winners.append(winner.result())
            return winners
        """,
    )
    for name in "abc":
        shared.open_gate(name)
    finished = shared.run("flow/main")
    assert finished.value == ["c", "a", "b"], finished.err


def test_a_failure_wins_and_is_raised_by_its_result_alone(shared: ScratchProject) -> None:
    """SEL-S06."""
    write(
        shared,
        """
        @cf.workflow()
        def main():
            slow = child.submit("a")
            winner, [other] = cf.select([slow, failing.submit()])
            try:
                winner.result()
            except KeyError as error:
                mark("failed")
            open_gate("a")
            return [other is slow, other.result()]
        """,
    )
    finished = shared.run("flow/main")
    assert finished.value == [True, "a"], finished.err
    assert len(shared.marks("failed")) == 1


def test_those_that_lost_are_cancelled_on_demand(shared: ScratchProject) -> None:
    """SEL-S07: with all that is below them, and the winner is left alone."""
    write(
        shared,
        """
        @cf.task()
        def parent():
            below = child.submit("never")
            open_gate("a")
            return below.result()

        @cf.workflow()
        def main():
            child.submit("b")
            losers = [parent.submit(), child.submit("never")]
            winner, remaining = cf.select([losers[0], child.submit("a"), losers[1]], cancel_remaining=True)
            ended = []
            for handle in remaining:
                try:
                    handle.result()
                except cf.ExecutionCancelled:
                    ended.append("cancelled")
            open_gate("b")
            return [winner.result(), ended]
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == ["a", ["cancelled", "cancelled"]]
    assert sorted(kinds(document, "child")) == [["cancelled"], ["cancelled"], ["succeeded"], ["succeeded"]]
    assert kinds(document, "parent") == [["cancelled"]]


def test_a_retried_execution_wins_with_its_last_attempt(shared: ScratchProject) -> None:
    """Handles stand for the whole chain."""
    write(
        shared,
        """
        @cf.task(retries=1)
        def flaky():
            if attempt("flaky") == 1:
                raise ValueError
            gate("retried")
            return "flaky"

        @cf.workflow()
        def main():
            winner, _ = cf.select([flaky.submit(), child.submit("a")])
            open_gate("retried")
            return winner.result()
        """,
    )
    shared.open_gate("a")
    finished = shared.run("flow/main")
    assert finished.value == "a", finished.err


def test_select_works_in_a_coroutine_and_in_threads(shared: ScratchProject) -> None:
    write(
        shared,
        """
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        @cf.workflow()
        async def main():
            awaited = asyncio.ensure_future(wait(child.submit("c")))
            await asyncio.sleep(0)
            winner, _ = cf.select([child.submit("never"), child.submit("a")], cancel_remaining=True)
            with ThreadPoolExecutor() as pool:
                pairs = [[child.submit("never"), child.submit(name)] for name in ("a", "b")]
                winners = pool.map(lambda pair: cf.select(pair, cancel_remaining=True)[0].result(), pairs)
            return [winner.result(), await awaited, *winners]

        async def wait(handle):
            return await handle
        """,
    )
    for name in "abc":
        shared.open_gate(name)
    finished = shared.run("flow/main")
    assert finished.value == ["a", "c", "a", "b"], finished.err


def test_what_is_no_handle_is_named(shared: ScratchProject) -> None:
    """SEL-S08."""
    write(
        shared,
        """
        @cf.workflow()
        def main():
            messages = []
            for wrong in ([], [1], [child.submit("a"), "x"], child.submit("a")):
                try:
                    cf.select(wrong)
                except (TypeError, ValueError) as error:
                    messages.append(f"{type(error).__name__}: {error}"[:45])
            return messages
        """,
    )
    shared.open_gate("a")
    assert shared.run("flow/main").value == [
        "ValueError: select() needs at least one handl",
        "TypeError: select() takes handles, not 1: han",
        "TypeError: select() takes handles, not 'x': h",
        "TypeError: select() takes a list of handles, ",
    ]
