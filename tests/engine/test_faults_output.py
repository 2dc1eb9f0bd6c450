"""Output of every kind and size: captured, bounded, and never in the engine's way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from coflux.logs import Level
from tests.engine.scratch import SLACK, ScratchProject, eventually

MEBIBYTE = 1 << 20


def test_f01_f10_fifty_megabytes_without_a_newline_and_nobody_reading(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        @cf.task()
        def shout(descriptor):
            data = b"x" * (1 << 20)
            for _ in range(50):
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view):]
            return 50

        @cf.workflow()
        def main():
            mark("before")
            gate("measured")
            result = [shout(2), shout(1)]
            mark("after")
            gate("measured again")
            return result
        """,
    )
    running = project.start("run", "--no-ui", "flow/main")
    project.marked("before")
    engine = psutil.Process(project.supervisor_pid())
    before = engine.memory_info().rss
    project.open_gate("measured")
    project.marked("after", timeout=30)
    assert engine.memory_info().rss - before < 64 * MEBIBYTE
    project.open_gate("measured again")
    finished = project.finish(running)
    assert (finished.status, finished.value) == (0, [50, 50])
    entries = project.logs(project.only_run())
    assert len(entries) == 2
    for entry in entries:
        assert entry.template is not None
        assert MEBIBYTE <= len(entry.template) < MEBIBYTE + 200
        assert "dropped" in entry.template[-100:]


def test_f02_f04_f05_what_bypasses_python_is_captured_and_harms_nothing(shared: ScratchProject) -> None:
    shared.write(
        "flow",
        """
        import ctypes, subprocess

        @cf.task()
        def nothing():
            pass

        @cf.task()
        def bypass():
            os.write(1, b"by descriptor ")
            ctypes.CDLL(None).printf(b"by printf\\n")
            child = subprocess.Popen(["sh", "-c", "for i in 1 2 3; do echo by child $i; done"])
            handles = [nothing.submit() for _ in range(20)]
            child.wait()
            return [handle.result() for handle in handles]

        @cf.task()
        def redirect():
            print("before")
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            print("into nothing")
            return 1

        @cf.task()
        def shut():
            os.close(2)
            return 4

        @cf.task()
        def unset():
            sys.stdout = None
            print("nowhere")
            return 2

        @cf.task()
        def close():
            sys.stdout.close()
            sys.stderr.close()
            return 3

        @cf.task()
        def next_one(x):
            print("the next one's", x)
            print("its errors", x, file=sys.stderr)

        @cf.task()
        def leave():
            print("flushed", flush=True)
            sys.stdout.buffer.write(b"raw bytes")
            os._exit(1)

        @cf.workflow()
        def main():
            results = [len(bypass())]
            for number, target in enumerate((redirect, unset, close, shut)):
                results.append(target())
                next_one(number)  # most likely on the process that was left idle last
            try:
                leave()
            except cf.ExecutionAbandoned:
                return results
        """,
    )
    finished = shared.run("flow/main")
    assert (finished.status, finished.value) == (0, [20, 1, 2, 3, 4]), finished.err
    said = shared.output(shared.last_run())
    assert "".join(said).count("by descriptor") == 1
    assert "by printf" in "".join(said)
    assert {"by child 1", "by child 2", "by child 3", "before", "flushed", "raw bytes"} <= set(said)
    assert {f"the next one's {x}" for x in range(4)} <= set(said)
    assert {f"its errors {x}" for x in range(4)} <= set(said)
    assert "into nothing" not in said


def test_f04_redirected_descriptors_are_not_handed_on(project: ScratchProject) -> None:
    project.write(
        "flow",
        """
        @cf.task()
        def redirect(descriptor):
            mark("process")
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)

        @cf.task()
        def shut(descriptor):
            mark("process")
            os.close(descriptor)

        @cf.task()
        def harmless():
            mark("process")

        @cf.task()
        def talk(number):
            mark("process")
            print("out", number)
            print("err", number, file=sys.stderr)

        @cf.workflow()
        def main():
            harmless(), talk(0)
            redirect(1), talk(1)
            redirect(2), talk(2)
            shut(1), talk(3)
            shut(2), talk(4)
        """,
    )
    finished = project.run("flow/main", COFLUX_CONCURRENCY="1")
    assert finished.status == 0, finished.err
    pids = [mark.pid for mark in project.marks("process")]
    assert pids[0] == pids[1]  # or this test shows nothing
    said = sorted(project.output(project.only_run()))
    assert said == sorted(f"{stream} {number}" for stream in ("out", "err") for number in range(5))


