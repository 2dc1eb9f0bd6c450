"""Scenarios: executions that give their process back and go on later, from the first line (SUSP)."""

from __future__ import annotations

import os
import time

from coflux.logs import Level
from tests.engine.scratch import ScratchProject, attempts, eventually, gaps, kinds

GATED = """
    @cf.task(memo=True)
    def gated():
        mark("start gated")
        gate("go")
        mark("end gated")
        return "value"
"""


def texts(project: ScratchProject) -> list[str]:
    return [mark.text for mark in project.marks()]


def test_a_suspended_execution_starts_again_from_its_first_line(shared: ScratchProject) -> None:
    """SUSP-S01, SUSP-S03: who waits for it, waits on."""
    shared.write(
        "flow",
        """
        @cf.task()
        def task():
            if attempt("task") == 1:
                cf.suspend()
            return "done"

        @cf.workflow()
        def main():
            mark("main")
            return task()
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == "done"
    assert kinds(document, "task") == [["suspended", "succeeded"]]
    assert kinds(document, "main") == [["succeeded"]]
    first, second = attempts(document, "task")
    assert first["next"] == second["id"]


def test_the_delay_can_be_seconds_a_timedelta_or_a_time(shared: ScratchProject) -> None:
    """SUSP-S02: a time without a zone is local time (behaviour 7.1), and one that has passed means at once."""
    shared.write(
        "flow",
        """
        from datetime import UTC, datetime, timedelta

        def times():
            time.tzset()
            half = timedelta(seconds=0.5)
            assert abs(datetime.now() - datetime.now(UTC).replace(tzinfo=None)) > timedelta(hours=8)
            return [0.5, half, datetime.now() + half, datetime.now(UTC) + half, datetime.now() - half]

        @cf.task()
        def task(index):
            if attempt(f"task {index}") == 1:
                cf.suspend(times()[index])
            return index

        @cf.workflow()
        def main():
            return [handle.result() for handle in [task.submit(index) for index in range(5)]]
        """,
    )
    assert shared.run("flow/main", TZ="Asia/Tokyo").value == [0, 1, 2, 3, 4]
    waits = [gaps(shared.marks(f"task {index}"))[0] for index in range(5)]
    assert all(wait >= 0.48 for wait in waits[:4])
    assert all(wait < 20 for wait in waits)


def test_a_wait_in_suspense_holds_no_process(shared: ScratchProject) -> None:
    """SUSP-S04: the next attempt starts when the result is there, and finds its memoised child."""
    shared.write(
        "flow",
        GATED
        + """
    @cf.workflow()
    def main():
        mark("main")
        with cf.suspense():
            return gated.submit().result()
    """,
    )
    process = shared.start("run", "--json", "flow/main")
    shared.marked("start gated")
    run = shared.last_run()
    eventually(lambda: kinds(shared.read(run), "main") == [["suspended", "queued"]])
    first, second = attempts(shared.read(run), "main")
    child = next(step for step in shared.read(run)["steps"] if step["target"] == "flow/gated")["executions"][0]
    assert child["id"] in second["reason"]
    shared.open_gate("go")
    document = shared.finish(process).value
    assert document["result"] == "value"
    assert kinds(document, "main") == [["suspended", "succeeded"]]
    assert kinds(document, "gated") == [["succeeded"]]
    assert texts(shared)[-2:] == ["end gated", "main"]
    assert first["id"].endswith(":1:1")


def test_suspense_lets_quick_results_come(shared: ScratchProject) -> None:
    """SUSP-S05, SUSP-S06: only what takes longer than the timeout suspends."""
    shared.write(
        "flow",
        GATED
        + """
    @cf.task()
    def quick():
        return "quick"

    @cf.task()
    def patient():
        mark("patient")
        with cf.suspense(30):
            return quick()

    @cf.workflow()
    def main():
        first = patient()
        mark("main")
        try:
            with cf.suspense(0.3):
                return [first, gated()]
        finally:
            mark("left")
    """,
    )
    process = shared.start("run", "--json", "flow/main")
    [main], [left] = shared.marked("main"), shared.marked("left")
    assert left.at - main.at >= 0.28
    shared.open_gate("go")
    document = shared.finish(process).value
    assert document["result"] == ["quick", "value"]
    assert kinds(document, "main") == [["suspended", "succeeded"]]
    assert {tuple(one) for one in kinds(document, "patient")} == {("succeeded",)}
    assert len(shared.marks("start gated")) == 1


def test_a_poll_never_suspends(shared: ScratchProject) -> None:
    """SUSP-S07: also one with a timeout."""
    shared.write(
        "flow",
        GATED
        + """
    @cf.workflow()
    def main():
        handle = gated.submit()
        with cf.suspense():
            return [handle.poll(default="default"), handle.poll(0.1, default="later")]
    """,
    )
    process = shared.start("run", "--json", "--no-wait-children", "flow/main")
    document = shared.finish(process).value
    assert document["result"] == ["default", "later"]
    assert kinds(document, "main") == [["succeeded"]]
    shared.open_gate("go")
    shared.settled(document["run"]["id"])


def test_suspending_unwinds_and_nothing_it_does_then_counts(shared: ScratchProject) -> None:
    """SUSP-S08, adapted: `with` and `finally` clean up (behaviour 7.1), where upstream kills the process."""
    shared.write(
        "flow",
        """
        from contextlib import contextmanager

        @contextmanager
        def resource():
            try:
                yield
            finally:
                mark("released")

        @cf.task()
        def child(name):
            mark(name)

        @cf.workflow()
        def main():
            if attempt("main") == 2:
                return "second"
            try:
                with resource():
                    cf.suspend()
            except BaseException as error:
                assert not isinstance(error, Exception)
                for number, call in enumerate([lambda: child.submit("late"), lambda: child("late"), cf.suspend]):
                    try:
                        call()
                    except BaseException as again:
                        mark(f"refused {number} {isinstance(again, Exception)}")
                cf.log_info("still logged", number=1)
                print("still printed")
                return "caught"
            finally:
                mark("finally")
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == "second"
    assert kinds(document, "main") == [["suspended", "succeeded"]]
    assert kinds(document, "child") == []
    refused = [f"refused {number} False" for number in range(3)]
    assert texts(shared) == ["main", "released", *refused, "finally", "main"]
    entries = [(entry.attempt, entry.template) for entry in shared.logs(document["run"]["id"])]
    assert [entry for entry in entries if "still" in (entry[1] or "")] == [(1, "still logged"), (1, "still printed")]


def test_the_innermost_suspense_counts(shared: ScratchProject) -> None:
    """SUSP-S09."""
    shared.write(
        "flow",
        GATED
        + """
    @cf.workflow()
    def inside():
        mark("inside")
        with cf.suspense(30):
            with cf.suspense(0.05):
                return gated()

    @cf.workflow()
    def after():
        mark("after")
        with cf.suspense(30):
            with cf.suspense(0.05):
                handle = gated.submit()
            return handle.result()
    """,
    )
    inside, after = shared.detach("flow/inside"), shared.detach("flow/after")
    shared.marked("after")
    shared.marked("start gated", 2)
    eventually(lambda: kinds(shared.read(inside), "inside") == [["suspended", "queued"]])
    assert kinds(shared.read(after), "after") == [["running"]]
    shared.open_gate("go")
    assert kinds(shared.settled(inside), "inside") == [["suspended", "succeeded"]]
    assert kinds(shared.settled(after), "after") == [["succeeded"]]


def test_select_in_suspense_goes_on_with_any_of_the_handles(shared: ScratchProject) -> None:
    """Behaviour 7.2."""
    shared.write(
        "flow",
        """
        @cf.task(memo=True)
        def gated(name):
            mark(f"start {name}")
            gate(name)
            return name

        @cf.workflow()
        def main():
            mark("main")
            with cf.suspense():
                winner, remaining = cf.select([gated.submit(name) for name in "abc"], cancel_remaining=True)
            return [winner.result(), len(remaining)]
        """,
    )
    process = shared.start("run", "--json", "flow/main")
    for name in "abc":
        shared.marked(f"start {name}")
    run = shared.last_run()
    eventually(lambda: kinds(shared.read(run), "main") == [["suspended", "queued"]])
    shared.open_gate("b")
    document = shared.finish(process).value
    assert document["result"] == ["b", 2]
    assert kinds(document, "main") == [["suspended", "succeeded"]]
    assert kinds(document, "gated") == [["cancelled"], ["succeeded"], ["cancelled"]]


def test_async_targets_are_suspended(shared: ScratchProject) -> None:
    """Behaviour 7.1: the event loop is stopped, however many coroutines wait in it."""
    shared.write(
        "flow",
        """
        import asyncio

        @cf.task(memo=True)
        async def gated():
            gate("go")
            return "value"

        async def stubborn():
            try:
                await asyncio.sleep(600)
            finally:
                mark("cleaned up")

        @cf.workflow()
        async def awaiting():
            mark("awaiting")
            other = asyncio.create_task(stubborn())
            await asyncio.sleep(0)
            with cf.suspense(0.05):
                value = await gated.submit()
            other.cancel()
            return value

        @cf.workflow()
        async def suspending():
            if attempt("suspending") == 2:
                return "second"
            async def suspend():
                cf.suspend()
            await asyncio.gather(stubborn(), suspend(), return_exceptions=True)
            mark("went on")
        """,
    )
    assert shared.run("flow/suspending").value == "second"
    assert [text for text in texts(shared) if text == "went on"] == []
    process = shared.start("run", "--json", "flow/awaiting")
    shared.marked("awaiting")
    run = shared.last_run()
    eventually(lambda: kinds(shared.read(run), "awaiting")[0][0] == "suspended")
    shared.open_gate("go")
    document = shared.finish(process).value
    assert document["result"] == "value"
    assert kinds(document, "awaiting") == [["suspended", "succeeded"]]


def test_what_does_not_unwind_is_killed(shared: ScratchProject) -> None:
    """Behaviour 7.1: 5 s after it was suspended, also in another thread, and with all that it started."""
    shared.write(
        "flow",
        """
        import subprocess, threading

        @cf.task()
        def swallowing():
            if attempt("swallowing") == 2:
                return "swallowed"
            child = subprocess.Popen(["sleep", "600"])
            mark(f"child {child.pid}")
            print("before")
            while True:
                try:
                    cf.suspend()
                except BaseException:
                    time.sleep(0.01)

        @cf.task()
        def threaded():
            if attempt("threaded") == 2:
                return "thread"
            thread = threading.Thread(target=cf.suspend)
            thread.start()
            thread.join()
            time.sleep(600)

        @cf.workflow()
        def main():
            handles = [swallowing.submit(), threaded.submit()]
            return [handle.result() for handle in handles]
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == ["swallowed", "thread"]
    for name in ("swallowing", "threaded"):
        assert kinds(document, name) == [["suspended", "succeeded"]]
        assert 4.9 <= gaps(shared.marks(name))[0] < 15
    assert "before" in shared.output(document["run"]["id"])
    [child] = [int(text.split()[1]) for text in texts(shared) if text.startswith("child")]
    assert not os.path.exists(f"/proc/{child}")


def test_the_old_process_is_gone_before_the_next_attempt(shared: ScratchProject) -> None:
    """Behaviour 3: cleaning up may take its time, and a wait that is over meanwhile starts nothing."""
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main():
            if attempt("main") == 2:
                return "second"
            try:
                cf.suspend()
            finally:
                time.sleep(0.3)
                mark("end")
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == "second"
    assert texts(shared) == ["main", "end", "main"]


def test_a_loop_of_fresh_children_is_warned_of(shared: ScratchProject) -> None:
    """Behaviour 7.2: each attempt submits another one, so it may never end. A memoised child would be found."""
    shared.write(
        "flow",
        """
        def child():
            time.sleep(0.05)
            return "value"

        fresh = cf.task(name="fresh")(child)
        found = cf.task(name="found", memo=True)(child)

        @cf.workflow()
        def loops():
            last = attempt("loops") == 4
            with cf.suspense(30 if last else 0):
                return fresh()

        @cf.workflow()
        def ends():
            with cf.suspense():
                return found()
        """,
    )
    document = shared.document("flow/loops")
    assert kinds(document, "loops") == [["suspended", "suspended", "suspended", "succeeded"]]
    entries = [entry for entry in shared.logs(document["run"]["id"]) if entry.level == Level.WARNING]
    assert entries
    assert all("flow/fresh" in (entry.template or "") and "memo" in (entry.template or "") for entry in entries)
    assert 1 not in {entry.attempt for entry in entries}
    document = shared.document("flow/ends")
    assert kinds(document, "ends") == [["suspended", "succeeded"]]
    assert [entry for entry in shared.logs(document["run"]["id"]) if entry.level == Level.WARNING] == []


def test_a_suspension_starts_a_fresh_budget_of_retries(shared: ScratchProject) -> None:
    """Behaviour 6.3."""
    shared.write(
        "flow",
        """
        @cf.workflow(retries=1)
        def main():
            number = attempt("main")
            if number in (1, 3):
                raise ValueError("no")
            if number == 2:
                cf.suspend()
            return number
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == 4
    assert kinds(document, "main") == [["failed", "suspended", "failed", "succeeded"]]


def test_many_suspended_executions_take_no_processes(shared: ScratchProject) -> None:
    """Behaviour 7.2: forty parents wait for one child. They have one after the other eight processes at most."""
    shared.write(
        "flow",
        GATED
        + """
    @cf.task()
    def parent(number):
        mark("parent")
        with cf.suspense():
            return [number, gated()]

    @cf.workflow()
    def main():
        handles = [parent.submit(number) for number in range(40)]
        return [handle.result() for handle in handles]
    """,
    )
    process = shared.start("run", "--json", "flow/main")
    shared.marked("parent", 40)
    shared.marked("start gated")
    run = shared.last_run()
    eventually(lambda: kinds(shared.read(run), "parent") == [["suspended", "queued"]] * 40)
    shared.open_gate("go")
    document = shared.finish(process).value
    assert document["result"] == [[number, "value"] for number in range(40)]
    assert len(shared.marks("start gated")) == 1


def test_the_elapsed_time_counts_and_not_the_attempts(shared: ScratchProject) -> None:
    """Behaviour 6.1, 7.1: a target's delay is for its submission, not for its resumptions."""
    shared.write(
        "flow",
        """
        @cf.workflow(delay=0.5)
        def main():
            if attempt("main") == 1:
                cf.suspend()
            return "done"
        """,
    )
    started = time.monotonic()
    document = shared.document("flow/main")
    first, second = shared.marks("main")
    assert document["result"] == "done"
    assert first.at - started >= 0.48
    assert second.at - first.at < 0.45


FAILING = """
    @cf.task(memo=True)
    def failing(times):
        number = attempt("failing")
        gate(f"go {number}")
        if number <= times:
            raise ValueError(number)
        return "ok"
"""


def let_fail(project: ScratchProject, target: str, states: list[str], number: int) -> None:
    """Let `failing` end for the `number`-th time, once the attempts at `target` are in these states."""
    project.marked("failing", number)
    run = project.last_run()
    eventually(lambda: kinds(project.read(run), target) == [states])
    project.open_gate(f"go {number}")


def test_a_failure_that_was_waited_for_is_met(shared: ScratchProject) -> None:
    """Behaviour 7.2: memo shares no failures (5.3), but what an attempt was suspended for is what the next one gets.
    Else it would be executed again for ever, and nobody be told. To submit it once more makes a new one."""
    shared.write(
        "flow",
        FAILING
        + """
    def told():
        try:
            failing(3)
        except ValueError as error:
            return error.args[0]

    @cf.workflow()
    def main():
        with cf.suspense():
            return [told(), told(), told()]
    """,
    )
    process = shared.start("run", "--json", "flow/main")
    for number in (1, 2, 3):
        let_fail(shared, "main", [*["suspended"] * number, "queued"], number)
    document = shared.finish(process, 20).value
    assert document["result"] == [1, 2, 3]
    assert kinds(document, "main") == [["suspended", "suspended", "suspended", "succeeded"]]
    assert kinds(document, "failing") == [["failed"]] * 3


def test_a_retry_submits_again_what_has_failed(shared: ScratchProject) -> None:
    """Behaviour 5.3: it is no resumption, so memo counts as ever."""
    shared.write(
        "flow",
        FAILING
        + """
    @cf.workflow(retries=1)
    def main():
        with cf.suspense():
            return failing(1)
    """,
    )
    process = shared.start("run", "--json", "flow/main")
    let_fail(shared, "main", ["suspended", "queued"], 1)
    let_fail(shared, "main", ["suspended", "failed", "suspended", "queued"], 2)
    document = shared.finish(process, 20).value
    assert document["result"] == "ok"
    assert kinds(document, "main") == [["suspended", "failed", "suspended", "succeeded"]]
    assert kinds(document, "failing") == [["failed"], ["succeeded"]]
