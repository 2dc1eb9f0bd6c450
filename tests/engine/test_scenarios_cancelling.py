"""Scenarios: what a cancel reaches, and what it spares (CANCEL, beyond `test_scenarios_endings.py`)."""

from __future__ import annotations

import os
from typing import Any

from tests.engine.scratch import ScratchProject, attempts, eventually, kinds

SLOW = """
    @cf.task()
    def slow(name="slow"):
        mark(name)
        time.sleep(60)
        mark("end")

    def told(handle):
        try:
            return handle.result()
        except cf.ExecutionCancelled:
            return "cancelled"
"""


def child_run(document: dict[str, Any], target: str) -> str:
    """The run that the only step of `target` became."""
    run: str = attempts(document, target)[0]["next"].partition(":")[0]
    return run


def test_a_cancel_reaches_child_workflows(shared: ScratchProject) -> None:
    """CANCEL-S03: a run, the run that its child workflow became, and the task of that one."""
    shared.write(
        "flow",
        SLOW
        + """
    @cf.workflow()
    def inner():
        slow()
        mark("end")

    @cf.workflow()
    def main():
        inner()
        mark("end")
    """,
    )
    run = shared.detach("flow/main")
    [leaf] = shared.marked("slow")
    inner = child_run(shared.read(run), "inner")
    assert shared.coflux("runs", "cancel", run).status == 0
    document = shared.settled(run)
    assert (kinds(document, "main"), kinds(document, "inner")) == ([["cancelled"]], [["spawned"]])
    document = shared.read(inner)
    assert (kinds(document, "inner"), kinds(document, "slow")) == ([["cancelled"]], [["cancelled"]])
    assert shared.marks("end") == []
    eventually(lambda: not os.path.exists(f"/proc/{leaf.pid}"))


def test_a_handle_leads_to_what_is_pending_now(shared: ScratchProject) -> None:
    """Behaviour 7.4: through retries, suspensions, recurrences and child runs, and nothing starts afterwards."""
    shared.write(
        "flow",
        SLOW
        + """
    @cf.task(retries=cf.Retries(1, backoff=(60, 60)))
    def retried():
        mark("retried")
        raise ValueError("no")

    @cf.task()
    def suspended():
        mark("suspended")
        cf.suspend(60)

    @cf.task(recurrent=True)
    def recurrent():
        if attempt("recurrent") == 2:
            time.sleep(60)

    @cf.workflow()
    def spawned():
        slow("spawned")

    @cf.workflow()
    def main():
        handles = [target.submit() for target in (retried, suspended, recurrent, spawned)]
        gate("go")
        cf.cancel(handles)
        return [told(handle) for handle in handles]
    """,
    )
    run = shared.detach("flow/main")
    shared.marked("spawned")

    def pending() -> Any:
        document = shared.read(run)
        return [kinds(document, name) for name in ("retried", "suspended", "recurrent")] == [
            [["failed", "queued"]],
            [["suspended", "queued"]],
            [["recurred", "running"]],
        ]

    eventually(pending)
    shared.open_gate("go")
    document = shared.settled(run)
    assert document["result"] == ["cancelled"] * 4
    assert kinds(document, "retried") == [["failed", "cancelled"]]
    assert kinds(document, "suspended") == [["suspended", "cancelled"]]
    assert kinds(document, "recurrent") == [["recurred", "cancelled"]]
    assert kinds(document, "spawned") == [["spawned"]]
    assert kinds(shared.read(child_run(document, "spawned")), "spawned") == [["cancelled"]]


def test_a_finished_parent_hands_the_cancel_on(shared: ScratchProject) -> None:
    """Behaviour 7.4: also to child runs, and to what an attempt before the last one submitted."""
    shared.write(
        "flow",
        SLOW
        + """
    @cf.workflow()
    def inner():
        slow("inner")

    @cf.task(retries=1)
    def parent():
        if attempt("parent") == 1:
            inner.submit()
            raise ValueError("no")
        slow.submit("slow")
        return 7

    @cf.workflow()
    def main():
        handle = parent.submit()
        value = handle.result()
        gate("go")
        handle.cancel()
        return [value, handle.result()]
    """,
    )
    process = shared.start("run", "--json", "flow/main")
    shared.marked("inner")
    shared.marked("slow")
    shared.open_gate("go")
    document = shared.finish(process).value
    assert document["result"] == [7, 7]
    assert kinds(document, "parent") == [["failed", "succeeded"]]
    assert kinds(document, "slow") == [["cancelled"]]
    assert kinds(shared.settled(child_run(document, "inner")), "inner") == [["cancelled"]]


