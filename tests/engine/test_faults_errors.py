"""Exceptions that are hard to carry over: each ends its step, with its name and text, and the pool stays healthy."""

from __future__ import annotations

from coflux.logs import Level
from tests.engine.scratch import ScratchProject, kinds

OUTCOME = """
    def outcome(handle):
        "Class, text and remote traceback of what a caller gets."
        try:
            return handle.result()
        except cf.ExecutionError as error:
            return [type(error).__name__, str(error), getattr(error, "remote_traceback", "")]

    @cf.task()
    def healthy(x):
        return x
"""


def test_e01_e02_e06_any_exception_keeps_its_name_and_text(shared: ScratchProject) -> None:
    shared.write(
        "flow",
        OUTCOME
        + """
    import asyncio, threading

    class TwoArguments(Exception):
        def __init__(self, code, text):
            super().__init__(f"{code}: {text}")

    class Unpicklable(Exception):
        def __init__(self, text):
            super().__init__(text)
            self.lock = threading.Lock()

    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no text")
        __repr__ = __str__

    class Base(BaseException):
        pass

    def local():
        class Local(Exception):
            pass
        return Local("of a local class")

    @cf.task()
    def fail(kind):
        if kind == "two": raise TwoArguments(5, "two arguments")
        if kind == "attribute": raise Unpicklable("with a lock")
        if kind == "local": raise local()
        if kind == "mute": raise Mute()
        if kind == "interrupt": raise KeyboardInterrupt("pressed")
        if kind == "exit": raise GeneratorExit("closed")
        if kind == "cancelled": raise asyncio.CancelledError("async")
        if kind == "base": raise Base("base")

    KINDS = ["two", "attribute", "local", "mute", "interrupt", "exit", "cancelled", "base"]

    @cf.workflow()
    def main():
        return [{kind: outcome(fail.submit(kind)) for kind in KINDS}, healthy(1)]
    """,
    )
    document = shared.document("flow/main")
    outcomes, healthy = document["result"]
    assert healthy == 1
    assert kinds(document, "fail") == [["failed"]] * 8
    for kind, (name, text, traceback) in outcomes.items():
        assert name in traceback or name == "ExecutionError"
        assert "in fail" in traceback, kind
        assert "/coflux/executor/" not in traceback, kind
        assert text, kind
    assert outcomes["two"][:2] == ["TwoArguments", "5: two arguments"]
    assert outcomes["attribute"][:2] == ["Unpicklable", "with a lock"]
    assert outcomes["local"][:2] == ["Local", "of a local class"]
    assert outcomes["mute"][0] == "Mute"
    names = {"interrupt": "KeyboardInterrupt", "exit": "GeneratorExit", "cancelled": "CancelledError", "base": "Base"}
    words = {"interrupt": "pressed", "exit": "closed", "cancelled": "async", "base": "base"}
    for kind, name in names.items():
        assert name in outcomes[kind][2]
        assert words[kind] in outcomes[kind][1]


def test_e03_causes_contexts_notes_and_groups_are_all_shown(shared: ScratchProject) -> None:
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main():
            try:
                try:
                    {}["the context"]
                except KeyError:
                    raise ValueError("the cause's own context")
            except ValueError as cause:
                inner = ExceptionGroup("the inner group", [OSError("a member")])
                error = ExceptionGroup("the outer group", [inner, TypeError("another member")])
                error.add_note("a note on it")
                raise error from cause
        """,
    )
    finished = shared.run("flow/main")
    document = shared.document("flow/main")
    parts = ["the context", "the cause's own context", "the inner group", "a member", "the outer group", "a note on it"]
    assert finished.status == 1
    for part in [*parts, "another member", "direct cause", "During handling"]:
        assert part in finished.err
        assert part in document["error"]["traceback"]


def test_e07_a_retry_filter_that_raises_is_reported_with_the_error(shared: ScratchProject) -> None:
    shared.write(
        "flow",
        OUTCOME
        + """
    def broken(error):
        raise LookupError("the filter's own error")

    @cf.task(retries=cf.Retries(limit=3, backoff=(0, 0), when=broken))
    def fail():
        raise ValueError("the task's error")

    @cf.workflow()
    def main():
        return [outcome(fail.submit()), healthy(1)]
    """,
    )
    document = shared.document("flow/main")
    (_, _, traceback), healthy = document["result"]
    assert healthy == 1
    assert "the filter's own error" in traceback
    assert "the task's error" in traceback
    assert kinds(document, "fail") == [["failed"]]


def test_e09_errors_beside_the_step_do_not_change_its_result(shared: ScratchProject) -> None:
    shared.write(
        "flow",
        """
        import asyncio, threading

        def fail(text):
            raise ValueError(text)

        @cf.task()
        def with_a_thread():
            thread = threading.Thread(target=fail, args=("in a thread",))
            thread.start()
            thread.join()
            return 1

        @cf.task()
        async def with_a_lost_task():
            async def lost():
                raise ValueError("in a task")
            asyncio.ensure_future(lost())
            await asyncio.sleep(0)
            import gc
            gc.collect()
            return 2

        @cf.workflow()
        def main():
            return [with_a_thread(), with_a_lost_task()]
        """,
    )
    finished = shared.run("flow/main")
    assert (finished.status, finished.value) == (0, [1, 2])
    entries = [entry for entry in shared.logs(shared.last_run()) if entry.logger]
    assert [(entry.logger, entry.level) for entry in entries] == [
        ("threading", Level.WARNING),
        ("asyncio", Level.ERROR),
    ]
    assert ["in a thread" in (entries[0].template or ""), "in a task" in (entries[1].template or "")] == [True, True]


def test_e10_both_classes_can_be_caught_over_three_levels(shared: ScratchProject) -> None:
    shared.write(
        "flow",
        """
        class Problem(ValueError):
            pass

        @cf.task()
        def bottom():
            raise Problem("at the bottom")

        @cf.task()
        def middle():
            return bottom()

        @cf.task()
        def wrapping():
            try:
                bottom()
            except Problem as error:
                raise KeyError("wrapped") from error

        @cf.workflow()
        def main():
            caught = []
            for kind in (cf.ExecutionError, Problem, ValueError):
                try:
                    middle()
                except kind as error:
                    caught.append([isinstance(error, Problem), isinstance(error, cf.ExecutionError), str(error)])
            try:
                wrapping()
            except KeyError as error:
                assert isinstance(error, cf.ExecutionError)
                return [caught, error.remote_traceback]
        """,
    )
    caught, traceback = shared.run("flow/main").value
    assert caught == [[True, True, "at the bottom"]] * 3
    for part in ("in bottom", "in wrapping", "direct cause", "at the bottom", "wrapped"):
        assert part in traceback
    assert "/coflux/executor/" not in traceback
