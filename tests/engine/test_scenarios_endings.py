"""Scenarios: retries (RETRY), timeouts (TIMEOUT), processes that end (ABAND) and cancelling (CANCEL)."""

from __future__ import annotations

import os
import signal
from itertools import pairwise

import pytest

from tests.engine.scratch import Mark, ScratchProject, eventually, kinds


def gaps(marks: list[Mark]) -> list[float]:
    """Seconds between each mark and the next."""
    return [later.at - earlier.at for earlier, later in pairwise(marks)]


# -- retries ----------------------------------------------------------------------------------------------------------


def test_a_caller_waits_through_retries(shared: ScratchProject) -> None:
    """RETRY-S01, RETRY-S09: the parent and a sibling with the handle get the value and see no exception."""
    shared.write(
        "flow",
        """
        @cf.task(retries=2)
        def flaky():
            if attempt("flaky") < 3:
                raise ValueError("no")
            return "ok"

        @cf.task()
        def sibling(handle):
            return handle.result()

        @cf.workflow()
        def main():
            handle = flaky.submit()
            other = sibling.submit(handle)
            return [handle.result(), other.result()]
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == ["ok", "ok"]
    assert kinds(document, "flaky") == [["failed", "failed", "succeeded"]]
    assert kinds(document, "sibling") == [["succeeded"]]


def test_the_last_error_is_the_one_that_is_raised(shared: ScratchProject) -> None:
    """RETRY-S02, RETRY-S03: and retries given as a number do not wait."""
    shared.write(
        "flow",
        """
        @cf.task(retries=2)
        def failing():
            raise ValueError(f"attempt {attempt('failing')}")

        @cf.workflow()
        def main():
            try:
                failing()
            except ValueError as error:
                return str(error)
        """,
    )
    assert shared.run("flow/main").value == "attempt 3"
    assert all(gap < 1 for gap in gaps(shared.marks("failing")))


def test_backoff_grows_from_the_least_to_the_most(shared: ScratchProject) -> None:
    """RETRY-S04."""
    shared.write(
        "flow",
        """
        @cf.workflow(retries=cf.Retries(2, backoff=(0.1, 0.4)))
        def main():
            mark("main")
            raise ValueError("no")
        """,
    )
    assert shared.run("flow/main").status == 1
    first, second = gaps(shared.marks("main"))
    assert first >= 0.1 - 0.02
    assert second >= 0.4 - 0.02


def test_unlimited_retries_wait_within_their_range(shared: ScratchProject) -> None:
    """RETRY-S08."""
    shared.write(
        "flow",
        """
        @cf.workflow(retries=cf.Retries(backoff=(0.03, 0.1)))
        def main():
            if attempt("main") < 7:
                raise ValueError("no")
            return "ok"
        """,
    )
    assert shared.run("flow/main").value == "ok"
    waits = gaps(shared.marks("main"))
    assert len(waits) == 6
    assert all(wait >= 0.03 - 0.02 for wait in waits)


def test_only_what_the_filter_names_is_retried(shared: ScratchProject) -> None:
    """RETRY-S05, RETRY-S06, RETRY-S07: a class, a tuple, a predicate; one that says no ends it."""
    shared.write(
        "flow",
        """
        class Coded(Exception):
            def __init__(self, code):
                super().__init__(code)
                self.code = code

        def worth_it(error):
            return error.code == 503

        @cf.task(retries=cf.Retries(3, backoff=(0, 0), when=ConnectionError))
        def by_class(error):
            raise error

        @cf.task(retries=cf.Retries(1, backoff=(0, 0), when=(KeyError, IndexError)))
        def by_tuple(error):
            raise error

        @cf.task(retries=cf.Retries(5, backoff=(0, 0), when=worth_it))
        def by_predicate():
            raise Coded(503 if attempt("by_predicate") < 2 else 404)

        @cf.workflow()
        def main():
            handles = [by_class.submit(ConnectionResetError()), by_class.submit(ValueError())]
            handles += [by_tuple.submit(error) for error in (KeyError(), IndexError(), ValueError())]
            handles.append(by_predicate.submit())
            codes = []
            for handle in handles:
                try:
                    handle.result()
                except Exception as error:
                    codes.append(getattr(error, "code", None))
            return codes[-1]
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == 404
    counts = {
        name: [len(steps) for steps in kinds(document, name)] for name in ("by_class", "by_tuple", "by_predicate")
    }
    assert counts == {"by_class": [4, 1], "by_tuple": [2, 2, 1], "by_predicate": [2]}


def test_a_filter_that_raises_is_reported_and_ends_the_retries(shared: ScratchProject) -> None:
    """Behaviour 6.3, where upstream retries."""
    shared.write(
        "flow",
        """
        def broken(error):
            raise LookupError("the filter is broken")

        @cf.workflow(retries=cf.Retries(3, when=broken))
        def main():
            raise ValueError("no")
        """,
    )
    document = shared.document("flow/main")
    assert kinds(document, "main") == [["failed"]]
    assert document["error"]["type"] == "builtins.LookupError"
    assert "ValueError: no" in document["error"]["traceback"]


# -- timeouts ---------------------------------------------------------------------------------------------------------


def test_a_timeout_kills_and_is_raised_in_the_caller(shared: ScratchProject) -> None:
    """TIMEOUT-S01: within half a second of the limit (behaviour 7.5)."""
    shared.write(
        "flow",
        """
        @cf.task(timeout=0.3)
        def slow():
            mark("start")
            time.sleep(20)
            mark("end")

        @cf.workflow()
        def main():
            try:
                slow()
            except cf.ExecutionTimeout as error:
                mark("caught")
                return type(error).__name__
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == "ExecutionTimeout"
    assert kinds(document, "slow") == [["timed_out"]]
    assert shared.marks("end") == []
    [started], [caught] = shared.marks("start"), shared.marks("caught")
    assert 0.28 <= caught.at - started.at < 2


def test_a_timeout_is_retried(shared: ScratchProject) -> None:
    """TIMEOUT-S02."""
    shared.write(
        "flow",
        """
        @cf.workflow(timeout=0.3, retries=1)
        def main():
            if attempt("main") == 1:
                time.sleep(20)
            return "ok"
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == "ok"
    assert kinds(document, "main") == [["timed_out", "succeeded"]]


def test_a_timeout_includes_waiting_and_cancels_what_is_below(shared: ScratchProject) -> None:
    """TIMEOUT-S03. The command's status tells of the timeout (behaviour 11.2)."""
    shared.write(
        "flow",
        """
        @cf.task()
        def slow():
            mark("start")
            time.sleep(20)
            mark("end")

        @cf.workflow(timeout=0.5)
        def main():
            slow()
        """,
    )
    finished = shared.coflux("run", "--json", "flow/main")
    document = finished.value
    assert finished.status == 124
    assert kinds(document, "main") == [["timed_out"]]
    assert kinds(document, "slow") == [["cancelled"]]
    assert shared.marks("end") == []


def test_no_timeout_and_one_that_was_lengthened(shared: ScratchProject) -> None:
    """TIMEOUT-S04, TIMEOUT-S05."""
    shared.write(
        "flow",
        """
        @cf.task(timeout=0)
        def unlimited():
            time.sleep(0.3)
            return "unlimited"

        @cf.task(timeout=0.1)
        def limited():
            time.sleep(0.3)
            return "lengthened"

        @cf.workflow()
        def main():
            return [handle.result() for handle in [unlimited.submit(), limited.with_timeout(5).submit()]]
        """,
    )
    assert shared.run("flow/main").value == ["unlimited", "lengthened"]


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
    """ABAND-S05: it is imported on demand, for a stub; the step fails with its error, and the rest goes on."""
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
    assert shared.run("flow/main").value == ["not today", "fine"]


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
