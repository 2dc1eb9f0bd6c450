"""What an execution leaves in a process that is used again, and what goes wrong there in our own code."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest

from tests.engine.scratch import COMMAND, ScratchProject, kinds

OUTCOME = """
    def outcome(handle):
        try:
            return handle.result()
        except cf.ExecutionError as error:
            return [type(error).__name__, str(error)]
"""


def executions(document: dict[str, Any], target: str) -> list[dict[str, Any]]:
    return [
        execution
        for step in document["steps"]
        if step["target"].rpartition("/")[2] == target
        for execution in step["executions"]
    ]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_peak_memory_is_that_of_the_execution(project: ScratchProject, method: str) -> None:
    """Also where the process was started by a bigger one, whose peak a fresh interpreter inherits."""
    project.write(
        "flow",
        """
        ballast = os.urandom(1 << 20) * 200 if sys.argv[0] == "-c" else b""  # in the module host only

        @cf.task()
        def small():
            return os.getpid()

        @cf.task()
        def big():
            return len(bytearray(400 << 20))

        @cf.workflow()
        def main():
            first = small()
            big()
            return [first, small(), small()]
        """,
    )
    document = project.document("flow/main", COFLUX_CONCURRENCY="1", COFLUX_START_METHOD=method)
    assert len(set(document["result"])) == 1  # one process ran them
    first, second, third = (execution["peak_memory"] for execution in executions(document, "small"))
    (big,) = (execution["peak_memory"] for execution in executions(document, "big"))
    assert big - first > 350 << 20
    assert second - first < 30 << 20
    assert third - first < 30 << 20
    assert first < (250 if method == "fork" else 100) << 20


def test_a_timer_that_is_running_is_stopped(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        import faulthandler, signal

        @cf.task()
        def leave(kind):
            if kind == "alarm":
                signal.alarm(1)
            elif kind == "faulthandler":
                faulthandler.dump_traceback_later(1, exit=True)
            else:
                signal.setitimer(getattr(signal, kind), 0.2)
            return os.getpid()

        @cf.task()
        def work():
            until = time.process_time() + 0.4
            while time.process_time() < until:
                pass
            time.sleep(1.0)
            return os.getpid()

        @cf.workflow()
        def main():
            kinds = ["alarm", "ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF", "faulthandler"]
            return [[leave(kind), work()] for kind in kinds]
        """,
    )
    document = project.document("flow/main", COFLUX_CONCURRENCY="1")
    assert kinds(document, "work") == [["succeeded"]] * 5
    assert len({pid for pair in document["result"] for pid in pair}) == 1


STATE = """
    import gc, locale, resource, signal, socket, threading, unittest.mock

    def state():
        return {
            "timers": [signal.getitimer(timer) for timer in range(3)],
            "trace": [str(sys.gettrace()), str(sys.getprofile()), str(threading.gettrace())],
            "gc": [gc.isenabled(), gc.get_threshold(), gc.get_debug()],
            "locale": locale.setlocale(locale.LC_ALL),
            "timeout": socket.getdefaulttimeout(),
            "switch": sys.getswitchinterval(),
            "digits": sys.get_int_max_str_digits(),
            "zone": [time.localtime(0).tm_hour, time.tzname],
            "nice": os.nice(0),
            "affinity": sorted(os.sched_getaffinity(0)),
            "scheduler": os.sched_getscheduler(0),
            "limits": [resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in LIMITS],
            "hooks": [str(hook) for hook in sys.get_asyncgen_hooks()],
            "stack": read_by_setting(threading.stack_size, 0),
            "wakeup": read_by_setting(signal.set_wakeup_fd, -1),
        }

    LIMITS = ("AS", "CPU", "DATA", "FSIZE", "NOFILE", "NPROC", "STACK")

    def lower(name, limit):
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit))

    def read_by_setting(exchange, value):
        before = exchange(value)
        exchange(before)
        return before

    @cf.task()
    def look():
        return [state(), os.getpid()]
"""


