"""How a worker suspends an execution: what it tells the supervisor, how the code is left, what becomes of the process.

The supervisor is played by the test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from coflux.executor.messages import Answer, Log, Returned, Submit, Succeeded, Suspend, Wait
from coflux.task_options import RetryOptions, TaskOptions
from coflux.values import Value
from tests.engine.scripted import ScriptedWorker

Start = Callable[[str], ScriptedWorker]

CHILD = """
    @cf.task()
    def child(n=0):
        pass
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a worker with the given targets, and a task `child`."""
    workers: list[ScriptedWorker] = []

    def with_source(source: str) -> ScriptedWorker:
        worker = ScriptedWorker(tmp_path / "project", CHILD + source)
        workers.append(worker)
        return worker

    yield with_source
    for worker in workers:
        worker.close()


def of_number(value: int) -> Succeeded:
    return Succeeded(Value("json", str(value).encode(), 1))


def test_the_code_is_unwound_and_the_process_serves_on(start: Start) -> None:
    worker = start(
        """
    import os

    @cf.task()
    def main(p0):
        try:
            with cf.group("a"):
                cf.suspend(p0)
            cf.log_error("after")
        except Exception:
            cf.log_error("as an error")
        finally:
            cf.log_info("finally")

    @cf.task()
    def process():
        return os.getpid()
    """
    )
    for _ in range(2):
        worker.execute("main", 2.5)
        assert worker.until(Suspend)[1] == Suspend(2.5)
        logged, returned = worker.returned()
        assert logged == ["finally"]
        assert returned.unclean == ""
    worker.execute("process")
    assert isinstance(worker.expect(Returned).outcome, Succeeded)
    assert worker.output.read_text() == ""


def test_what_the_code_does_or_returns_afterwards_does_not_count(start: Start) -> None:
    worker = start(
        """
    from coflux.suspension import Suspending

    @cf.task()
    def main():
        first, second = child.submit(), child.submit()
        second.id
        first.result()  # the outcome of the second comes with the answer
        calls = {
            "submit": child.submit,
            "call": child,
            "result": first.result,
            "result sent ahead": second.result,
            "id": lambda: first.id,
            "poll": first.poll,
            "select": lambda: cf.select([first]),
            "cancel": first.cancel,
            "group": lambda: cf.group("a").__enter__(),
            "suspend": cf.suspend,
        }
        try:
            cf.suspend()
        except BaseException:
            pass
        for name, call in calls.items():
            try:
                call()
            except Suspending:
                cf.log_info(name)
        return "a result"
    """
    )
    worker.execute("main")
    _, wait = worker.until(Wait)
    worker.channel.send(Answer(wait.request, 0, of_number(1), more=((2, of_number(2)),)))
    worker.expect(Suspend)
    logged, returned = worker.returned()
    assert logged == [
        "submit",
        "call",
        "result",
        "result sent ahead",
        "id",
        "poll",
        "select",
        "cancel",
        "group",
        "suspend",
    ]
    assert "a result" not in str(returned.outcome)


def test_a_retry_filter_is_not_asked_about_a_suspension(start: Start) -> None:
    worker = start(
        """
    def when(error):
        cf.log_error("asked")
        return True

    @cf.task(retries=cf.Retries(3, when=when))
    def main():
        try:
            cf.suspend()
        finally:
            raise ValueError("while it unwinds")
    """
    )
    worker.execute("main", options=TaskOptions(retries=RetryOptions(3)))
    worker.expect(Suspend)
    logged, returned = worker.returned()
    assert logged == []
    assert not returned.retryable


# -- suspense ---------------------------------------------------------------------------------------------------------

WAITS = """
    import contextvars
    import threading

    @cf.task()
    def result():
        with cf.suspense(1.5):
            try:
                child.submit().result()
            finally:
                cf.log_info("finally")

    @cf.task()
    def call():
        with cf.suspense(1.5):
            try:
                child()
            finally:
                cf.log_info("finally")

    @cf.task()
    async def awaited():
        with cf.suspense(1.5):
            try:
                await child.submit()
            finally:
                cf.log_info("finally")

    @cf.task()
    def in_a_thread():
        with cf.suspense(1.5):
            context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(child.submit().result,))
        thread.start()
        thread.join()
        cf.log_info("finally")
        child.submit()
        cf.log_info("not reached")
