"""Scenarios: of equal submissions that have not started, only the newest is executed (DEFER)."""

from __future__ import annotations

from typing import Any

from tests.engine.scratch import ScratchProject, attempts, eventually, kinds

# With `--concurrency 1` nothing starts before its submitter waits.
ONE_AT_A_TIME = ("run", "--json", "--concurrency", "1")


def document(project: ScratchProject, target: str) -> dict[str, Any]:
    finished = project.coflux(*ONE_AT_A_TIME, target)
    assert finished.status == 0, finished.err
    found: dict[str, Any] = finished.value
    return found


def test_equal_submissions_are_executed_once(shared: ScratchProject) -> None:
    """DEFER-S03, DEFER-S06: the delay is that of the newest; older ones link to it, and their waiters follow."""
    shared.write(
        "flow",
        """
        @cf.task(delay=0.3, defer=True)
        def notify(user):
            return attempt("notify")

        @cf.workflow()
        def main():
            handles = []
            for _ in range(3):
                mark("submitted")
                handles.append(notify.submit("ada"))
                time.sleep(0.1)
            return [handle.result() for handle in handles]
        """,
    )
    told = document(shared, "flow/main")
    assert told["result"] == [1, 1, 1]
    assert kinds(told, "notify") == [["deferred"], ["deferred"], ["succeeded"]]
    first, second, third = [step["executions"][0] for step in told["steps"] if step["target"] == "flow/notify"]
    assert (first["next"], second["next"], third["next"]) == (third["id"], third["id"], None)
    assert first["started_at"] is None
    [notified], submitted = shared.marks("notify"), shared.marks("submitted")
    assert notified.at - submitted[2].at >= 0.28


def test_submissions_with_other_arguments_are_all_executed(shared: ScratchProject) -> None:
    """DEFER-S04."""
    shared.write(
        "flow",
        """
        @cf.task(defer=True)
        def notify(user):
            mark("notify")
            return user

        @cf.workflow()
        def main():
            return [handle.result() for handle in [notify.submit(user) for user in ("ada", "bob", "eve")]]
        """,
    )
    assert document(shared, "flow/main")["result"] == ["ada", "bob", "eve"]
    assert len(shared.marks("notify")) == 3


def test_the_newest_arguments_count(shared: ScratchProject) -> None:
    """DEFER-S05."""
    shared.write(
        "flow",
        """
        @cf.task(defer=cf.Defer(params="user"))
        def notify(user, text):
            mark("notify")
            return text

        @cf.workflow()
        def main():
            handles = [notify.submit("ada", text) for text in ("p1", "p2", "p3")]
            return [handle.result() for handle in handles]
        """,
    )
    assert document(shared, "flow/main")["result"] == ["p3", "p3", "p3"]
    assert len(shared.marks("notify")) == 1


def test_what_has_started_is_not_superseded(shared: ScratchProject) -> None:
    """Behaviour 6.2: only executions that have not started take part."""
    shared.write(
        "flow",
        """
        @cf.task(defer=True)
        def notify():
            number = attempt("notify")
            gate("go")
            return number

        @cf.workflow()
        def main():
            first = notify.submit()
            gate("second")
            second, third = notify.submit(), notify.submit()
            return [handle.result() for handle in (first, second, third)]
        """,
    )
    process = shared.start("run", "--json", "--concurrency", "2", "flow/main")
    shared.marked("notify")
    shared.open_gate("second")
    eventually(lambda: len(kinds(shared.read(shared.last_run()), "notify")) == 3)
    shared.open_gate("go")
    assert shared.finish(process).value["result"] == [1, 2, 2]


def test_a_survivor_that_is_cancelled_revives_the_one_before_it(shared: ScratchProject) -> None:
    """Behaviour 6.2: the newest that is not cancelled itself."""
    shared.write(
        "flow",
        """
        @cf.task(defer=cf.Defer(params=()))
        def notify(text):
            return text

        def told(handle):
            try:
                return handle.result()
            except cf.ExecutionCancelled:
                return "cancelled"

        @cf.workflow()
        def main():
            handles = [notify.submit(text) for text in ("p1", "p2", "p3", "p4")]
            handles[2].cancel()
            handles[3].cancel()
            return [told(handle) for handle in handles]
        """,
    )
    told = document(shared, "flow/main")
    assert told["result"] == ["p2", "p2", "cancelled", "cancelled"]
    assert kinds(told, "notify") == [["deferred"], ["succeeded"], ["cancelled"], ["cancelled"]]


def test_runs_of_a_workspace_supersede_each_other(shared: ScratchProject) -> None:
    """Behaviour 6.2: the newest submission's own delay counts; who waits for the older run gets the newer one's result,
    and `superseded` says so meanwhile."""
    shared.write(
        "flow",
        """
        @cf.workflow(delay=3600, defer=cf.Defer(params="user"))
        def notify(user: str, text: str):
            gate("go")
            return text
        """,
    )
    older = shared.detach("flow/notify", "ada", "p1")
    other = shared.detach("flow/notify", "bob", "other")
    newer = shared.coflux("run", "--detach", "flow/notify", "ada", "p2").out.strip()
    [superseded] = eventually(
        lambda: [one for one in attempts(shared.read(older), "notify") if "superseded" in one["reason"]]
    )
    assert newer in superseded["reason"]
    newest = shared.start("run", "--no-ui", "--delay", "0", "flow/notify", "ada", "p3")
    eventually(lambda: kinds(shared.read(older), "notify") == [["deferred"]])
    shared.open_gate("go")
    assert shared.finish(newest).value == "p3"
    for run in (older, newer):
        assert kinds(shared.settled(run), "notify") == [["deferred"]]
        assert shared.read(run)["run"]["status"] == "succeeded"
        assert shared.coflux("runs", "result", run).out == '"p3"\n'
    assert kinds(shared.read(other), "notify") == [["queued"]]
    assert shared.coflux("runs", "cancel", other).status == 0


def test_deferral_is_settled_before_the_cache(shared: ScratchProject) -> None:
    """Behaviour 6.2: a survivor with a result in the cache has left the queue, and the others follow it."""
    shared.write(
        "settled",
        """
        @cf.task(defer=True, cache=True, delay=0.1)
        def load():
            mark("load")
            return "loaded"

        @cf.workflow()
        def main():
            first = load()
            return [first, *[handle.result() for handle in [load.submit(), load.submit()]]]
        """,
    )
    told = document(shared, "settled/main")
    assert told["result"] == ["loaded"] * 3
    assert kinds(told, "load") == [["succeeded"], ["deferred"], ["cached"]]
    assert len(shared.marks("load")) == 1