@pytest.mark.parametrize(
    ("change", "replaced"),
    [
        ("sys.settrace(lambda *_: None); threading.settrace(lambda *_: None)", False),
        ("sys.setprofile(lambda *_: None); threading.setprofile(lambda *_: None)", False),
        ("gc.disable(); gc.set_threshold(1, 2, 3); gc.set_debug(gc.DEBUG_UNCOLLECTABLE)", False),
        ("locale.setlocale(locale.LC_NUMERIC, 'C.UTF-8')", False),
        ("socket.setdefaulttimeout(1)", False),
        ("sys.setswitchinterval(1.0); sys.set_int_max_str_digits(0)", False),
        ("os.environ['TZ'] = 'EST+5'; time.tzset()", False),
        ("with unittest.mock.patch.dict(os.environ, TZ='EST+5'): time.tzset()", False),
        ("sys.set_asyncgen_hooks(firstiter=print, finalizer=print)", False),
        ("threading.stack_size(1 << 20)", False),
        ("left, _ = socket.socketpair(); left.setblocking(False); signal.set_wakeup_fd(left.detach())", False),
        ("os.nice(3)", True),
        ("os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))", True),
        ("os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])", True),
        ("resource.setrlimit(resource.RLIMIT_AS, (1 << 40, 1 << 40))", True),
        ("resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))", True),
        ("resource.setrlimit(resource.RLIMIT_CPU, (1000, resource.RLIM_INFINITY))", True),
        ("lower('DATA', 1 << 38)", True),
        ("lower('NPROC', 10_000)", True),
        ("lower('STACK', 1 << 22)", True),
    ],
)
def test_what_an_execution_changes_in_its_process_does_not_reach_the_next(
    serial: ScratchProject, change: str, replaced: bool
) -> None:
    serial.write(
        "flow",
        STATE
        + f"""
    @cf.task()
    def spoil():
        before = state()
        {change}
        return [before != state(), os.getpid()]

    @cf.workflow()
    def main():
        return [look(), spoil(), look()]
    """,
    )
    if "affinity" in change and len(os.sched_getaffinity(0)) == 1:
        pytest.skip("there is one processor only")
    (before, first), (spoiled, second), (after, third) = serial.run("flow/main").value
    assert after == before
    assert spoiled
    assert first == second
    assert (third != second) is replaced


@pytest.mark.parametrize(
    ("left", "replaced"),
    [
        ("", False),
        ("os.environ['DATABASE'] = 'x'", True),
        ("sys.path.append('/added')", True),
    ],
)
def test_a_module_that_is_imported_late_is_found_with_what_it_set_or_not_at_all(
    serial: ScratchProject, left: str, replaced: bool
) -> None:
    settings = serial.root / "settings"
    settings.mkdir()
    (settings / "late.py").write_text(f"import os, sys\n{left}\n")
    serial.write(
        "flow",
        f"""
        sys.path.append({str(settings)!r})

        def state():
            return [os.environ.get("DATABASE"), "/added" in sys.path]

        @cf.task()
        def use():
            import late
            return [state(), os.getpid()]

        @cf.task()
        def look():
            return ["late" in sys.modules, state()]

        @cf.task()
        def standard():
            import this, wave
            os.environ["DATABASE"] = "y"
            return os.getpid()

        @cf.workflow()
        def main():
            return [use(), look(), use(), standard(), standard()]
        """,
    )
    (first, pid), (imported, state), (second, other), *standard = serial.run("flow/main").value
    assert first == second == ["x" if "DATABASE" in left else None, "path" in left]
    assert imported is not replaced
    assert state == [None, False]
    assert (pid != other) is replaced
    assert standard[0] == standard[1]  # modules of the standard library set nothing: the task itself did


def test_the_stack_size_that_a_module_sets_holds_for_every_execution(serial: ScratchProject) -> None:
    serial.write(
        "flow",
        """
        import threading

        threading.stack_size(1 << 22)

        @cf.task()
        def look():
            return [threading.stack_size(), os.getpid()]  # which sets it to the default

        @cf.workflow()
        def main():
            return [look(), look()]
        """,
    )
    first, second = serial.run("flow/main").value
    assert first == second
    assert first[0] == 1 << 22


def test_the_resource_tracker_of_multiprocessing_is_no_child_that_remains(serial: ScratchProject) -> None:
    serial.write(
        "flow",
        """
        import subprocess
        from multiprocessing.shared_memory import SharedMemory

        @cf.task()
        def share(leave):
            memory = SharedMemory(create=True, size=100)
            memory.close()
            memory.unlink()
            if leave:
                subprocess.Popen(["sleep", "600"])
            return os.getpid()

        @cf.workflow()
        def main():
            return [share(False), share(True), share(False)]
        """,
    )
    first, second, third = serial.run("flow/main").value
    assert first == second
    assert second != third  # another child does remain


