"""Scenarios: results shared within a run (MEMO)."""

from __future__ import annotations

from tests.engine.scratch import ScratchProject, kinds


def test_equal_submissions_of_a_run_are_one_step(shared: ScratchProject) -> None:
    """MEMO-S01, MEMO-S02: with one handle; another run has steps of its own."""
    shared.write(
        "flow",
        """
        @cf.task(memo=True)
        def load(key, scale=1):
            mark("load")
            return key * scale

        @cf.workflow()
        def main():
            first, second, third = load.submit(2), load.submit(key=2, scale=1), load.submit(3)
            assert first == second and first != third
            return [first.id == second.id, first.result(), second.result(), third.result()]
        """,
    )
    for count in (2, 4):
        document = shared.document("flow/main")
        assert document["result"] == [True, 2, 2, 3]
        assert kinds(document, "load") == [["succeeded"], ["succeeded"]]
        assert len(shared.marks("load")) == count


def test_unfinished_and_finished_steps_are_shared(shared: ScratchProject) -> None:
    """Behaviour 5.3: from anywhere in the run, while it runs and when it has succeeded."""
    shared.write(
        "flow",
        """
        @cf.task(memo=True)
        def load():
            mark("load")
            gate("go")
            return "loaded"

        @cf.task()
        def user():
            handle = load.submit()
            mark("submitted")
            return handle.result()

        @cf.workflow()
        def main():
            users = [user.submit() for _ in range(3)]
            return [*[handle.result() for handle in users], load()]
        """,
    )
    process = shared.start("run", "--json", "flow/main")
    shared.marked("submitted", 3)
    shared.open_gate("go")
    document = shared.finish(process).value
    assert document["result"] == ["loaded"] * 4
    assert kinds(document, "load") == [["succeeded"]]
    assert len(shared.marks("load")) == 1


def test_only_the_named_parameters_count(shared: ScratchProject) -> None:
    """MEMO-S03."""
    shared.write(
        "flow",
        """
        @cf.task(memo=["machine_id"])
        def status(machine_id, question):
            mark("status")
            return [machine_id, question]

        @cf.workflow()
        def main():
            return [status("m1", "x"), status("m1", "y"), status("m2", "y")]
        """,
    )
    assert shared.run("flow/main").value == [["m1", "x"], ["m1", "x"], ["m2", "y"]]
    assert len(shared.marks("status")) == 2


def test_a_workflow_sets_the_default_of_its_run(shared: ScratchProject) -> None:
    """MEMO-S04, MEMO-S05: an explicit `memo=False` opts out, also one that is set at the call."""
    shared.write(
        "flow",
        """
        @cf.task()
        def plain(x):
            mark("plain")

        @cf.task(memo=False)
        def never(x):
            mark("never")

        @cf.task()
        def sometimes(x):
            mark("sometimes")

        @cf.task()
        def nested(x):
            plain(x)

        @cf.workflow(memo=True)
        def main():
            for _ in range(2):
                plain(1)
                never(1)
                sometimes.with_memo(False)(1)
            nested(1)
        """,
    )
    assert shared.run("flow/main").status == 0
    assert {name: len(shared.marks(name)) for name in ("plain", "never", "sometimes")} == {
        "plain": 1,
        "never": 2,
        "sometimes": 2,
    }


