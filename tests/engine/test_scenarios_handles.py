"""What `start` gives: results that can be read again, from threads, after a cancel and without an engine."""

from __future__ import annotations

import os
import textwrap

from tests.engine.scratch import ScratchProject, eventually, kinds

FLOW = """
@cf.workflow()
def square(x):
    return x * x

@cf.workflow()
def held(x):
    mark("held")
    gate("go")
    return x

@cf.workflow()
def failing():
    raise LookupError("lost")
"""


def script(source: str) -> str:
    return "import sys, threading\nimport coflux as cf\nimport flow\n" + textwrap.dedent(source)


def test_a_result_can_be_read_again(shared: ScratchProject) -> None:
    """Each time an equal value of its own, or an error of its own."""
    shared.write("flow", FLOW)
    code = """
    handle = cf.start(flow.square, 3)
    print([handle.result() for _ in range(3)])
    listed = cf.start(flow.square, 3)
    errors = []
    handle = cf.start(flow.failing)
    for _ in range(3):
        try:
            handle.result()
        except LookupError as error:
            errors.append(error)
    print([str(error) for error in errors], len(set(map(id, errors))))
    """
    finished = shared.python("-c", script(code))
    assert finished.out == "[9, 9, 9]\n['lost', 'lost', 'lost'] 3\n", finished.err


def test_threads_read_one_handle(shared: ScratchProject) -> None:
    """Those that wait get the result, and so does one that comes later; another one may cancel meanwhile."""
    shared.write("flow", FLOW)
    code = """
    def read(handle, results):
        try:
            results.append(handle.result())
        except cf.ExecutionCancelled:
            results.append("cancelled")

    for end in (lambda handle: open(sys.argv[1], "w").close(), lambda handle: handle.cancel()):
        results = []
        handle = cf.start(flow.held, 7)
        threads = [threading.Thread(target=read, args=(handle, results)) for _ in range(4)]
        for thread in threads:
            thread.start()
        threads[0].join(0.3)
        end(handle)
        for thread in threads:
            thread.join()
        read(handle, results)
        print(results, flush=True)
        os.unlink(sys.argv[1]) if os.path.exists(sys.argv[1]) else None
    """
    finished = shared.python("-c", "import os\n" + script(code), str(shared.root / "gates" / "go"))
    assert finished.out == "[7, 7, 7, 7, 7]\n" + str(["cancelled"] * 5) + "\n", finished.err


def test_a_cancelled_run_stays_cancelled(shared: ScratchProject) -> None:
    """Behaviour 3: an outcome never changes, however often it is asked for and cancelled."""
    shared.write("flow", FLOW)
    code = """
    def told(handle):
        try:
            return handle.result()
        except cf.ExecutionCancelled:
            return "cancelled"

    handle = cf.start(flow.held, 1)
    handle.cancel()
    results = [told(handle), told(handle)]
    handle.cancel()
    print(results, told(handle))
    handle = cf.start(flow.square, 2)
    results = [told(handle)]
    handle.cancel()
    print(results, told(handle))
    """
    finished = shared.python("-c", script(code))
    assert finished.out == "['cancelled', 'cancelled'] cancelled\n[4] 4\n", finished.err


def test_results_outlive_the_engine(project: ScratchProject) -> None:
    """What has ended is in the store. What has not is told of in the words of the command line."""
    project.write("flow", FLOW)
    code = """
    done, read, running = cf.start(flow.square, 3), cf.start(flow.square, 4), cf.start(flow.held, 5)
    print(done.id, running.id, read.result(), flush=True)
    sys.stdin.readline()
    print(done.result(), read.result(), flush=True)
    done.cancel()
    for _ in range(2):
        try:
            running.result()
        except RuntimeError as error:
            print(error, flush=True)
    running.result()
    """
    process = project.start_python("-c", script(code))
    assert process.stdout is not None
    done, running, value = process.stdout.readline().split()
    assert value == "16"
    project.marked("held")
    project.settled(done)
    os.kill(project.supervisor_pid(), 9)
    out, err = process.communicate("\n", 30)
    first, *told = out.splitlines()
    assert first == "9 16", err
    assert len(told) == 2
    assert told[0] == told[1]
    assert told[0].startswith("lost the engine")
    assert f"coflux logs -f {running}" in told[0]
    frames = [line for line in err.splitlines() if line.startswith('  File "')]
    assert len(frames) == 2, err
    assert "/coflux/runs.py" in frames[1]
    assert project.coflux("logs", "-f", running).status == 0
    assert kinds(project.read(running), "held") == [["abandoned"]]


def test_a_run_that_lost_its_engine_can_be_cancelled(project: ScratchProject) -> None:
    """As by `coflux runs cancel`: an engine is started for it."""
    project.write("flow", FLOW)
    code = """
    handle = cf.start(flow.held, 5)
    print("started", flush=True)
    sys.stdin.readline()
    handle.cancel()
    try:
        handle.result()
    except (cf.ExecutionCancelled, cf.ExecutionAbandoned) as error:
        print(type(error).__name__)
    """
    process = project.start_python("-c", script(code))
    assert process.stdout is not None
    process.stdout.readline()
    project.marked("held")
    os.kill(project.supervisor_pid(), 9)
    out, err = process.communicate("\n", 30)
    assert out == "ExecutionAbandoned\n", err  # that is what it was when the engine came back


def test_a_run_goes_on_when_its_handle_is_dropped(shared: ScratchProject) -> None:
    """It belongs to the process, not to the object: `cf.start(...)` as a statement is no trap."""
    shared.write("flow", FLOW)
    code = """
    print(cf.start(flow.held, 5).id, flush=True)
    sys.stdin.readline()
    """
    process = shared.start_python("-c", script(code))
    assert process.stdout is not None
    run = process.stdout.readline().strip()
    shared.marked("held")
    shared.open_gate("go")
    assert kinds(shared.settled(run), "held") == [["succeeded"]]
    process.communicate("\n", 30)


def test_a_run_that_is_over_keeps_nothing_open(project: ScratchProject) -> None:
    """Twenty handles of runs that have ended are twenty numbers: no sockets, and no engine that they keep."""
    project.write("flow", FLOW)
    code = """
    def sockets():
        links = [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if name.isdigit()
                 and os.path.exists(f"/proc/self/fd/{name}")]
        return sum(link.startswith("socket:") for link in links)

    before = sockets()
    handles = [cf.start(flow.square, x) for x in range(20)]
    results = [handle.result() for handle in handles]
    handles[0].cancel()
    print(results == [x * x for x in range(20)], sockets() - before, flush=True)
    sys.stdin.readline()
    """
    process = project.start_python("-c", "import os\n" + script(code))
    assert process.stdout is not None
    assert process.stdout.readline() == "True 0\n"
    eventually(lambda: len(project.processes()) == 1)
    process.communicate("\n", 30)
