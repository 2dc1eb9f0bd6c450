"""Scenarios: `cf.run` and `cf.start` from scripts, from standard input, and from cells as in a notebook."""

from __future__ import annotations

import signal
import textwrap

from tests.engine.scratch import PRELUDE, ScratchProject, eventually, kinds

FACTORIAL = """
import coflux as cf

@cf.task()
def factorial(n):
    return 1 if n == 0 else n * factorial(n - 1)

@cf.workflow()
def main(n):
    return factorial(n)
"""


def test_a_script_runs_its_own_targets(shared: ScratchProject) -> None:
    """Behaviour 1.6: targets of `__main__` travel by value, also when they call themselves."""
    shared.write("script", FACTORIAL + "print(cf.run(main, 5), cf.run(factorial, n=4))\n")
    finished = shared.python("script.py")
    assert finished.out == "120 24\n", finished.err
    document = shared.inspect(shared.last_run())
    assert document["run"]["target"].endswith("/factorial")
    assert len(document["steps"]) == 5


def test_code_from_the_command_line_and_from_standard_input(shared: ScratchProject) -> None:
    """There is no file to import it from."""
    code = FACTORIAL + "print(cf.run(main, 5))\n"
    assert shared.python("-c", code).out == "120\n"
    assert shared.python("-", stdin=code).out == "120\n"


def test_targets_of_modules_travel_by_name(shared: ScratchProject) -> None:
    """A script that imports a module: its code is read where it is."""
    shared.write("flow", FACTORIAL)
    code = "import coflux as cf, flow; print(cf.run(flow.main, 5))"
    assert shared.python("-c", code).out == "120\n"
    shared.write("flow", FACTORIAL.replace("return 1 if", "return 2 if"))
    assert shared.python("-c", code).out == "240\n"


def test_where_no_engine_is_to_be_had_a_script_can_catch_that(project: ScratchProject) -> None:
    """The module imports here and not in the engine; then the configuration is wrong."""
    project.write("flow", FACTORIAL + "if 'argv' not in __import__('sys').argv: raise ImportError('only with argv')\n")
    code = """
        import sys
        import coflux as cf
        from flow import main
        try:
            cf.run(main, 5)
        except RuntimeError as error:
            print(error)
    """
    assert "only with argv" in project.python("-c", textwrap.dedent(code), "argv").out
    configuration = project.root / "coflux.toml"
    configuration.write_text("concurrancy = 2\n")
    assert "concurrancy" in project.python("-c", textwrap.dedent(code), "argv").out
    configuration.unlink()


CELLS = [
    """
    import coflux as cf
    factor = 3

    @cf.task()
    def scale(x):
        return factor * x
    """,
    """
    @cf.workflow()
    def main(x):
        return scale(x) + scale.submit(1).result()
    print(cf.run(main, 2))
    """,
    """
    factor = 10
    print(cf.run(main, 2))
    """,
    """
    @cf.task()
    def scale(x):
        return -x
    print(cf.run(main, 2))
    """,
    """
    def adder(amount):
        @cf.task()
        def add(x):
            return x + amount
        return add
    print(cf.run(adder(5), 1), cf.run(adder(7), 1))
    """,
]


def test_closures_and_cells(shared: ScratchProject) -> None:
    """As in a notebook: cells that are executed one after the other, and targets that a function makes."""
    cells = [textwrap.dedent(cell) for cell in CELLS]
    code = f'namespace = {{"__name__": "__main__"}}\nfor cell in {cells!r}:\n    exec(cell, namespace)\n'
    finished = shared.python("-c", code)
    assert finished.out == "9\n30\n-3\n6 8\n", finished.err


def test_a_run_is_started_and_its_result_read_later(shared: ScratchProject) -> None:
    """`start` gives a handle: `id`, `result()`, `cancel()`; errors are the original ones."""
    code = PRELUDE + textwrap.dedent(
        """
        @cf.task()
        def child():
            mark("start")
            time.sleep(20)

        @cf.workflow()
        def slow():
            child()

        @cf.workflow()
        def failing():
            raise LookupError("lost")

        @cf.workflow()
        def fine(x):
            return {"x": x}

        handles = [cf.start(slow), cf.start(failing), cf.start(fine, x=(1, 2))]
        assert len({handle.id for handle in handles}) == 3
        print(handles[2].result())
        try:
            handles[1].result()
        except LookupError as error:
            print(type(error).__name__, error, isinstance(error, cf.ExecutionError))
        gate("go")
        handles[0].cancel()
        try:
            handles[0].result()
        except cf.ExecutionCancelled:
            print("cancelled")
        """
    )
    shared.open_gate("go")
    finished = shared.python("-c", code)
    assert finished.out == "{'x': (1, 2)}\nLookupError lost True\ncancelled\n", finished.err