def test_f06_garbage_and_escape_sequences_are_kept_but_not_let_loose(shared: ScratchProject) -> None:
    shared.write(
        "flow",
        """
        @cf.workflow()
        def main():
            os.write(1, b"\\xff\\xfe garbage\\n")
            print("\\x1b[2J\\x1b]0;title\\x07\\x1b[?1049h end")
            print("\\x1b[31mred\\x1b[0m")
        """,
    )
    finished = shared.run("flow/main")
    assert finished.status == 0
    assert "garbage" in finished.err
    assert "\x1b" not in finished.err + finished.out
    assert "\x07" not in finished.err
    run = shared.last_run()
    said = shared.output(run)
    assert "\x1b[2J\x1b]0;title\x07\x1b[?1049h end" in said
    for arguments in (("logs", run), ("logs", run, "--json"), ("runs", "inspect", run)):
        assert "\x1b" not in shared.coflux(*arguments).out


def test_f11_asking_for_input_says_why_there_is_none(shared: ScratchProject) -> None:
    shared.write(
        "flow",
        """
        import getpass, pdb

        @cf.task()
        def ask(how):
            if how == "input": return input("name? ")
            if how == "getpass": return getpass.getpass()
            if how == "read": return sys.stdin.read()
            if how == "descriptor": return os.read(0, 10).decode()
            pdb.set_trace()
            return "went on"

        @cf.workflow()
        def main():
            outcomes = {}
            for how in ("input", "getpass", "read", "descriptor", "pdb"):
                try:
                    outcomes[how] = ask(how)
                except cf.ExecutionError as error:
                    outcomes[how] = [type(error).__name__, str(error)]
            return outcomes
        """,
    )
    started_at = time.monotonic()
    outcomes = shared.run("flow/main").value
    assert time.monotonic() - started_at < 2.0 * SLACK
    for how in ("input", "getpass", "read"):
        name, text = outcomes[how]
        assert name == "EOFError", how
        assert "standard input" in text
    assert outcomes["descriptor"] == ""
    assert outcomes["pdb"][0] in ("BdbQuit", "EOFError")


def test_f08_bars_are_one_line_each(shared: ScratchProject) -> None:
    """O05: tqdm side by side and beside output, with the state they have meanwhile."""
    shared.write(
        "flow",
        """
        from tqdm import tqdm

        @cf.task()
        def bars():
            shown = [tqdm(range(100_000), desc=f"bar {number}", position=number) for number in range(8)]
            for number in range(100_000):
                for bar in shown:
                    bar.update()
                if number == 50_000:
                    mark("half")
                    gate("go on")
            for bar in shown:
                bar.close()
            print("to the other stream")
            for _ in tqdm(range(10), desc="alone", mininterval=0):
                pass

        @cf.workflow()
        def main():
            bars()
        """,
    )
    run = shared.detach("flow/main")
    follower = shared.start("logs", "--follow", run)
    shared.marked("half", timeout=30)
    eventually(lambda: sum(entry.live for entry in shared.logs(run, 2)) == 8)
    shared.open_gate("go on")
    told = shared.finish(follower).out.splitlines()
    entries = [entry for entry in shared.logs(run, 2) if entry.level == Level.STDERR]
    assert not any(entry.live for entry in entries)
    assert all(len(entry.template or "") < 2048 for entry in entries)
    named = [(entry.template or "").strip()[:11].replace(":", "") for entry in entries]
    assert named == [*(f"bar {number} 100%" for number in range(8)), "alone 100%"]
    assert sum("| bar " in line for line in told) == 8
    assert sum("100%" in line for line in told) == 9


def test_o02_lines_of_all_writers_are_whole_and_in_order() -> None:
    """Threads, child processes and C, in several tasks at once; the full size is `python benchmarks/output.py`."""
    script = Path(__file__).parents[2] / "benchmarks" / "output.py"
    arguments = ["--tasks", "4", "--lines", "500"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COFLUX_")}
    finished = subprocess.run(
        [sys.executable, str(script), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_f09_floods_keep_nobody_waiting(project: ScratchProject) -> None:
    """O08: neither other executions nor Ctrl-C; the engine's memory does not grow. How much is recorded of a flood:
    `tests/core/test_output.py`."""
    project.write(
        "flow",
        """
        @cf.task()
        def shout():
            while True:
                print("y")

        @cf.task()
        def log():
            while True:
                cf.log_info("y", number=1)

        @cf.task()
        def nothing():
            pass

        @cf.workflow()
        def main():
            nothing()
            shout.submit(), log.submit()
            took = []
            for _ in range(10):
                time.sleep(0.02)
                start = time.monotonic()
                nothing()
                took.append(time.monotonic() - start)
            mark(str(sorted(took)[5]))
            time.sleep(60)
        """,
    )
    running = project.start("run", "--no-ui", "flow/main")
    (took,) = eventually(lambda: [mark for mark in project.marks() if mark.text])
    assert float(took.text) < 0.1 * SLACK
    assert psutil.Process(project.supervisor_pid()).memory_info().rss < 100 * MEBIBYTE
    interrupted_at = time.monotonic()
    running.send_signal(signal.SIGINT)
    assert project.finish(running).status == 130
    assert time.monotonic() - interrupted_at < 1.0 * SLACK
