"""Scenarios: processes that end (ABAND) and cancelling (CANCEL)."""

from __future__ import annotations

import json
import os
import signal

import pytest

from tests.engine.scratch import ScratchProject, attempts, eventually, gaps, kinds

# -- processes that end -----------------------------------------------------------------------------------------------


def test_a_process_that_exits_is_told_with_its_status(shared: ScratchProject) -> None:
    """ABAND-S01."""
    shared.write(
        "flow",
        """
        @cf.task()
        def child():
            os._exit(3)

        @cf.workflow()
        def main():
            try:
                child()
            except cf.ExecutionAbandoned as error:
                return [str(error), isinstance(error, cf.ExecutionError), isinstance(error, cf.ExecutionTerminated)]
        """,
    )
    document = shared.document("flow/main")
    message, *families = document["result"]
    assert "exit code 3" in message
    assert families == [True, True]
    assert kinds(document, "child") == [["abandoned"]]


USES = """
    import threading

    def use(seconds):
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    @cf.task()
    def busy_before():
        use(1.0)

    @cf.task(timeout=1.5)
    def too_long():
        held = bytearray(64 << 20)
        use(0.5)
        mark("used")
        time.sleep(60)

    @cf.task()
    def victim():
        use(0.5)
        mark("used")
        time.sleep(1.5)
        os.kill(os.getpid(), 9)

    @cf.task()
    def cancelled():
        use(0.5)
        mark("used")
        gate("never")

    @cf.workflow()
    def main(name):
        busy_before()  # in the process that its sibling gets as well
        handle = globals()[name].submit()
        if name == "cancelled":
            while handle.poll(0.01) is None and not os.path.exists(os.path.join(os.environ["COFLUX_TEST_GATES"], "go")):
                pass
            handle.cancel()
        try:
            handle.result()
        except (cf.ExecutionTimeout, cf.ExecutionCancelled, cf.ExecutionAbandoned) as error:
            return type(error).__name__
"""


@pytest.mark.parametrize(
    ("name", "status"), [("too_long", "timed_out"), ("victim", "abandoned"), ("cancelled", "cancelled")]
)
def test_what_a_killed_attempt_used_is_recorded(serial: ScratchProject, name: str, status: str) -> None:
    """Behaviour 11.1: `cpu_seconds`, `peak_memory`, also of an attempt that could not tell them itself."""
    serial.write("flow", USES)
    process = serial.start("run", "--json", "flow/main", name)
    serial.marked("used")
    serial.open_gate("go")
    document = json.loads(serial.finish(process).out)
    [execution] = attempts(document, name)
    assert execution["status"] == status
    assert 0.4 < execution["cpu_seconds"] < 0.95
    assert execution["peak_memory"] > ((64 if name == "too_long" else 1) << 20)


def test_an_attempt_that_is_killed_is_told_once(serial: ScratchProject) -> None:
    """What it used is known only when its process is gone, after its outcome: that is no news of its own."""
    serial.write("flow", USES)
    finished = serial.run("flow/main", "too_long")
    assert finished.err.count("too_long timed out in") == 1


