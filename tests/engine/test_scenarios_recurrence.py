"""Scenarios: targets that are executed again until they give a result (RECUR)."""

from __future__ import annotations

from tests.engine.scratch import ScratchProject, attempts, gaps, kinds


def test_none_means_again(shared: ScratchProject) -> None:
    """RECUR-S01: the caller gets the first value that is something else."""
    shared.write(
        "flow",
        """
        @cf.task(recurrent=True)
        def poll():
            return None if attempt("poll") < 3 else "x"

        @cf.workflow()
        def main():
            return poll()
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == "x"
    assert kinds(document, "poll") == [["recurred", "recurred", "succeeded"]]
    first, second, third = attempts(document, "poll")
    assert (first["next"], second["next"], third["next"]) == (second["id"], third["id"], None)


def test_the_delay_applies_to_every_recurrence(shared: ScratchProject) -> None:
    """RECUR-S02: from the submission, and from each completion."""
    shared.write(
        "flow",
        """
        @cf.task(recurrent=True, delay=0.3)
        def poll():
            mark("start")
            time.sleep(0.1)
            return None if attempt("end") < 2 else "x"

        @cf.workflow()
        def main():
            mark("submitted")
            return poll()
        """,
    )
    assert shared.run("flow/main").value == "x"
    assert [mark.text for mark in shared.marks()] == ["submitted", "start", "end", "start", "end"]
    submitted_to_start, _, end_to_start, _ = gaps(shared.marks())
    assert submitted_to_start >= 0.28
    assert end_to_start >= 0.28


def test_any_other_value_ends_it(shared: ScratchProject) -> None:
    """RECUR-S03."""
    shared.write(
        "flow",
        """
        @cf.task(recurrent=True)
        def give(value):
            mark("give")
            return value

        @cf.workflow()
        def main():
            return [give(value) for value in (0, False, "", [])]
        """,
    )
    assert shared.run("flow/main").value == [0, False, "", []]
    assert len(shared.marks("give")) == 4


def test_an_error_uses_the_retries_first_then_ends_it(shared: ScratchProject) -> None:
    """RECUR-S04, RECUR-S05."""
    shared.write(
        "flow",
        """
        def outcome(name, *outcomes):
            given = outcomes[attempt(name) - 1]
            if isinstance(given, Exception):
                raise given
            return given

        @cf.task(recurrent=True)
        def fails():
            return outcome("fails", None, ValueError("no"))

        @cf.task(recurrent=True, retries=1)
        def recovers():
            return outcome("recovers", None, ValueError("no"), None, "x")

        @cf.task(recurrent=True, retries=1)
        def starts_afresh():
            # A recurrence starts a fresh budget, so that one failure before it and one after it are fine.
            return outcome("starts_afresh", ValueError("one"), None, ValueError("two"), "x")

        @cf.workflow()
        def main():
            handles = [fails.submit(), recovers.submit(), starts_afresh.submit()]
            try:
                handles[0].result()
            except ValueError as error:
                return [str(error), handles[1].result(), handles[2].result()]
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == ["no", "x", "x"]
    assert kinds(document, "fails") == [["recurred", "failed"]]
    assert kinds(document, "recovers") == [["recurred", "failed", "recurred", "succeeded"]]
    assert kinds(document, "starts_afresh") == [["failed", "recurred", "failed", "succeeded"]]


def test_workflows_recur_at_the_root_and_below(shared: ScratchProject) -> None:
    """Behaviour 6.4, where upstream forgets it for child workflows."""
    shared.write(
        "flow",
        """
        @cf.workflow(recurrent=True)
        def poll(name):
            return None if attempt(name) < 3 else name

        @cf.workflow()
        def main():
            return poll("child")
        """,
    )
    document = shared.document("flow/poll", "root")
    assert document["result"] == "root"
    assert kinds(document, "poll") == [["recurred", "recurred", "succeeded"]]
    document = shared.document("flow/main")
    assert document["result"] == "child"
    assert kinds(document, "poll") == [["spawned"]]
    child, _, _ = attempts(document, "poll")[0]["next"].partition(":")
    assert kinds(shared.read(child), "poll") == [["recurred", "recurred", "succeeded"]]


def test_a_long_recurrence_keeps_only_its_last_attempts(shared: ScratchProject) -> None:
    """Behaviour 6.4: past a cap, old attempts go from disk too. The handle still leads to the end."""
    shared.write(
        "flow",
        """
        @cf.task(recurrent=True)
        def poll(times):
            return None if attempt("poll") < times else "x"

        @cf.workflow()
        def main():
            return poll(130)
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == "x"
    assert len(shared.marks("poll")) == 130
    executions = attempts(document, "poll")
    numbers = [execution["attempt"] for execution in executions]
    assert numbers[0] == 1
    assert numbers[-1] == 130
    assert numbers == sorted(numbers)
    assert len(numbers) <= 110
    assert [execution["next"] for execution in executions[:-1]] == [execution["id"] for execution in executions[1:]]


def test_what_leads_to_a_recurrence_is_not_kept_either(shared: ScratchProject) -> None:
    """Behaviour 6.4: nor are the suspended and the failed attempts in between."""
    shared.write(
        "between",
        """
        @cf.task(recurrent=True, retries=1)
        def patient():
            count = attempt("patient")
            if count % 3 == 1:
                cf.suspend()
            if count % 3 == 2:
                raise ValueError(count)
            return "done" if count == 240 else None

        @cf.workflow()
        def main():
            return patient()
        """,
    )
    document = shared.document("between/main")
    assert document["result"] == "done"
    numbers = [execution["attempt"] for execution in attempts(document, "patient")]
    assert numbers[0] == 1
    assert numbers[-1] == 240
    assert len(numbers) < 110
    assert all(execution["next"] for execution in attempts(document, "patient")[:-1])
