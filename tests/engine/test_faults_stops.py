"""Timeouts and cancellation: whatever the code does, its processes are gone in time, and nothing starts afterwards."""

from __future__ import annotations

import signal
import time
from datetime import datetime, timedelta
from typing import Any

import psutil
import pytest

import coflux as cf
from coflux.executor.history import History
from tests.engine.scratch import SLACK, ScratchProject, eventually, kinds
from tests.naming import named


def lasted(execution: dict[str, Any]) -> float:
    """Seconds between start and outcome."""
    started, finished = (datetime.fromisoformat(execution[key]) for key in ("started_at", "finished_at"))
    return (finished - started).total_seconds()


def alive(project: ScratchProject, text: str) -> list[int]:
    """The processes that left this mark and still exist."""
    return [mark.pid for mark in project.marks(text) if psutil.pid_exists(mark.pid)]


def test_c01_c02_c03_c04_c08_a_timeout_ends_anything(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        import re, signal, subprocess

        @cf.task(timeout=1)
        def sleep():
            mark("sleep")
            time.sleep(60)

        @cf.task(timeout=1)
        def spin():
            mark("spin")
            while True:
                pass

        @cf.task(timeout=1)
        def hold_the_interpreter():
            mark("hold_the_interpreter")
            re.match(r"(a+)+$", "a" * 60 + "b")

        @cf.task(timeout=1)
        def block_signals():
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
            mark("block_signals")
            time.sleep(60)

        @cf.task(timeout=1)
        def start_processes():
            mark("start_processes")
            subprocess.run("sleep 600 & setsid sleep 600", shell=True)

        @cf.workflow()
        def main():
            outcomes = []
            for target in (sleep, spin, hold_the_interpreter, block_signals, start_processes):
                outcomes.append(target.submit())
            def outcome(handle):
                try:
                    return handle.result()
                except cf.ExecutionTimeout as error:
                    return [type(error).__name__, str(error)]
            return [outcome(handle) for handle in outcomes]
        """,
    )
    document = project.document("flow/main")
    assert [(kind, "timeout of 1 s" in text) for kind, text in document["result"]] == [("ExecutionTimeout", True)] * 5
    for name in ("sleep", "spin", "hold_the_interpreter", "block_signals", "start_processes"):
        assert kinds(document, name) == [["timed_out"]]
        assert alive(project, name) == []
        (execution,) = [step["executions"][0] for step in document["steps"] if step["target"] == f"flow/{name}"]
        assert 1.0 <= lasted(execution) < 1.5 * SLACK
    assert [process for process in project.processes() if process.name() == "sleep"] == []


def test_c07_a_timeout_while_waiting_for_a_child_cancels_the_child(shared: ScratchProject) -> None:
    shared.write(
        "flow",
        """
        @cf.task()
        def child():
            mark("child")
            gate("never")

        @cf.workflow(timeout=0.5)
        def main():
            return child()
        """,
    )
    finished = shared.run("flow/main")
    assert (finished.status, finished.out) == (124, "")
    document = shared.read(finished.err.split()[1])
    assert (kinds(document, "main"), kinds(document, "child")) == ([["timed_out"]], [["cancelled"]])
    assert alive(shared, "child") == []


def test_c10_cancelling_a_tree_leaves_nothing_and_starts_nothing(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        @cf.task()
        def leaf():
            mark("leaf")
            gate("never")

        @cf.task()
        def branch():
            mark("branch")
            return [handle.result() for handle in [leaf.submit() for _ in range(4)]]

        @cf.workflow()
        def main():
            mark("main")
            return [handle.result() for handle in [branch.submit() for _ in range(2)]]
        """,
    )
    project.hold()
    run = project.detach("flow/main", COFLUX_CONCURRENCY="3")
    project.marked("branch", 2)
    project.marked("leaf", 3)
    asked_at = time.monotonic()
    assert project.coflux("runs", "cancel", run).status == 0
    document = project.settled(run)
    assert time.monotonic() - asked_at < 2.0 * SLACK
    started = project.marks()
    assert not any(psutil.pid_exists(mark.pid) for mark in started)
    states = {execution["status"] for step in document["steps"] for execution in step["executions"]}
    assert states == {"cancelled"}
    # A command that starts and ends a worker of its own: had anything been left in the queue, it would have come first.
    project.write("other", "@cf.task()\ndef identity(x):\n    return x\n")
    assert project.run("other/identity", "1").value == 1
    assert project.marks() == started


