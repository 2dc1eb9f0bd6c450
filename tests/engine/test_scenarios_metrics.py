"""Scenarios: metrics (METRIC)."""

from __future__ import annotations

import os
import signal
from contextlib import closing

from coflux import MetricGroup, MetricScale
from coflux.executor.history import History
from coflux.executor.recorded_metrics import MetricInfo
from tests.engine.scratch import SLACK, ScratchProject, eventually


def metrics_of(project: ScratchProject, run: str) -> dict[str, tuple[MetricInfo, list[float], list[float]]]:
    """The metrics of a run with their points (at, values), by `key` and, from the second attempt on, `key#attempt`."""
    with closing(History.open(project.project.data_dir)) as history:
        found = {}
        for metric in history.metrics(run):
            page = history.points(metric)
            name = metric.key if metric.attempt == 1 else f"{metric.key}#{metric.attempt}"
            found[name] = metric, list(page.at), list(page.values)
    return found


def values_of(project: ScratchProject, run: str) -> dict[str, list[float]]:
    return {name: values for name, (_, _, values) in metrics_of(project, run).items()}


RECORDING = """
import threading

@cf.task()
def default_at():
    time.sleep(0.5)
    cf.Metric("S01").record(1)

@cf.task()
def explicit_at():
    metric = cf.Metric("S02", throttle=None)
    for at in (0, 1, 2, 3, 3, 4):
        metric.record(10 * at, at=at)

@cf.task()
def throttled():
    metric = cf.Metric("S03")
    started = time.monotonic()
    for number in range(500):
        metric.record(number)
        time.sleep(max(started + number / 500 - time.monotonic(), 0))
    mark(str(time.monotonic() - started))

@cf.task()
def tight():
    metric = cf.Metric("S04")
    for number in range(1, 101):
        metric.record(number)

@cf.task()
def unthrottled():
    metric = cf.Metric("S05", throttle=None)
    for number in range(200):
        metric.record(number)

@cf.task()
def loops():
    for _ in cf.progress([None] * 20, "S06"):
        pass
    for number in cf.progress(iter("abcde"), "left", group="g"):
        if number == "d":
            break
    for _ in cf.progress([], "empty"):
        pass

@cf.task()
def conflict():
    cf.Metric("S07", scale=cf.MetricScale(units="MB")).record(1)
    try:
        cf.Metric("S07", scale=cf.MetricScale(units="GB")).record(2)
    except ValueError as error:
        return str(error)

@cf.task()
def names():
    cf.Metric("S08", group="g", scale="s").record(1)
    cf.Metric("S08b", group=cf.MetricGroup("g"), scale=cf.MetricScale("s")).record(float("nan"))

@cf.workflow()
def main():
    tasks = default_at, explicit_at, throttled, tight, unthrottled, loops, conflict, names
    return [handle.result() for handle in [task.submit() for task in tasks]]
"""


def test_metrics(shared: ScratchProject) -> None:
    """METRIC-S01 to METRIC-S08."""
    shared.write("flow", RECORDING)
    document = shared.document("flow/main")
    run = document["run"]["id"]
    metrics = metrics_of(shared, run)

    _, (at,), _ = metrics["S01"]
    assert 0.5 <= at < 0.5 + 2 * SLACK
    assert metrics["S02"][1:] == ([0, 1, 2, 3, 4], [0, 10, 20, 30, 40])
    throttled = metrics["S03"][2]
    (seconds,) = (float(mark.text) for mark in shared.marks())
    assert 9 <= len(throttled) <= 10 * seconds + 3
    assert (throttled[0], throttled[-1]) == (0, 499)
    assert metrics["S04"][2][0] == 1
    assert metrics["S04"][2][-1] == 100
    assert metrics["S05"][2] == list(range(200))
    assert metrics["S06"][0].scale == MetricScale(progress=True, upper=20)
    assert metrics["S06"][2][-1] == 20
    assert metrics["left"][0].scale == MetricScale(progress=True)
    assert metrics["left"][0].group == MetricGroup("g")
    assert metrics["left"][2][-1] == 3
    assert "empty" not in metrics
    assert "the scale of metric 'S07' is MetricScale(name=None, units='GB'" in document["result"][6]
    assert metrics["S07"][2] == [1]
    assert metrics["S08"][0].scale == metrics["S08b"][0].scale == MetricScale("s")

    (warning,) = [entry for entry in shared.logs(run) if entry.level == 4]
    assert warning.template is not None
    assert warning.template.startswith("metric {metric}: a point was dropped")