def test_inside_an_execution_they_point_to_submit(shared: ScratchProject) -> None:
    """Behaviour 1.6."""
    shared.write(
        "flow",
        """
        @cf.task()
        def child():
            pass

        @cf.workflow()
        def main():
            messages = []
            for function in (cf.run, cf.start):
                try:
                    function(child)
                except RuntimeError as error:
                    messages.append(str(error))
            return messages
        """,
    )
    messages = shared.run("flow/main").value
    assert len(messages) == 2
    assert all("submit" in message for message in messages)


def test_a_child_goes_on_after_the_script_has_its_result(shared: ScratchProject) -> None:
    """A parent that returns leaves its children running, wherever it was started (behaviour 3)."""
    code = PRELUDE + textwrap.dedent(
        """
        @cf.task()
        def child():
            gate("go")

        @cf.workflow()
        def main():
            child.submit()
            return "early"

        print(cf.run(main))
        """
    )
    assert shared.python("-c", code).out == "early\n"
    run = shared.last_run()
    shared.open_gate("go")
    assert kinds(shared.settled(run), "child") == [["succeeded"]]


def test_a_forked_child_of_an_execution_cannot_call(shared: ScratchProject) -> None:
    """Behaviour 2.2: or replies would go to the wrong process."""
    shared.write(
        "flow",
        """
        @cf.task()
        def child():
            return "fine"

        @cf.workflow()
        def main():
            pid = os.fork()
            if pid == 0:
                try:
                    child()
                except RuntimeError as error:
                    mark("forked" if "fork" in str(error) else str(error))
                finally:
                    os._exit(0)
            os.waitpid(pid, 0)
            return child()
        """,
    )
    assert shared.run("flow/main").value == "fine"
    assert [mark.text for mark in shared.marks()] == ["forked"]


def test_a_script_that_is_killed_takes_its_run_with_it(shared: ScratchProject) -> None:
    """Behaviour 12.2, for `cf.run`."""
    shared.write("flow", '@cf.workflow()\ndef main():\n    mark("start")\n    time.sleep(20)\n')
    shared.write("script", "import flow\nmark(str(os.getpid()))\ncf.run(flow.main)\n")
    process = shared.start_python("script.py")
    shared.marked("start")
    run = shared.last_run()
    process.kill()
    assert kinds(shared.settled(run, timeout=4.0), "main") == [["cancelled"]]
    eventually(lambda: process.poll() is not None)


def test_an_interrupted_script_cancels_its_run(shared: ScratchProject) -> None:
    """Behaviour 1.6: `KeyboardInterrupt` goes on to the script."""
    shared.write("flow", '@cf.workflow()\ndef main():\n    mark("start")\n    time.sleep(20)\n')
    process = shared.start_python(
        "-c", "import coflux as cf, flow\ntry:\n    cf.run(flow.main)\nexcept KeyboardInterrupt:\n    print('stopped')"
    )
    shared.marked("start")
    process.send_signal(signal.SIGINT)
    finished = shared.finish(process)
    assert finished.out == "stopped\n", finished.err
    assert kinds(shared.settled(shared.last_run()), "main") == [["cancelled"]]


UNSENDABLE = """
import threading
import coflux as cf

@cf.task()
def hold(lock):
    return 1

@cf.task()
def fail(message):
    raise ValueError(message)
"""


def test_what_cannot_be_sent_is_an_error_with_a_public_name(shared: ScratchProject) -> None:
    """Behaviour 10.1: wherever it is handed over. It is a mistake in the call, too, so also a TypeError."""
    source = UNSENDABLE + textwrap.dedent(
        """
        def told(call):
            try:
                call(hold, {"key": [threading.Lock()]})
            except cf.ExecutionError as error:
                return [isinstance(error, TypeError), str(error)]

        @cf.workflow()
        def inside():
            return told(lambda target, value: target.submit(value))

        if __name__ == "__main__":
            print(told(cf.run) == told(cf.start) == cf.run(inside), told(cf.run))
        """
    )
    shared.write("script", source)
    text = "lock['key'][0]: _thread.lock cannot be sent; create it in the process that uses it"
    assert shared.python("script.py").out == f"True {[True, text]}\n"


def test_tracebacks_of_a_script_show_the_users_frames(shared: ScratchProject) -> None:
    """One frame of ours is below them, where `cf.run` or `result()` raises."""
    calls = {
        "cf.run(hold, threading.Lock())": "cannot be sent",
        "cf.start(hold, threading.Lock())": "cannot be sent",
        "cf.run(fail, 'no')": "ValueError: no",
        "cf.start(fail, 'no').result()": "ValueError: no",
    }
    for call, told in calls.items():
        path = shared.write("script", UNSENDABLE + f"if __name__ == '__main__':\n    {call}\n", prelude=False)
        finished = shared.python("script.py")
        assert finished.status == 1
        assert told in finished.err
        *_, last = finished.err.split("Traceback (most recent call last):\n")
        frames = [line.strip() for line in last.splitlines() if line.startswith('  File "')]
        assert len(frames) == 2, last
        assert frames[0].startswith(f'File "{path}"')
        assert call in last
        assert "/coflux/runs.py" in frames[1]
        assert "/coflux/executor/" not in finished.err