def test_a_killed_process_is_retried(shared: ScratchProject) -> None:
    """ABAND-S02, adapted: the attempt is abandoned, and retried no sooner than 1 s later (behaviour 6.3)."""
    shared.write(
        "flow",
        """
        import signal

        @cf.workflow(retries=1)
        def main():
            if attempt("main") == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return "ok"
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == "ok"
    assert kinds(document, "main") == [["abandoned", "succeeded"]]
    assert gaps(shared.marks("main"))[0] >= 0.98


def test_leaving_with_sys_exit_is_a_failure(shared: ScratchProject) -> None:
    """ABAND-S03."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main():
            sys.exit(0)
        """,
    )
    finished = shared.coflux("run", "--json", "flow/main")
    assert finished.status == 1
    assert finished.value["error"]["type"] == "builtins.SystemExit"


def test_a_killed_engine_loses_nothing_that_it_told(project: ScratchProject) -> None:
    """ABAND-S04: what ran is abandoned, with a reason, and a retry runs after the restart."""
    project.write(
        "flow",
        """
        @cf.task()
        def once():
            mark("once")
            gate("never", 60)

        @cf.task(retries=1)
        def again():
            mark("again")
            gate("go", 60)
            return "again"

        @cf.workflow()
        def main():
            handles = [once.submit(), again.submit()]
            mark("submitted")
            for handle in handles:
                handle.result()
        """,
    )
    run = project.detach("flow/main")
    project.marked("once")
    project.marked("again")
    os.kill(project.supervisor_pid(), signal.SIGKILL)
    eventually(lambda: not project.processes())
    project.open_gate("go")
    project.hold()
    document = project.settled(run)
    assert kinds(document, "main") == [["abandoned"]]
    assert kinds(document, "once") == [["abandoned"]]
    assert kinds(document, "again") == [["abandoned", "succeeded"]]
    assert document["run"]["status"] == "abandoned"
    assert "engine" in document["error"]["message"]
    assert len(project.marks("again")) == 2


def test_a_module_that_fails_to_import_in_the_worker_fails_its_step_only(shared: ScratchProject) -> None:
    """ABAND-S05: it is imported on demand, for a stub; the step fails with its error, and the rest goes on.

    The message says what was imported, and for what.
    """
    shared.write("broken", 'raise RuntimeError("not today")', prelude=False)
    shared.write(
        "flow",
        """
        @cf.stub("broken")
        def child():
            pass

        @cf.task()
        def fine():
            return "fine"

        @cf.workflow()
        def main():
            try:
                child()
            except RuntimeError as error:
                return [str(error), fine()]
        """,
    )
    message = "broken/child: module broken does not import: RuntimeError: not today"
    assert shared.run("flow/main").value == [message, "fine"]


# -- cancelling -------------------------------------------------------------------------------------------------------


def test_a_cancelled_task_ends_at_once(shared: ScratchProject) -> None:
    """CANCEL-S01, CANCEL-S06: and is not retried."""
    shared.write(
        "flow",
        """
        @cf.task(retries=3)
        def slow():
            mark("start")
            time.sleep(20)
            mark("end")

        @cf.workflow()
        def main():
            handle = slow.submit()
            gate("go")
            handle.cancel()
            try:
                handle.result()
            except cf.ExecutionCancelled:
                mark("caught")
                return "cancelled"
        """,
    )
    process = shared.start("run", "--json", "flow/main")
    shared.marked("start")
    shared.open_gate("go")
    document = shared.finish(process).value
    assert document["result"] == "cancelled"
    assert kinds(document, "slow") == [["cancelled"]]
    assert [mark.text for mark in shared.marks()] == ["start", "caught"]


def test_a_delayed_task_that_is_cancelled_never_starts(shared: ScratchProject) -> None:
    """CANCEL-S02, CANCEL-S05: several at once; none at all is fine."""
    shared.write(
        "flow",
        """
        @cf.task(delay=20)
        def late():
            mark("late")

        @cf.task()
        def slow():
            mark("slow")
            time.sleep(20)

        @cf.workflow()
        def main():
            handles = [late.submit(), slow.submit(), slow.submit()]
            gate("go")
            cf.cancel([])
            cf.cancel(handles)
            outcomes = []
            for handle in handles:
                try:
                    outcomes.append(handle.result())
                except cf.ExecutionCancelled:
                    outcomes.append("cancelled")
            return outcomes
        """,
    )
    process = shared.start("run", "--json", "flow/main")
    shared.marked("slow", 2)
    shared.open_gate("go")
    document = shared.finish(process).value
    assert document["result"] == ["cancelled"] * 3
    assert kinds(document, "late") == [["cancelled"]]
    assert shared.marks("late") == []


def test_cancelling_a_run_cancels_all_below_and_ends_its_command(shared: ScratchProject) -> None:
    """CANCEL-S03, CANCEL-S04, with a task in the place of the child workflow."""
    shared.write(
        "flow",
        """
        @cf.task()
        def leaf():
            mark("start")
            time.sleep(20)
            mark("end")

        @cf.task()
        def middle():
            leaf()
            mark("end")

        @cf.workflow()
        def main():
            middle()
            mark("end")
        """,
    )
    process = shared.start("run", "--json", "flow/main")
    [leaf] = shared.marked("start")
    run = shared.last_run()
    assert shared.coflux("runs", "cancel", run).status == 0
    finished = shared.finish(process)
    assert finished.status == 1
    assert [kinds(finished.value, name) for name in ("main", "middle", "leaf")] == [[["cancelled"]]] * 3
    assert shared.marks("end") == []
    assert not os.path.exists(f"/proc/{leaf.pid}")


def test_cancelling_what_has_ended_keeps_its_value(shared: ScratchProject) -> None:
    """CANCEL-S07, adapted: its unfinished descendants are cancelled all the same (behaviour 7.4)."""
    shared.write(
        "flow",
        """
        @cf.task()
        def slow():
            mark("start")
            time.sleep(20)
            mark("end")

        @cf.task()
        def child():
            slow.submit()
            return 7

        @cf.workflow()
        def main():
            handle = child.submit()
            handle.result()
            gate("go")
            handle.cancel()
            return handle.result()
        """,
    )
    process = shared.start("run", "--json", "flow/main")
    shared.marked("start")
    shared.open_gate("go")
    document = shared.finish(process).value
    assert document["result"] == 7
    assert kinds(document, "child") == [["succeeded"]]
    assert kinds(document, "slow") == [["cancelled"]]


def test_a_cancellation_that_nobody_catches_fails_the_parent(shared: ScratchProject) -> None:
    """CANCEL-S08."""
    shared.write(
        "flow",
        """
        @cf.task(delay=20)
        def child():
            pass

        @cf.workflow()
        def main():
            handle = child.submit()
            handle.cancel()
            handle.result()
        """,
    )
    document = shared.document("flow/main")
    assert kinds(document, "main") == [["failed"]]
    assert document["error"]["type"] == "coflux.errors.ExecutionCancelled"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_cancels_its_run(shared: ScratchProject, number: int) -> None:
    """CLI-S10, adapted: the run is cancelled, not left running (behaviour 11.2)."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main():
            mark("start")
            time.sleep(20)
        """,
    )
    process = shared.start("run", "--json", "flow/main")
    shared.marked("start")
    process.send_signal(number)
    finished = shared.finish(process)
    assert finished.status == 128 + number
    assert kinds(finished.value, "main") == [["cancelled"]]


def test_a_command_that_is_killed_takes_its_run_with_it(shared: ScratchProject) -> None:
    """Behaviour 12.2: within two seconds. A detached run goes on."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main(name: str):
            mark(name)
            gate("go")
            return name
        """,
    )
    detached = shared.detach("flow/main", "detached")
    process = shared.start("run", "--no-ui", "flow/main", "attached")
    [started] = shared.marked("attached")
    run = shared.last_run()
    shared.marked("detached")
    process.kill()
    eventually(lambda: not os.path.exists(f"/proc/{started.pid}"), timeout=2.0)
    assert kinds(shared.settled(run), "main") == [["cancelled"]]
    shared.open_gate("go")
    assert kinds(shared.settled(detached), "main") == [["succeeded"]]
