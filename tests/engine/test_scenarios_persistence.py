"""Scenarios: the engine is killed while executions wait, and each goes on as promised (PERSIST, IDEM-S02).

One engine is killed, with everything in it, for the tests of this file; each looks at what became of one thing.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import pytest

from tests.engine.conftest import scratch_project
from tests.engine.scratch import ScratchProject, attempts, eventually, gaps, kinds

DELAY = 2.0  # seconds; what is delayed must not be due before the engine is killed
MOMENT = timedelta(seconds=0.1)
CLOCKS = timedelta(seconds=0.05)  # how far the wall clock may be slewed against the monotonic one meanwhile

FLOW = f"""
@cf.task(retries=1, memo=True)
def gated(name):
    mark(f"gated {{name}}")
    gate("go")
    mark(f"end {{name}}")
    return name

# -- suspended on a handle

@cf.workflow()
def suspended():
    mark("suspended")
    with cf.suspense():
        return gated("suspended")

@cf.workflow()
def suspended_on_any():
    mark("suspended_on_any")
    with cf.suspense():
        winner, _ = cf.select([gated.submit("any"), never.submit()], cancel_remaining=True)
    return winner.result()

@cf.task(memo=True, delay=3600)
def never():
    pass

@cf.task(memo=True)
def lost():
    mark("lost")
    gate("go")

@cf.workflow()
def suspended_on_lost():
    with cf.suspense():
        try:
            lost()
        except cf.ExecutionAbandoned as error:
            return str(error)

# -- waiting for arguments

@cf.task(wait=True)
def consumer(handle):
    mark("consumer")
    return handle.result()

@cf.workflow()
def arguments():
    consumer.submit({{"nested": gated.submit("arguments")}}["nested"])

# -- linked to a source for the cache

@cf.task(cache=True, retries=1)
def cached():
    mark("cached")
    gate("go")
    return "cached"

@cf.workflow()
def source():
    cached.submit()

@cf.workflow()
def linked():
    cached.submit()

# -- a child run

@cf.workflow(retries=1)
def inner():
    mark("inner")
    gate("go")
    return "inner"

@cf.workflow(memo=True, retries=1)
def outer():
    mark("outer")
    return ["outer", inner()]

# -- delayed, superseded, recurrent

@cf.workflow(delay={DELAY})
def delayed():
    mark("delayed")

@cf.task(delay={DELAY}, defer=cf.Defer(params=()))
def deferred(text):
    mark("deferred")
    return text

@cf.workflow()
def superseded():
    for text in ("p1", "p2", "p3"):
        deferred.submit(text)

@cf.workflow(recurrent=True, delay=1)
def recurrent():
    mark("recurrent")
    return "done" if os.path.exists(os.path.join(os.environ["COFLUX_TEST_GATES"], "go")) else None