def test_a_retry_finds_what_the_attempt_before_it_submitted(shared: ScratchProject) -> None:
    """MEMO-S06."""
    shared.write(
        "flow",
        """
        @cf.task(memo=True)
        def load():
            mark("load")
            return "loaded"

        @cf.workflow(retries=1)
        def main():
            value = load()
            if attempt("main") == 1:
                raise ValueError("no")
            return value
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == "loaded"
    assert kinds(document, "main") == [["failed", "succeeded"]]
    assert kinds(document, "load") == [["succeeded"]]
    assert len(shared.marks("load")) == 1


def test_failures_are_not_shared_but_pending_retries_are(shared: ScratchProject) -> None:
    """MEMO-S07; behaviour 5.3."""
    shared.write(
        "flow",
        """
        @cf.task(memo=True)
        def flaky():
            if attempt("flaky") == 1:
                raise ValueError("no")
            return "ok"

        @cf.task(memo=True, retries=cf.Retries(1, backoff=(0.3, 0.3)))
        def retried():
            if attempt("retried") == 1:
                raise ValueError("no")
            return "ok"

        @cf.workflow()
        def main():
            try:
                flaky()
            except ValueError:
                mark("caught")
            first = retried.submit()
            while not any(line.startswith("retried") for line in open(os.environ["COFLUX_TEST_MARKS"])):
                time.sleep(0.01)
            time.sleep(0.1)  # it has failed by now, or still runs: shared either way
            second = retried.submit()
            return [flaky(), first == second, second.result()]
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == ["ok", True, "ok"]
    assert kinds(document, "flaky") == [["failed"], ["succeeded"]]
    assert kinds(document, "retried") == [["failed", "succeeded"]]
    assert len(shared.marks("caught")) == 1


def test_handles_count_by_their_execution(shared: ScratchProject) -> None:
    """Behaviour 5.1: also those that were submitted just before, whose ids nobody has asked for."""
    shared.write(
        "flow",
        """
        @cf.task()
        def number(n):
            return n

        @cf.task(memo=True)
        def double(handle):
            mark("double")
            return 2 * handle.result()

        @cf.workflow()
        def main():
            first, second = number.submit(1), number.submit(1)
            return [double(first), double(second), double(first)]
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == [2, 2, 2]
    assert kinds(document, "double") == [["succeeded"], ["succeeded"]]


def test_memo_beats_the_cache(shared: ScratchProject) -> None:
    """Behaviour 5.3: the second submission makes no step, which could be a hit; in another run the first one is."""
    shared.write(
        "beaten",
        """
        @cf.task(memo=True, cache=True)
        def load():
            mark("load")
            return "loaded"

        @cf.workflow()
        def main():
            return [load(), load()]
        """,
    )
    for expected in ("succeeded", "cached"):
        document = shared.document("beaten/main")
        assert document["result"] == ["loaded", "loaded"]
        assert kinds(document, "load") == [[expected]]
    assert len(shared.marks("load")) == 1


def test_child_workflows_are_shared_through_the_default_of_the_parent_run(shared: ScratchProject) -> None:
    """Behaviour 5.3, 8.1: `memo` on a workflow sets its own run's default, not whether its step is shared."""
    shared.write(
        "flow",
        """
        @cf.task()
        def leaf():
            mark("leaf")

        @cf.workflow(memo=True)
        def inner(x):
            mark("inner")
            leaf()
            leaf()
            return x

        @cf.workflow()
        def plain():
            return [inner(1), inner(1)]

        @cf.workflow(memo=True)
        def sharing():
            return [inner(1), inner(1)]

        @cf.workflow()
        def at_the_call():
            shared = inner.with_memo(True)
            return [shared(1), shared(1)]
        """,
    )
    for name, count in (("plain", 2), ("sharing", 1), ("at_the_call", 1)):
        shared.clear()
        assert shared.run(f"flow/{name}").value == [1, 1]
        assert (len(shared.marks("inner")), len(shared.marks("leaf"))) == (count, count)


def test_a_wait_that_would_close_a_cycle_is_an_error(shared: ScratchProject) -> None:
    """Behaviour 2.6: f waits for g, which is given f's own handle; the message names both."""
    shared.write(
        "flow",
        """
        @cf.task(memo=True)
        def f():
            return g()

        @cf.task(memo=True)
        def g():
            return f()

        @cf.task(memo=True)
        def own():
            return own()

        @cf.workflow()
        def main():
            messages = []
            for target in (f, own):
                try:
                    target()
                except cf.ExecutionError as error:
                    messages.append(str(error))
            return messages
        """,
    )
    cycle, own = shared.run("flow/main").value
    assert "f (" in cycle
    assert "g (" in cycle
    assert "own (" in own
