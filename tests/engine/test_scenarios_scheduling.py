"""Scenarios: what runs when and where (SCHED), groups (GROUP), delays, polling, nesting, threads, leaks."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests.engine.conftest import scratch_project
from tests.engine.scratch import ScratchProject, eventually, kinds

SERIAL = ("--concurrency", "1")


def test_nested_calls_need_one_slot(shared: ScratchProject) -> None:
    """SCHED-S01: a waiting parent does not block the queue."""
    shared.write(
        "flow",
        """
        @cf.task()
        def c():
            return ["c"]

        @cf.task()
        def b():
            return ["b", *c()]

        @cf.task()
        def a():
            return ["a", *b()]

        @cf.workflow()
        def main():
            return a()
        """,
    )
    assert shared.run(*SERIAL, "flow/main").value == ["a", "b", "c"]


def test_no_more_run_at_a_time_than_there_are_slots(shared: ScratchProject) -> None:
    """SCHED-S02."""
    shared.write(
        "flow",
        """
        @cf.task()
        def work(number):
            mark("start")
            time.sleep(0.1)
            mark("end")
            return number

        @cf.workflow()
        def main():
            return [handle.result() for handle in [work.submit(number) for number in range(6)]]
        """,
    )
    assert shared.run("--concurrency", "2", "flow/main").value == [0, 1, 2, 3, 4, 5]
    running = [1 if mark.text == "start" else -1 for mark in sorted(shared.marks(), key=lambda mark: mark.at)]
    levels = [sum(running[: count + 1]) for count in range(len(running))]
    assert max(levels) == 2


def test_a_fresh_process_for_every_execution(isolated: ScratchProject) -> None:
    """SCHED-S03, which holds with `isolation = "fresh"` (behaviour 3: else module globals may persist)."""
    isolated.write(
        "flow",
        """
        counter = 0

        @cf.task()
        def count():
            global counter
            counter += 1
            return counter, os.getpid()

        @cf.workflow()
        def main():
            return [count(), count(), count()]
        """,
    )
    counts, pids = zip(*isolated.run("flow/main").value, strict=True)
    assert counts == (1, 1, 1)
    assert len(set(pids)) == 3


def test_every_execution_has_an_empty_working_directory(shared: ScratchProject) -> None:
    """SCHED-S04: of its own, and gone afterwards; what was left in it is told."""
    shared.write(
        "flow",
        """
        @cf.task()
        def look():
            found = os.listdir()
            with open("left.txt", "w") as file:
                file.write("x" * 10)
            return [os.getcwd(), found]

        @cf.workflow()
        def main():
            return [handle.result() for handle in [look.submit(), look.submit()]]
        """,
    )
    document = shared.document("flow/main")
    (first, found_first), (second, found_second) = document["result"]
    assert found_first == found_second == []
    assert first != second
    eventually(lambda: not shared.root.joinpath(first).exists() and not shared.root.joinpath(second).exists())
    told = " ".join(shared.output(document["run"]["id"], 2))
    assert "1 file" in told
    assert "10 bytes" in told


def test_files_of_the_project_are_not_in_the_working_directory(shared: ScratchProject) -> None:
    """Behaviour 9.5: an error says where such a file is; paths of the command line are made absolute."""
    (shared.root / "data.txt").write_text("found")
    shared.write(
        "flow",
        """
        from pathlib import Path

        @cf.workflow()
        def relative():
            open("data.txt")

        @cf.workflow()
        def elsewhere():
            open("nowhere.txt")

        @cf.workflow()
        def absolute(path: Path):
            return [path.read_text(), (cf.project_dir() / "data.txt").read_text()]
        """,
    )
    assert shared.run("flow/absolute", "data.txt").value == ["found", "found"]
    assert "project_dir()" in shared.document("flow/relative")["error"]["traceback"]
    assert "project_dir()" not in shared.document("flow/elsewhere")["error"]["traceback"]


def test_submission_order_is_starting_order(shared: ScratchProject) -> None:
    """SCHED-S05."""
    shared.write(
        "flow",
        """
        @cf.task()
        def work(name):
            mark(name)

        @cf.workflow()
        def main():
            for handle in [work.submit(name) for name in "abc"]:
                handle.result()
        """,
    )
    assert shared.run(*SERIAL, "flow/main").status == 0
    assert [mark.text for mark in shared.marks()] == ["a", "b", "c"]


@pytest.mark.parametrize("delay", ["0.4", "datetime.timedelta(milliseconds=400)"])
def test_a_delay_counts_from_the_submission(shared: ScratchProject, delay: str) -> None:
    """DEFER-S01, DEFER-S02."""
    shared.write(
        "flow",
        f"""
        import datetime

        @cf.task(delay={delay})
        def child():
            mark("child")

        @cf.workflow()
        def main():
            mark("submitted")
            child()
        """,
    )
    assert shared.run("flow/main").status == 0
    [submitted], [child] = shared.marks("submitted"), shared.marks("child")
    assert child.at - submitted.at >= 0.38


def test_polling_gives_the_default_until_there_is_a_result(shared: ScratchProject) -> None:
    """SEL-S02, SEL-S03."""
    shared.write(
        "flow",
        """
        @cf.task()
        def child():
            gate("go")
            return "value"

        @cf.workflow()
        def main():
            handle, sentinel = child.submit(), object()
            early = [handle.poll(), handle.poll(default=sentinel) is sentinel, handle.poll(0.05, default="late")]
            mark("polled")
            return [*early, handle.poll(20), handle.poll(default=sentinel)]
        """,
    )
    process = shared.start("run", "--no-ui", "flow/main")
    shared.marked("polled")
    shared.open_gate("go")
    assert shared.finish(process).value == [None, True, "late", "value", "value"]


def test_groups_tag_direct_submissions(shared: ScratchProject) -> None:
    """GROUP-S01, GROUP-S02, GROUP-S03."""
    shared.write(
        "flow",
        """
        @cf.task()
        def leaf(name):
            return name

        @cf.task()
        def outer(name):
            return leaf(f"below {name}")

        @cf.workflow()
        def main():
            with cf.group("a"):
                leaf("in a")
                with cf.group("b"):
                    outer("in b")
                leaf("in a again")
            for _ in range(2):
                with cf.group("x"):
                    leaf("in x")
            leaf("in none")
        """,
    )
    document = shared.document("flow/main")
    groups = {step["arguments"][0]: step["group"] for step in document["steps"][1:]}
    a, b = groups["'in a'"], groups["'in b'"]
    assert (a["name"], a["parent"]) == ("a", None)
    assert (b["name"], b["parent"]) == ("b", a["number"])
    assert groups["'in a again'"] == a
    assert groups["'below in b'"] is None
    assert groups["'in none'"] is None
    first, second = [step["group"] for step in document["steps"] if step["arguments"] == ["'in x'"]]
    assert first["name"] == second["name"] == "x"
    assert first["number"] != second["number"]


def test_threads_submit_and_wait_without_mixing_up_replies(shared: ScratchProject) -> None:
    """Behaviour 2.1: with the context copied, threads submit into the group they were started in."""
    shared.write(
        "flow",
        """
        import contextvars
        from concurrent.futures import ThreadPoolExecutor

        @cf.task()
        def double(x):
            return 2 * x

        @cf.workflow()
        def main():
            with ThreadPoolExecutor(8) as pool, cf.group("pool"):
                futures = [pool.submit(contextvars.copy_context().run, double, x) for x in range(40)]
                return [future.result() for future in futures]
        """,
    )
    document = shared.document("flow/main")
    assert document["result"] == [2 * x for x in range(40)]
    assert {step["group"]["name"] for step in document["steps"][1:]} == {"pool"}


def test_fibonacci_at_concurrency_one(serial: ScratchProject) -> None:
    """A tree of 465 calls, each waiting for two: the processes stay as few as the tree is deep."""
    serial.write(
        "flow",
        """
        @cf.task()
        def fib(n):
            if n < 2:
                return n
            left = fib.submit(n - 1)
            return fib(n - 2) + left.result()

        @cf.workflow()
        def main(n: int):
            mark("main")
            value = fib(n)
            gate("go")
            return value
        """,
    )
    process = serial.start("run", "--no-ui", "flow/main", "12")
    most = 0
    serial.marked("main")
    serial.open_gate("go")
    while process.poll() is None:
        most = max(most, len(workers(serial)))
    assert serial.finish(process).value == 144
    assert 2 <= most <= 12 + 8


def test_a_child_that_waits_for_what_its_parent_does_next_does_not_hold_it_up(serial: ScratchProject) -> None:
    """After many quick children some start before their parent is told of the last: not for long, if they are slow."""
    serial.write(
        "flow",
        """
        @cf.task()
        def item(number, flag):
            while number >= 15 and not os.path.exists(flag):
                time.sleep(0.005)
            return number

        @cf.workflow()
        def main(flag):
            items = [item.submit(number, flag) for number in range(30)]
            total = sum(handle.result() for handle in items[:15])
            open(flag, "w").close()
            return total + sum(handle.result() for handle in items[15:])
        """,
    )
    assert serial.run("flow/main", str(serial.root / "flag")).value == sum(range(30))


def test_a_chain_of_500_calls_at_concurrency_one(serial: ScratchProject) -> None:
    """One process for each that waits, each of them mostly shared memory."""
    serial.write(
        "flow",
        """
        @cf.task()
        def link(n):
            if n == 0:
                mark("bottom")
                gate("go")
                return 0
            return 1 + link(n - 1)

        @cf.workflow()
        def main(n: int):
            return link(n)
        """,
    )
    process = serial.start("run", "--no-ui", "flow/main", "499")
    serial.marked("bottom", timeout=60.0)
    chain = workers(serial)
    used = sum(worker.memory_full_info().pss for worker in chain)
    serial.open_gate("go")
    assert serial.finish(process).value == 499
    assert 501 <= len(chain) <= 501 + 8
    assert used < 3 << 30


def test_a_call_that_nests_too_deep_fails(tmp_path: Path) -> None:
    """Behaviour 2.5: with the chain shown, instead of processes without end."""
    with scratch_project(tmp_path / "project", max_depth=5) as project:
        project.write(
            "flow",
            """
            @cf.task()
            def down(n):
                mark("down")
                return down(n + 1)

            @cf.workflow()
            def main():
                down(1)
            """,
        )
        document = project.document("flow/main")
        assert document["run"]["status"] == "failed"
        assert "down" in document["error"]["message"]
        assert "5" in document["error"]["message"]
        assert len(project.marks("down")) <= 5


def test_polling_does_not_wait_for_itself(serial: ScratchProject) -> None:
    """Behaviour 2.5: a poll without a timeout keeps its slot, so what it asks for starts over the limit."""
    serial.write(
        "flow",
        """
        @cf.task()
        def child():
            return "done"

        @cf.workflow()
        def main():
            handle = child.submit()
            while (value := handle.poll()) is None:
                time.sleep(0.01)
            return value
        """,
    )
    assert serial.run("flow/main").value == "done"


def workers(project: ScratchProject) -> list[psutil.Process]:
    """The processes below the module host."""
    try:
        below = psutil.Process(project.supervisor_pid()).children(recursive=True)
        parents = {process.ppid() for process in below}
        hosts = {process.pid for process in below if process.pid in parents}
        return [process for process in below if process.pid not in hosts]
    except psutil.NoSuchProcess:
        return []


def test_random_seeds_differ_between_executions(shared: ScratchProject) -> None:
    """Forked processes would repeat their numbers."""
    shared.write(
        "flow",
        """
        import random
        import numpy

        @cf.task()
        def draw():
            return random.getrandbits(64), int(numpy.random.randint(1 << 62))

        @cf.workflow()
        def main():
            return [handle.result() for handle in [draw.submit() for _ in range(10)]]
        """,
    )
    ours, numpys = zip(*shared.run("flow/main").value, strict=True)
    assert len(set(ours)) == len(set(numpys)) == 10


def test_what_an_execution_changes_in_its_process_does_not_leak(shared: ScratchProject) -> None:
    """A reused process has its environment, directory, umask, `sys.path`, recursion limit and streams restored."""
    shared.write(
        "flow",
        """
        def state():
            umask = os.umask(0o22)
            os.umask(umask)
            environment = [name for name in os.environ if name.startswith("LEAK")]
            streams = [type(sys.stdout).__name__, type(sys.stderr).__name__]
            return [environment, "PATH" in os.environ, umask, "/leak" in sys.path, sys.getrecursionlimit(), streams]

        @cf.task()
        def change():
            os.environ["LEAK"] = "1"
            del os.environ["PATH"]
            os.putenv("LEAK_OF_C", "1")
            os.umask(0o77)
            sys.path.insert(0, "/leak")
            sys.setrecursionlimit(5000)
            sys.stdout = open(os.devnull, "w")
            os.chdir("/tmp")
            return os.getpid()

        @cf.task()
        def look():
            return os.getpid(), os.path.realpath(os.getcwd()), state()

        @cf.workflow()
        def main():
            before = look()
            return [before, change(), look()]
        """,
    )
    (_, _, clean), changer, (reader, directory, after) = shared.run(*SERIAL, "flow/main").value
    assert changer == reader
    assert after == clean
    assert directory != "/tmp"


def test_a_worker_that_is_left_unclean_is_not_reused(shared: ScratchProject) -> None:
    """Threads, child processes and signal handlers cannot be undone: the next execution gets another process."""
    shared.write(
        "flow",
        """
        import signal, subprocess, threading

        @cf.task()
        def leave(what):
            if what == "thread":
                threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
            elif what == "child":
                subprocess.Popen(["sleep", "60"])
            elif what == "handler":
                signal.signal(signal.SIGUSR1, lambda *_: None)
            return os.getpid()

        @cf.workflow()
        def main():
            return {what: leave(what) == leave("nothing") for what in ("nothing", "thread", "child", "handler")}
        """,
    )
    reused = shared.run(*SERIAL, "flow/main").value
    assert reused == {"nothing": True, "thread": False, "child": False, "handler": False}


def test_a_long_run_does_not_starve_a_short_one(serial: ScratchProject) -> None:
    """Behaviour 2.5: slots are shared fairly between runs."""
    serial.write(
        "flow",
        """
        @cf.task()
        def item(n):
            mark(f"item {n}")
            if n == 0:
                gate("go")
            return n

        @cf.workflow()
        def long():
            return sum(handle.result() for handle in [item.submit(n) for n in range(40)])

        @cf.workflow()
        def short():
            mark("short")
            return "short"
        """,
    )
    long = serial.start("run", "--no-ui", "flow/long")
    serial.marked("item 0")
    short = serial.detach("flow/short")
    serial.open_gate("go")
    assert serial.finish(long).value == 780
    assert kinds(serial.settled(short), "short") == [["succeeded"]]
    order = [mark.text for mark in serial.marks()]
    assert order.index("short") <= 3