def test_c11_cancelling_executions_in_any_state(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        @cf.task()
        def queued():
            mark("started all the same")

        @cf.task(delay=60)
        def delayed():
            mark("started all the same")

        @cf.task(retries=cf.Retries(backoff=(60, 60)))
        def failing():
            mark("failed")
            raise ValueError("no")

        @cf.task()
        def quick():
            return 1

        @cf.task()
        def busy():
            mark("busy")
            gate("end")
            mark("ended")

        @cf.workflow()
        def main():
            quick()
            failing.submit()
            delayed.submit()
            gate("failed")
            blocker = busy.submit()
            time.sleep(0.2)
            queued.submit()
            try:
                return blocker.result()
            except cf.ExecutionCancelled:
                return "cancelled"
        """,
    )
    run = project.detach("flow/main", COFLUX_CONCURRENCY="1")
    project.open_gate("failed")
    project.marked("failed")
    project.marked("busy")

    def steps() -> dict[str, dict[str, Any]]:
        return {step["target"].rpartition("/")[2]: step for step in project.read(run)["steps"]}

    eventually(lambda: "queued" in steps() and len(steps()["failing"]["executions"]) == 2)
    for name in ("queued", "delayed", "failing", "quick"):
        cancelled = project.coflux("runs", "cancel", steps()[name]["id"])
        assert cancelled.status == 0, cancelled.err
        if name == "quick":
            assert "ended already" in cancelled.out
    project.open_gate("end")
    document = project.settled(run)
    assert kinds(document, "queued") == kinds(document, "delayed") == [["cancelled"]]
    assert kinds(document, "failing") == [["failed", "cancelled"]]
    assert kinds(document, "quick") == kinds(document, "busy") == [["succeeded"]]
    assert project.marks("started all the same") == []
    again = project.coflux("runs", "cancel", run)
    assert again.status == 0
    assert "ended already" in again.out


@pytest.mark.parametrize("grace", [0, 20])
def test_c13_a_task_is_given_its_grace_period(project: ScratchProject, grace: int) -> None:
    project.write(
        "flow",
        """
        import signal

        @cf.workflow()
        def main(path: str):
            signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
            try:
                mark("running")
                gate("never")
            finally:
                with open(path, "w") as file:
                    for number in range(100):
                        print(number, file=file, flush=True)
                        time.sleep(0.005)
        """,
    )
    path = project.root / "written.txt"
    running = project.start("run", "--no-ui", "flow/main", str(path), COFLUX_GRACE=str(grace))
    (mark,) = project.marked("running")
    running.send_signal(signal.SIGINT)
    assert project.finish(running).status == 130
    eventually(lambda: not psutil.pid_exists(mark.pid))
    if grace:
        assert path.read_text().splitlines() == [str(number) for number in range(100)]
    else:
        assert not path.exists()


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), "5", timedelta(seconds=-1)], ids=named)
def test_c14_a_timeout_that_makes_no_sense_is_refused_at_decoration(timeout: Any) -> None:
    def load() -> None: ...

    with pytest.raises((TypeError, ValueError), match=r"load.*timeout"):
        cf.task(timeout=timeout)(load)


def test_c14_a_refused_option_is_shown_with_its_place(shared: ScratchProject) -> None:
    path = shared.write("refused", "@cf.task(timeout='5')\ndef load():\n    pass\n", prelude=False)
    path.write_text("import coflux as cf\n" + path.read_text())
    finished = shared.run("refused/load")
    assert (finished.status, finished.out) == (2, "")
    assert f"{path}:2" in finished.err or f'"{path}", line 2' in finished.err
    assert "timeout" in finished.err


def test_c14_no_timeout_and_a_very_long_one(shared: ScratchProject) -> None:
    shared.write(
        "patient",
        """
        import datetime

        @cf.task(timeout=0)
        def unlimited():
            return 1

        @cf.task(timeout=datetime.timedelta(days=36500))
        def a_century():
            return 2

        @cf.workflow()
        def main():
            return [unlimited(), a_century()]
        """,
    )
    assert shared.run("patient/main").value == [1, 2]


def test_c16_a_timeout_does_not_count_while_the_machine_is_stopped(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        @cf.workflow(timeout=2)
        def main():
            mark("running")
            gate("end")
            return "in time"
        """,
    )
    running = project.start("run", "--no-ui", "flow/main")
    project.marked("running")
    stopped = project.processes()
    for process in stopped:
        process.suspend()
    time.sleep(3.5)  # longer than the timeout; nothing can tell of itself meanwhile
    for process in stopped:
        process.resume()
    time.sleep(0.5)  # for the engine to look at its clocks
    project.open_gate("end")
    finished = project.finish(running)
    assert (finished.status, finished.value) == (0, "in time"), finished.err


def test_c17_retries_do_not_come_all_at_once(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        @cf.task(retries=cf.Retries(backoff=(0, 2)))
        def flaky(number):
            path = os.path.join(os.environ["COFLUX_TEST_GATES"], str(number))
            if not os.path.exists(path):
                open(path, "w").close()
                raise ValueError("not yet")

        @cf.workflow()
        def main():
            for handle in [flaky.submit(number) for number in range(1000)]:
                handle.result()
        """,
    )
    finished = project.run("flow/main")
    assert finished.status == 0
    history = History.open(project.project.data_dir)
    try:
        rows = history.executions(project.only_run(), limit=-1)
    finally:
        history.close()
    delays = sorted(row.due_at - row.created_at for row in rows if row.attempt == 2 and row.due_at is not None)
    assert len(delays) == 1000
    for start in range(20):
        window = [delay for delay in delays if start / 10 <= delay < (start + 1) / 10]
        assert 10 <= len(window) <= 200  # 50 would be even