def test_the_stack_of_a_crash_is_had_after_faulthandler_was_disabled(serial: ScratchProject) -> None:
    serial.write(
        "flow",
        OUTCOME
        + """
    import faulthandler, signal

    @cf.task()
    def change(how):
        if how == "disabled":
            faulthandler.disable()
        else:
            faulthandler.enable(sys.stderr)
        return os.getpid()

    @cf.task()
    def crash():
        os.kill(os.getpid(), signal.SIGSEGV)

    @cf.task()
    def process():
        return os.getpid()

    @cf.workflow()
    def main():
        found = []
        for how in ("disabled", "elsewhere"):
            same = change(how) == process()
            found.append([same, *outcome(crash.submit())])
        return found
    """,
    )
    for same, kind, text in serial.run("flow/main").value:
        assert same
        assert kind == "ExecutionAbandoned"
        assert "in crash" in text


def test_leaked_descriptors_end_no_innocent_execution(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        kept = []

        @cf.task()
        def leak():
            kept.extend(open(os.devnull) for _ in range(3))
            return os.getpid()

        @cf.task()
        def greedy():
            try:
                while True:
                    kept.append(open(os.devnull))
            except OSError:
                return 1

        @cf.workflow()
        def main():
            pids = [leak() for _ in range(100)]
            return [len(set(pids)), greedy(), len(set(leak() for _ in range(3)))]
        """,
    )
    command = " ".join((*COMMAND, "run", "--no-ui", "--concurrency", "1", "flow/main"))
    finished = project.finish(project._start(("sh", "-c", f"ulimit -n 256; {command}"), {}, -3))
    assert finished.status == 0, finished.err
    processes, one, after = finished.value
    assert 2 <= processes <= 10  # replaced now and then, not every time
    assert (one, after) == (1, 1)


def test_a_fault_of_ours_while_cleaning_up_is_told_and_costs_no_outcome(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        def broken(path):
            raise ZeroDivisionError("cleaning up")

        @cf.task()
        def break_cleaning():
            os.listdir = broken
            return os.getpid()

        @cf.task()
        def after():
            return os.getpid()

        @cf.workflow()
        def main():
            return [break_cleaning(), after()]
        """,
    )
    first, second = project.run("flow/main", COFLUX_CONCURRENCY="1").value
    assert first != second
    run = project.only_run()
    (line, *_) = project.output(run, 2)
    assert line.startswith("coflux: could not clean up after this execution, so its process is replaced: ZeroDivision")


def test_a_fault_of_ours_in_a_worker_is_an_internal_error_with_its_traceback(project: ScratchProject) -> None:
    project.write(
        "flow",
        OUTCOME
        + """
    @cf.task()
    def break_worker():
        import coflux.executor.worker as worker
        def faulty(self, message):
            raise ZeroDivisionError("the fault")
        worker.Worker._execute = faulty

    @cf.task()
    def innocent():
        return 1

    @cf.workflow()
    def main():
        break_worker()
        return [outcome(innocent.submit()), innocent()]
    """,
    )
    (kind, text), one = project.run("flow/main", COFLUX_CONCURRENCY="1").value
    assert (kind, one) == ("ExecutionAbandoned", 1)
    assert text.startswith("InternalError: coflux itself went wrong in a worker: ZeroDivisionError: the fault (at ")
    assert text.endswith("; please report it")


def test_a_result_that_cannot_be_stored_is_told_in_one_line_with_the_place(project: ScratchProject) -> None:
    project.write(
        "flow",
        OUTCOME
        + """
    import resource

    @cf.task()
    def produce():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return bytes(10 << 20)

    @cf.task(retries=1)
    def produce_once():
        if attempt("produce") == 1:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return bytes(10 << 20)

    @cf.task()
    def take(data):
        return len(data)

    @cf.task()
    def pass_on():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        return take(bytes(11 << 20))

    @cf.workflow()
    def main():
        return [outcome(produce.submit()), len(produce_once()), outcome(pass_on.submit())]
    """,
    )
    result, length, argument = project.run("flow/main").value
    blobs = f"{project.project.data_dir}/blobs"
    assert re.fullmatch(rf"the result \(10,485,\d+ bytes\) cannot be stored in {blobs}: File too large", result[1])
    assert length == 10 << 20
    assert re.fullmatch(rf"argument data \(11,534,\d+ bytes\) cannot be stored in {blobs}: File too large", argument[1])
    document = project.read(project.only_run())
    assert kinds(document, "produce_once") == [["failed", "succeeded"]]
    failed = project.coflux("runs", "inspect", project.only_run()).out
    assert "coflux/executor" not in failed