def test_a_shared_step_is_spared_while_somebody_can_use_it(shared: ScratchProject) -> None:
    """Behaviour 7.4: whoever submitted it first. With its last holder it goes."""
    shared.write(
        "flow",
        SLOW
        + """
    @cf.task(memo=True)
    def shared(key):
        mark(f"shared {key}")
        gate("go")
        return key

    @cf.task()
    def holder(key, name):
        handle = shared.submit(key)
        mark(name)
        return handle.result()

    @cf.workflow()
    def main():
        creator = holder.submit("one", "creator")
        gate("first")
        other = holder.submit("one", "other")
        both = [holder.submit("two", "both"), holder.submit("two", "both")]
        gate("cancel")
        creator.cancel()
        cf.cancel(both)
        mark("cancelled")
        return [told(creator), other.result(), *[told(handle) for handle in both]]
    """,
    )
    process = shared.start("run", "--json", "flow/main")
    shared.marked("creator")
    shared.open_gate("first")
    shared.marked("other")
    shared.marked("both", 2)
    shared.marked("shared two")
    shared.open_gate("cancel")
    shared.marked("cancelled")
    run = shared.last_run()
    eventually(lambda: ["cancelled"] in kinds(shared.read(run), "shared"))
    shared.open_gate("go")
    document = shared.finish(process).value
    assert document["result"] == ["cancelled", "one", "cancelled", "cancelled"]
    assert sorted(kinds(document, "shared")) == [["cancelled"], ["succeeded"]]
    assert len(shared.marks("shared one")) == 1


def test_a_timeout_cancels_like_a_cancel(shared: ScratchProject) -> None:
    """Behaviour 7.5: child runs below, and shared steps are spared."""
    shared.write(
        "flow",
        SLOW
        + """
    @cf.task(memo=True)
    def shared():
        mark("shared")
        gate("go")
        return "shared"

    @cf.workflow()
    def inner():
        slow()

    @cf.task(timeout=0.4)
    def limited():
        inner.submit()
        return shared()

    @cf.workflow()
    def main():
        first = limited.submit()
        second = shared.submit()
        try:
            first.result()
        except cf.ExecutionTimeout:
            mark("timed out")
            return second.result()
    """,
    )
    process = shared.start("run", "--json", "flow/main")
    shared.marked("timed out")
    shared.open_gate("go")
    document = shared.finish(process).value
    assert document["result"] == "shared"
    assert kinds(document, "limited") == [["timed_out"]]
    assert kinds(document, "shared") == [["succeeded"]]
    assert kinds(shared.read(child_run(document, "inner")), "inner") == [["cancelled"]]


def test_waiting_steps_are_cancelled_before_they_start(shared: ScratchProject) -> None:
    """Behaviour 7.4: whatever they wait for: arguments, a source for the cache, a newer submission, a time."""
    shared.write(
        "doomed",
        SLOW
        + """
    @cf.task(wait=True)
    def consumer(handle):
        mark("started")

    @cf.task(cache=True)
    def cached():
        mark("source")
        time.sleep(60)

    @cf.task(defer=True, delay=60)
    def deferred():
        mark("started")

    @cf.workflow()
    def main():
        consumer.submit(slow.submit())
        for _ in range(2):
            cached.submit()
            deferred.submit()
        mark("submitted")
    """,
    )
    run = shared.detach("doomed/main")
    shared.marked("slow")
    shared.marked("source")
    shared.marked("submitted")
    assert shared.coflux("runs", "cancel", run).status == 0
    document = shared.settled(run)
    for name, count in (("consumer", 1), ("cached", 2), ("deferred", 2)):
        assert kinds(document, name) == [["cancelled"]] * count
    assert kinds(document, "main") == [["succeeded"]]
    assert shared.marks("started") == []
    assert len(shared.marks("source")) == 1