def test_metrics_whatever_the_execution_ends_with(shared: ScratchProject) -> None:
    """The last value arrives, be it of a failed or suspended attempt; and while code is busy. What records leaves
    nothing behind: its process is used again, and forks in it are safe."""
    shared.write(
        "flow",
        """
        import multiprocessing, threading

        def record(name):
            metric = cf.Metric(name)
            for number in range(10):
                metric.record(number)

        def record_in_child(connection):
            try:
                record("of a child")
            except RuntimeError as error:
                connection.send(str(error))

        @cf.task(retries=1)
        def fails():
            record("failed")
            if attempt("fails") == 1:
                raise ValueError("no")

        @cf.task()
        def suspends():
            record("suspended")
            if attempt("suspends") == 1:
                cf.suspend()

        @cf.task()
        def forks():
            record("forking")
            threads = threading.enumerate()
            ours, theirs = multiprocessing.Pipe()
            child = multiprocessing.get_context("fork").Process(target=record_in_child, args=(theirs,))
            child.start()
            said = ours.recv()
            child.join()
            ours.close(), theirs.close()
            return os.getpid(), len(threads), said

        @cf.workflow()
        def main():
            fails(), suspends()
            return [forks(), forks()]
        """,
    )
    document = shared.document("--concurrency", "1", "flow/main")
    (pid, threads, said), (again, _, _) = document["result"]
    assert pid == again
    assert threads == 1
    assert said.startswith("this is a forked child of an execution")
    values = values_of(shared, document["run"]["id"])
    assert values.keys() == {"failed", "failed#2", "suspended", "suspended#2", "forking"}
    assert {(found[0], found[-1]) for found in values.values()} == {(0, 9)}
    assert [entry.template for entry in shared.logs(document["run"]["id"])] == []


def test_the_last_value_of_what_is_killed(shared: ScratchProject) -> None:
    """Whatever the throttle holds back of it: of code that leaves, crashes, is timed out and cancelled."""
    shared.write(
        "flow",
        """
        def record(name, throttle=10):
            metric = cf.Metric(name, throttle=throttle)
            for number in range(12):
                metric.record(number)
                time.sleep(0.045)
            metric.record(99)

        @cf.task()
        def leaves():
            record("left")
            os._exit(1)

        @cf.task()
        def crashes():
            record("crashed", 0.1)
            os.kill(os.getpid(), 9)

        @cf.task(timeout=1.5)
        def hangs():
            record("timed out", 0.1)
            time.sleep(60)

        @cf.task()
        def waits():
            record("cancelled", 0.1)
            time.sleep(0.2)
            mark("recorded")
            time.sleep(60)

        @cf.workflow()
        def main():
            waiting = waits.submit()
            for handle in [leaves.submit(), crashes.submit(), hangs.submit()]:
                try:
                    handle.result()
                except (cf.ExecutionTerminated, cf.ExecutionError):
                    pass
            gate("cancel")
            waiting.cancel()
        """,
    )
    run = shared.detach("flow/main")
    shared.marked("recorded")
    shared.open_gate("cancel")
    shared.settled(run)
    found = values_of(shared, run)
    assert {name: values[-1] for name, values in found.items()} == dict.fromkeys(
        ("left", "crashed", "timed out", "cancelled"), 99
    )
    assert found["crashed"] == [0, 99]


def test_what_was_sent_is_kept(project: ScratchProject) -> None:
    """Of a worker that is killed while it computes, and of an engine. The attempt after that has its own series."""
    project.write(
        "flow",
        """
        @cf.task()
        def killed():
            metric = cf.Metric("killed")
            metric.record(1)
            metric.record(2)
            while not os.path.exists(os.path.join(os.environ["COFLUX_TEST_GATES"], "die")):
                pass
            os.kill(os.getpid(), 9)

        @cf.workflow(retries=1)
        def main():
            number = attempt("main")
            cf.Metric("main").record(number)
            if number == 1:
                try:
                    killed()
                except cf.ExecutionAbandoned:
                    mark("caught")
                gate("never")
        """,
    )
    run = project.detach("flow/main")
    eventually(lambda: values_of(project, run).get("killed") == [1, 2])
    project.open_gate("die")
    project.marked("caught")
    os.kill(project.supervisor_pid(), signal.SIGKILL)
    eventually(lambda: not project.processes(), timeout=15.0)
    project.hold()
    project.settled(run)
    assert values_of(project, run) == {"main": [1], "killed": [1, 2], "main#2": [2]}


def test_the_last_value_of_what_an_engine_that_stops_leaves_running(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        @cf.workflow(retries=1)
        def main():
            metric = cf.Metric("main", throttle=0.1)
            for number in range(3):
                metric.record(number)
            if attempt("main") == 1:
                time.sleep(0.2)
                mark("recorded")
                gate("never")
        """,
    )
    run = project.detach("flow/main")
    project.marked("recorded")
    os.kill(project.supervisor_pid(), signal.SIGTERM)
    eventually(lambda: not project.processes(), timeout=15.0)
    project.hold()
    project.settled(run)
    assert values_of(project, run) == {"main": [0, 2], "main#2": [0, 2]}
