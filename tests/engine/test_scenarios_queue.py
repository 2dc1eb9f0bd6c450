"""Scenarios: what waits and why, what was decided and why, and how to forget results (CLI-S08, PERSIST-S02)."""

from __future__ import annotations

import json
from typing import Any

from tests.engine.scratch import ScratchProject, eventually, kinds

CACHED = """
@cf.task(cache=True)
def load(x, y=0):
    mark("load")
    return x

@cf.workflow()
def main(x: int, y: int = 0):
    return load(x, y)
"""


def queue(project: ScratchProject) -> dict[str, dict[str, Any]]:
    """What is queued, by the name of its target."""
    entries = json.loads(project.coflux("queue", "--json").out)["queue"]
    return {entry["target"].rpartition("/")[2]: entry for entry in entries}


def why(project: ScratchProject, identifier: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(project.coflux("why", identifier, "--json").out)
    return told


def test_the_queue_says_what_each_waits_for(serial: ScratchProject) -> None:
    """CLI-S08, adapted: what runs is not queued, and everything else has a reason of its own."""
    serial.write(
        "flow",
        """
        @cf.task()
        def busy():
            mark("busy")
            gate("go")

        @cf.task(delay=60)
        def late():
            pass

        @cf.task(wait="handle")
        def after(handle):
            pass

        @cf.task()
        def next_one():
            pass

        @cf.task(requires={"gpu": "A100"})
        def special():
            pass

        @cf.workflow()
        def main():
            running = busy.submit()
            for handle in (late.submit(), after.submit(running), next_one.submit(), special.submit()):
                pass
            mark("submitted")
            running.result()
            cf.cancel([handle])
        """,
    )
    run = serial.detach("flow/main")
    serial.marked("submitted")
    serial.marked("busy")
    waiting = eventually(lambda: len(queue(serial)) == 4 and queue(serial))
    reasons = {name: entry["reason"] for name, entry in waiting.items()}
    assert reasons["late"] == "delayed"
    assert reasons["after"] == f"waiting for arguments: {run}:2:1"
    assert waiting["after"]["waits_for"] == [f"{run}:2:1"]
    assert reasons["next_one"] == "ready"
    assert "gpu" in reasons["special"]
    text = serial.coflux("queue").out
    assert "delayed until " in text
    assert " (in " in text
    serial.open_gate("go")
    assert serial.coflux("runs", "cancel", run).status == 0


def test_nothing_queued_is_said(shared: ScratchProject) -> None:
    finished = shared.coflux("queue")
    assert (finished.status, finished.out, finished.err) == (0, "", "nothing is queued\n")
    assert json.loads(shared.coflux("queue", "--json").out) == {"version": 1, "queue": []}


def test_why_a_result_was_taken_from_the_cache_or_was_not(shared: ScratchProject) -> None:
    """A hit names its source, a miss the first part that differs."""
    shared.write("flow", CACHED)
    first, hit, miss = (shared.document("flow/main", *words) for words in (("11",), ("11",), ("11", "5")))
    source, taken, other = (document["run"]["id"] for document in (first, hit, miss))
    assert kinds(hit, "load") == [["cached"]]
    told = why(shared, f"{taken}:2")
    assert (told["cache"], told["attempts"][0]["cache"]["state"]) == ("on", "hit")
    assert told["attempts"][0]["cache"]["source"] == f"{source}:2:1"
    decision = why(shared, f"{other}:2")["attempts"][0]["cache"]
    assert decision["state"] == "miss"
    assert (decision["miss"]["parameter"], decision["miss"]["here"], decision["miss"]["there"]) == ("y", "5", "0")
    assert f"cache: hit, has the result of {source}:2:1" in shared.coflux("why", f"{taken}:2").out
    assert "cache: miss, y differs from " in shared.coflux("why", f"{other}:2").out
    assert "≡ load(11, 0)" in shared.coflux("runs", "inspect", taken).out


def test_why_there_is_a_retry_and_who_shares_a_step(shared: ScratchProject) -> None:
    shared.write(
        "flow",
        """
        @cf.task(retries=2, memo=True)
        def flaky():
            if attempt("flaky") == 1:
                raise ValueError("first")

        @cf.workflow()
        def main():
            one, two = flaky.submit(), flaky.submit()
            return [one.result(), two.result()]
        """,
    )
    run = shared.document("flow/main")["run"]["id"]
    told = why(shared, f"{run}:2")
    assert told["memo"] == {"state": "on", "shared_by": [f"{run}:1:1"]}
    [_, retry] = told["attempts"]
    assert (retry["trigger"], retry["retry"]) == ("retry", {"number": 1, "limit": 2})
    assert retry["error"]["message"] == "first"
    assert f"retry 1 of 2 after {run}:2:1: ValueError: first" in shared.coflux("why", f"{run}:2").out


def test_forgotten_results_are_not_used(shared: ScratchProject) -> None:
    shared.write("flow", CACHED)
    shared.write("other", CACHED)
    for target in ("flow/main", "other/main"):
        assert shared.run(target, "21").value == 21
    forgotten = shared.coflux("cache", "clear", "flow/load")
    assert forgotten.status == 0
    assert forgotten.out.startswith("forgot ")
    shared.clear()
    assert kinds(shared.document("flow/main", "21"), "load") == [["succeeded"]]
    assert kinds(shared.document("other/main", "21"), "load") == [["cached"]]
    assert shared.coflux("cache", "clear", "--all").status == 0
    assert kinds(shared.document("other/main", "21"), "load") == [["succeeded"]]
    nothing = shared.coflux("cache", "clear", "flow/none")
    assert (nothing.status, nothing.out) == (0, "the cache has no results of flow/none in workspace default\n")


def test_no_cache_executes_the_target_and_not_what_it_calls(shared: ScratchProject) -> None:
    """Behaviour 11.1: `--no-cache` is about the root."""
    shared.write("flow", CACHED.replace("@cf.workflow()", "@cf.workflow(cache=True)"))
    assert kinds(shared.document("flow/main", "31"), "main") == [["succeeded"]]
    assert kinds(shared.document("flow/main", "31"), "main") == [["cached"]]
    again = shared.coflux("run", "--json", "--no-cache", "flow/main", "31").value
    assert (kinds(again, "main"), kinds(again, "load")) == ([["succeeded"]], [["cached"]])


def test_memo_of_one_run(shared: ScratchProject) -> None:
    """Behaviour 11.1: `--memo` and `--no-memo` are the default of the run's steps."""
    shared.write(
        "flow",
        """
        @cf.task()
        def child():
            return attempt("child")

        @cf.workflow()
        def main():
            return [child(), child()]
        """,
    )
    assert shared.run("flow/main").value == [1, 2]
    assert shared.coflux("run", "--memo", "flow/main").value == [3, 3]
    assert shared.coflux("run", "--no-memo", "flow/main").value == [4, 5]


def test_a_cached_result_outlives_the_engine(project: ScratchProject) -> None:
    """PERSIST-S02."""
    project.write("flow", CACHED)
    assert project.run("flow/main", "41").value == 41
    eventually(lambda: not project.processes())
    assert kinds(project.document("flow/main", "41"), "load") == [["cached"]]
    assert len(project.marks("load")) == 1