"""


@pytest.mark.parametrize("name", ["result", "call", "awaited", "in_a_thread"])
def test_a_wait_that_takes_too_long_suspends(start: Start, name: str) -> None:
    worker = start(WAITS)
    worker.execute(name)
    worker.expect(Submit)
    wait = worker.expect(Wait)
    assert wait == Wait(wait.request, ("@1",), 1.5, suspends=True)
    worker.too_late(wait.request)
    assert worker.expect(Suspend) == Suspend(handles=("@1",))
    logged, returned = worker.returned()
    assert logged == ["finally"]
    assert returned.unclean == ""


def test_a_wait_in_time_goes_on(start: Start) -> None:
    worker = start(
        """
    @cf.task()
    async def main():
        with cf.suspense(5):
            total = child() + await child.submit()
        return total + child()
    """
    )
    worker.execute("main")
    for suspends in (True, True, False):
        wait = worker.until(Wait)[1]
        assert (wait.suspends, wait.timeout) == (suspends, 5.0 if suspends else None)
        worker.channel.send(Answer(wait.request, 0, of_number(3)))
    assert worker.expect(Returned).outcome == of_number(9)


def test_a_wait_that_is_refused_raises_its_error_and_does_not_suspend(start: Start) -> None:
    worker = start(
        """
    @cf.task()
    def main():
        with cf.suspense():
            try:
                child()
            except cf.ExecutionError as error:
                return str(error)
    """
    )
    worker.execute("main")
    wait = worker.until(Wait)[1]
    worker.channel.send(Answer(wait.request, -1, None, "a cycle"))
    assert b"a cycle" in str(worker.expect(Returned).outcome).encode()


def test_select_suspends_until_any_of_its_handles_and_poll_never(start: Start) -> None:
    worker = start(
        """
    @cf.task()
    def main():
        handles = [child.submit(n) for n in range(3)]
        with cf.suspense():
            assert handles[0].poll(default="none") == "none"
            assert handles[1].poll(0.5) is None
            cf.select(handles)
    """
    )
    worker.execute("main")
    for timeout in (0.0, 0.5):
        wait = worker.until(Wait)[1]
        assert (wait.timeout, wait.suspends) == (timeout, False)
        worker.too_late(wait.request)
    wait = worker.until(Wait)[1]
    assert wait == Wait(wait.request, ("@1", "@2", "@3"), 0.0, suspends=True)
    worker.too_late(wait.request)
    assert worker.expect(Suspend) == Suspend(handles=("@1", "@2", "@3"))
    worker.expect(Returned)


# -- event loops ------------------------------------------------------------------------------------------------------


def test_a_coroutine_is_unwound_in_its_own_time_and_the_rest_of_its_loop_cancelled(start: Start) -> None:
    worker = start(
        """
    import asyncio

    async def other():
        try:
            await asyncio.sleep(1000)
        finally:
            await asyncio.sleep(0)
            cf.log_info("other")

    @cf.task()
    async def main():
        task = asyncio.create_task(other())
        await asyncio.sleep(0)
        try:
            cf.suspend()
        finally:
            await asyncio.sleep(0.001)
            cf.log_info("main")
    """
    )
    worker.execute("main")
    worker.expect(Suspend)
    logged, returned = worker.returned()
    assert logged == ["main", "other"]
    assert returned.unclean == ""
    assert worker.output.read_text() == ""


@pytest.mark.parametrize(
    "call", ["asyncio.create_task(suspending())", "asyncio.get_running_loop().call_soon(cf.suspend)"]
)
def test_a_suspension_beside_the_main_coroutine_stops_the_loop(start: Start, call: str) -> None:
    worker = start(
        f"""
    import asyncio

    async def suspending():
        with cf.suspense():
            await child.submit()

    async def cleaning():
        try:
            await asyncio.sleep(1000)
        finally:
            try:
                child.submit()
            finally:
                await asyncio.sleep(0)
                cf.log_info("cleaned")

    @cf.task()
    async def main():
        cleaner = asyncio.create_task(cleaning())
        await asyncio.sleep(0)
        task = {call}
        try:
            await asyncio.sleep(1000)
        finally:
            cf.log_info("main")
    """
    )
    worker.execute("main")
    if "suspending" in call:
        worker.too_late(worker.until(Wait)[1].request)
    worker.expect(Suspend)
    logged, returned = worker.returned()
    assert sorted(logged) == ["cleaned", "main"]
    assert returned.unclean == ""
    assert "never retrieved" not in worker.output.read_text()


def test_whoever_swallows_it_in_a_coroutine_meets_it_again(start: Start) -> None:
    worker = start(
        """
    import asyncio

    @cf.task()
    async def main():
        handle = child.submit()
        try:
            cf.suspend()
        except BaseException:
            cf.log_info("swallowed")
        try:
            await handle
        except BaseException as error:
            cf.log_info(type(error).__name__)
    """
    )
    worker.execute("main")
    worker.until(Suspend)
    assert worker.returned()[0] == ["swallowed", "Suspending"]


# -- threads and forks ------------------------------------------------------------------------------------------------


def test_in_another_thread_it_raises_there_and_the_main_thread_goes_on_to_its_next_call(start: Start) -> None:
    worker = start(
        """
    import threading

    def suspending():
        try:
            cf.suspend(1)
        except BaseException as error:
            cf.log_info("thread: " + type(error).__name__)

    @cf.task()
    def main():
        thread = threading.Thread(target=suspending)
        thread.start()
        thread.join()
        cf.log_info("main goes on")
        try:
            child.submit()
        except BaseException as error:
            cf.log_info("main: " + type(error).__name__)
            raise
    """
    )
    worker.execute("main")
    assert worker.expect(Suspend) == Suspend(1.0)
    logged, returned = worker.returned()
    assert logged == ["thread: Suspending", "main goes on", "main: Suspending"]
    assert returned.unclean == ""


def test_a_thread_that_waits_meanwhile_is_unwound_with_its_answer(start: Start) -> None:
    worker = start(
        """
    from concurrent.futures import ThreadPoolExecutor

    @cf.task()
    def main():
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(child.submit().result)
            with cf.suspense():
                try:
                    child()
                finally:
                    cf.log_info(type(waiting.exception()).__name__)
    """
    )
    worker.execute("main")
    waits = {wait.handles[0]: wait for wait in (worker.until(Wait)[1], worker.until(Wait)[1])}
    worker.too_late(waits["@2"].request)
    worker.expect(Suspend)
    worker.channel.send(Answer(waits["@1"].request, 0, of_number(1)))
    logged, returned = worker.returned()
    assert logged == ["Suspending"]
    assert returned.unclean == ""


def test_a_forked_child_cannot_suspend_or_select(start: Start) -> None:
    worker = start(
        """
    import os

    def attempt(call):
        try:
            call()
        except RuntimeError as error:
            return "forked child" in str(error)
        return False

    def in_suspense(call):
        with cf.suspense():
            return call()

    @cf.task()
    def main():
        first, second = child.submit(), child.submit()
        first.result()  # the outcome of the second comes with the answer
        pid = os.fork()
        if pid == 0:
            calls = [
                cf.suspend, lambda: cf.select([first, second]), lambda: cf.select([second, first]),
                lambda: in_suspense(first.result), second.result, second.poll, second.cancel, child.submit,
            ]
            os._exit(sum(not attempt(call) for call in calls))
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    """
    )
    worker.execute("main")
    wait = worker.until(Wait)[1]
    worker.channel.send(Answer(wait.request, 0, of_number(1), more=((2, of_number(2)),)))
    before, returned = worker.until(Returned)
    assert before == []
    assert returned.outcome == of_number(0)


def test_log_entries_are_taken_after_a_suspension_by_those_who_have_nothing_else(start: Start) -> None:
    worker = start(
        """
    @cf.task()
    def main():
        try:
            cf.suspend()
        except BaseException:
            cf.log_warning("left over: {n}", n=3)
            print("printed")
    """
    )
    worker.execute("main")
    worker.expect(Suspend)
    assert worker.expect(Log).template == "left over: {n}"
    worker.expect(Returned)
    assert worker.output.read_text() == "printed\n"