def test_a_missing_working_directory_is_told_and_the_process_goes_on(project: ScratchProject) -> None:
    project.write(
        "flow",
        OUTCOME
        + """
    import pathlib, shutil

    @cf.task()
    def spoil(scratch):
        shutil.rmtree(scratch)
        pathlib.Path(scratch).touch()

    @cf.task()
    def work():
        return os.listdir()

    @cf.workflow()
    def main():
        scratch = str(pathlib.Path.cwd().parents[1])
        spoil(scratch)
        failed = outcome(work.submit())
        os.unlink(scratch)
        return [scratch, failed, work()]
    """,
    )
    scratch, failed, contents = project.run("flow/main", COFLUX_CONCURRENCY="1").value
    assert failed == ["ExecutionError", f"no working directory can be made in {scratch}: Not a directory"]
    assert contents == []


def test_threads_that_are_left_running_are_named(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        import threading

        @cf.task()
        def leave():
            for daemon in (False, True):
                name = "the daemon" if daemon else "the writer"
                threading.Thread(target=lambda: gate("never"), name=name, daemon=daemon).start()

        @cf.task()
        def leave_daemon():
            threading.Thread(target=lambda: gate("never"), daemon=True).start()

        @cf.workflow()
        def main():
            leave()
            leave_daemon()
        """,
    )
    assert project.run("flow/main").status == 0
    run = project.only_run()
    assert project.output(run, 2) == [
        "coflux: 1 thread (the writer) still running at the end, killed with the process: join before returning"
    ]
    assert project.output(run, 3) == []


def test_handles_are_shown_by_their_ids(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        import dataclasses

        @cf.task()
        def five():
            return 5

        @cf.task()
        def ident(value):
            return None

        @dataclasses.dataclass
        class Box:
            handle: object

        @cf.workflow()
        def main():
            handle = five.submit()
            ident(handle)
            ident([1, Box(handle), "x" * 300])
            cf.log_info("see {h}", h=handle, many=[handle, (handle,)])
            print(handle)
            return {"h": handle}
        """,
    )
    document = project.document("flow/main")
    run = document["run"]["id"]
    shown = f"<Execution {run}:2:1 of flow/five>"
    one, box = (step["arguments"][0] for step in document["steps"] if step["target"] == "flow/ident")
    assert one == shown
    assert box.startswith(f"[1, Box(handle={shown}), 'xxx")
    assert len(box) <= 200
    assert document["result"] == {"h": {"$execution": f"{run}:2:1"}}
    assert document["result_repr"] == f"{{'h': {shown}}}"
    logged, printed = project.coflux("logs", f"{run}:1", "--json").value["logs"]
    assert logged["text"] == f"see {shown} many=[{shown}, ({shown},)]"
    execution = {"$execution": f"{run}:2:1"}
    assert logged["values"] == {"h": execution, "many": [execution, [execution]]}
    assert printed["text"] == "<Execution of flow/five>"


def test_values_of_log_entries_keep_their_types(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        from decimal import Decimal

        @cf.workflow()
        def main():
            cf.log_info("v", t=(1, 2), s={1, 2}, e=set(), b=b"x", d={"k": (1, Decimal("1.5"))}, n=float("nan"))
            cf.log_info("w", user={"$repr": "x"}, text="a b", long=list(range(100)))
        """,
    )
    run = project.document("flow/main")["run"]["id"]
    first, second = project.coflux("logs", run, "--json").value["logs"]
    assert first["text"] == "v t=(1, 2) s={1, 2} e=set() b=b'x' d={'k': (1, Decimal('1.5'))} n=nan"
    assert first["values"] == {"t": [1, 2], "s": [1, 2], "e": [], "b": "b'x'", "d": {"k": [1, "1.5"]}, "n": "NaN"}
    assert second["values"] == {"user": {"$repr": "x"}, "text": "a b", "long": list(range(100))}
    assert second["text"].startswith("w user={'$repr': 'x'} text='a b' long=[0, 1, 2")