"""


WAITING = [
    ("suspended", "suspended", ["suspended", "queued"]),
    ("suspended_on_any", "suspended_on_any", ["suspended", "queued"]),
    ("suspended_on_lost", "suspended_on_lost", ["suspended", "queued"]),
    ("arguments", "consumer", ["queued"]),
    ("linked", "cached", ["queued"]),
    ("superseded", "deferred", ["queued"] * 3),
]


class Survivor(NamedTuple):
    project: ScratchProject
    runs: dict[str, str]
    before: dict[str, dict[str, Any]]  # the documents as they were when the engine was killed

    def settled(self, name: str) -> dict[str, Any]:
        return self.project.settled(self.runs[name])


@pytest.fixture(scope="module")
def survivor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Survivor]:
    with scratch_project(tmp_path_factory.mktemp("killed") / "project") as project:
        project.hold()
        project.write("flow", FLOW)
        runs: dict[str, str] = {}

        def start(*names: str) -> None:
            runs.update({name: project.detach(f"flow/{name}") for name in names})

        start("recurrent", "suspended", "suspended_on_any", "suspended_on_lost", "arguments", "outer", "source")
        for name in ("gated suspended", "gated any", "lost", "gated arguments", "inner", "cached"):
            project.marked(name)
        start("linked", "delayed", "superseded")
        for name, target, states in WAITING:
            eventually(partial(_has_states, project, runs[name], target, states))
        project.marked("recurrent", len(project.marks("recurrent")) + 1)
        eventually(lambda: _statuses(project, runs["recurrent"], "recurrent")[-1] == "queued")
        os.kill(project.supervisor_pid(), signal.SIGKILL)
        eventually(lambda: not [one for one in project.processes() if one.pid not in _own(project)])
        before = {name: project.read(run) for name, run in runs.items()}
        project.open_gate("go")
        project.hold()
        yield Survivor(project, runs, before)


def _own(project: ScratchProject) -> set[int]:
    """The commands that the test itself started."""
    return {process.pid for process in project._started}


def _has_states(project: ScratchProject, run: str, target: str, states: list[str]) -> bool:
    return _statuses(project, run, target) == states


def _statuses(project: ScratchProject, run: str, target: str) -> list[str]:
    return [status for step in kinds(project.read(run), target) for status in step]


def test_a_delay_goes_on(survivor: Survivor) -> None:
    """It counts from the submission, not from the restart, and is executed once."""
    [before] = attempts(survivor.before["delayed"], "delayed")
    assert (before["status"], before["reason"]) == ("queued", "delayed")
    document = survivor.settled("delayed")
    [after] = attempts(document, "delayed")
    assert after["status"] == "succeeded"
    assert datetime.fromisoformat(after["started_at"]) >= datetime.fromisoformat(before["due_at"]) - CLOCKS
    assert abs(datetime.fromisoformat(after["due_at"]) - datetime.fromisoformat(before["due_at"])) < MOMENT
    assert len(survivor.project.marks("delayed")) == 1


def test_a_suspension_goes_on_when_its_handle_has_a_result(survivor: Survivor) -> None:
    """The child was running and is retried; the next attempt starts when that has ended, and finds it."""
    document = survivor.settled("suspended")
    assert document["result"] == "suspended"
    assert kinds(document, "suspended") == [["suspended", "succeeded"]]
    assert kinds(document, "gated") == [["abandoned", "succeeded"]]
    [end] = survivor.project.marks("end suspended")
    assert survivor.project.marks("suspended")[1].at >= end.at


def test_a_suspension_for_any_of_several_goes_on_with_the_first(survivor: Survivor) -> None:
    document = survivor.settled("suspended_on_any")
    assert document["result"] == "any"
    assert kinds(document, "suspended_on_any") == [["suspended", "succeeded"]]
    assert kinds(document, "never") == [["cancelled"]]


def test_a_suspension_is_told_of_what_was_lost(survivor: Survivor) -> None:
    """It was waited for, so it is not executed again (see `test_scenarios_suspension.py`)."""
    document = survivor.settled("suspended_on_lost")
    assert "engine" in document["result"]
    assert kinds(document, "lost") == [["abandoned"]]
    assert kinds(document, "suspended_on_lost") == [["suspended", "succeeded"]]


def test_a_wait_for_arguments_goes_on(survivor: Survivor) -> None:
    [before] = attempts(survivor.before["arguments"], "consumer")
    assert "waiting for arguments" in before["reason"]
    document = survivor.settled("arguments")
    assert kinds(document, "gated") == [["abandoned", "succeeded"]]
    assert kinds(document, "consumer") == [["succeeded"]]
    [end], [consumer] = survivor.project.marks("end arguments"), survivor.project.marks("consumer")
    assert consumer.at >= end.at


def test_what_was_linked_to_an_abandoned_source_is_executed(survivor: Survivor) -> None:
    """Behaviour 5.2."""
    [before] = attempts(survivor.before["linked"], "cached")
    source, linked = survivor.settled("source"), survivor.settled("linked")
    assert attempts(source, "cached")[0]["id"] in before["reason"]
    assert kinds(source, "cached") == [["abandoned", "succeeded"]]
    assert kinds(linked, "cached") == [["succeeded"]]


def test_a_child_run_goes_on_and_is_found_again(survivor: Survivor) -> None:
    """The caller ran and is retried; its memoised child workflow is the one that it had."""
    document = survivor.settled("outer")
    assert document["result"] == ["outer", "inner"]
    assert kinds(document, "outer") == [["abandoned", "succeeded"]]
    assert kinds(document, "inner") == [["spawned"]]
    child = survivor.project.read(attempts(document, "inner")[0]["next"].partition(":")[0])
    assert kinds(child, "inner") == [["abandoned", "succeeded"]]
    assert child["run"]["id"] == survivor.before["outer"]["steps"][1]["spawned"]


def test_superseded_submissions_stay_superseded(survivor: Survivor) -> None:
    """The survivor starts when its own delay is over, and the others are deferred to it."""
    steps = [step["executions"][0] for step in survivor.before["superseded"]["steps"][1:]]
    assert ["superseded" in one["reason"] for one in steps] == [True, True, False]
    document = survivor.settled("superseded")
    assert kinds(document, "deferred") == [["deferred"], ["deferred"], ["succeeded"]]
    *older, newest = [step["executions"][0] for step in document["steps"][1:]]
    assert [one["next"] for one in older] == [newest["id"]] * 2
    assert datetime.fromisoformat(newest["started_at"]) >= datetime.fromisoformat(steps[2]["due_at"]) - CLOCKS
    assert len(survivor.project.marks("deferred")) == 1


def test_a_recurrence_goes_on(survivor: Survivor) -> None:
    """After its delay; nothing of it was running, so nothing is abandoned."""
    document = survivor.settled("recurrent")
    assert document["result"] == "done"
    states = _statuses(survivor.project, survivor.runs["recurrent"], "recurrent")
    assert set(states[:-1]) == {"recurred"}
    assert states[-1] == "succeeded"
    assert len(states) == len(survivor.project.marks("recurrent"))
    assert all(gap >= 0.98 for gap in gaps(survivor.project.marks("recurrent")))


# -- idempotency keys -------------------------------------------------------------------------------------------------


def test_a_key_belongs_to_a_workspace(shared: ScratchProject) -> None:
    """IDEM-S02: the same key elsewhere is another run."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main():
            mark("main")
            return "done"
        """,
    )
    created = shared.coflux("workspaces", "create", "other")
    assert created.status == 0, created.err
    runs = [
        shared.detach("--idempotency-key", "key", "--workspace", workspace, "flow/main")
        for workspace in ("default", "other", "default", "other")
    ]
    assert runs[0] == runs[2]
    assert runs[1] == runs[3]
    assert runs[0] != runs[1]
    for run in runs:
        shared.settled(run)
    assert len(shared.marks("main")) == 2
