"""Modules that a fork does not become: workers are spawned instead, and whoever made what it may not share is told."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import textwrap
from pathlib import Path
from typing import Any

import psutil
import pytest

from coflux.executor.fork_safety import reason_not_to_fork
from tests.engine.conftest import scratch_project
from tests.engine.scratch import Finished, ScratchProject, eventually

WORKFLOW = textwrap.dedent("""
    @cf.task()
    def spawned():
        with open("/proc/self/cmdline") as file:
            return "coflux.executor.worker" in file.read()

    @cf.workflow()
    def main():
        return counted(3)

    @cf.task()
    def counted(count: int):
        return [handle.result() for handle in [spawned.submit() for _ in range(count)]]
""")


def write_flow(project: ScratchProject, source: str) -> Path:
    return project.write("flow", textwrap.dedent(source) + WORKFLOW)


def warnings(finished: Finished) -> list[str]:
    return [line for line in finished.err.splitlines() if line.startswith("warning: ")]


def findings(finished: Finished) -> dict[str, dict[str, Any]]:
    return {finding["subject"]: finding for finding in json.loads(finished.out)["findings"]}


@pytest.mark.parametrize("words", [("flow/main",), ("flow/counted", "3")], ids=["without words", "with words"])
@pytest.mark.parametrize(
    ("hook", "evidence"),
    [
        ("after_in_child=lambda: os._exit(3)", "exit code 3"),
        ("after_in_child=crash", "SIGSEGV"),
        ("after_in_parent=crash", "SIGSEGV"),
    ],
)
def test_where_a_forked_process_dies_workers_are_spawned(
    project: ScratchProject, hook: str, evidence: str, words: tuple[str, ...]
) -> None:
    """With words there is a process before the run, which reads them."""
    flow = write_flow(
        project,
        f"""
        import ctypes

        def crash():
            ctypes.string_at(0)

        os.register_at_fork({hook})
        """,
    )
    finished = project.run(*words)
    assert finished.value == [True] * 3, finished.err
    [warning] = warnings(finished)
    assert warning.startswith("warning: the workers of flow are spawned, not forked: ")
    assert evidence in warning
    if hook == "after_in_child=crash":
        assert re.search(rf"at {re.escape(str(flow))}:\d+ in crash$", warning.partition(" (")[0]), warning


@pytest.mark.parametrize("hook", ["after_in_child", "before"])
def test_where_a_fork_hangs_workers_are_spawned(project: ScratchProject, hook: str) -> None:
    write_flow(
        project,
        f"""
        def wait_for_ever():
            mark("hang")
            while True:
                time.sleep(60)

        os.register_at_fork({hook}=wait_for_ever)
        """,
    )
    running = project.start("run", "--no-ui", "flow/main")
    (hung, *_) = project.marked("hang")
    finished = project.finish(running)
    assert finished.value == [True] * 3, finished.err
    [warning] = warnings(finished)
    assert warning.startswith("warning: the workers of flow are spawned, not forked: ")
    assert "10 s" in warning
    assert not psutil.pid_exists(hung.pid)


def test_spawned_workers_that_die_as_well_fail_the_step_with_the_evidence(project: ScratchProject) -> None:
    write_flow(
        project,
        """
        if "coflux.executor.worker" in open("/proc/self/cmdline").read():
            os._exit(5)
        os.register_at_fork(after_in_child=lambda: os._exit(3))
        """,
    )
    finished = project.run("flow/main")
    assert finished.status == 1
    assert len(warnings(finished)) == 1
    assert "a spawned worker: the process ended with exit code 5" in finished.err


def test_a_worker_killed_from_outside_says_nothing_about_forks(project: ScratchProject) -> None:
    """A process that is killed before it is ready is replaced, by a fork again."""
    write_flow(
        project,
        """
        def wait_in_first():
            if attempt("forked") == 1:
                gate("killed")

        os.register_at_fork(after_in_child=wait_in_first)
        """,
    )
    running = project.start("run", "--no-ui", "flow/main")
    (victim, *_) = project.marked("forked")
    os.kill(victim.pid, signal.SIGKILL)
    finished = project.finish(running)
    assert (finished.value, warnings(finished)) == ([False] * 3, [])


SHARED = textwrap.dedent("""
    import asyncio, socket, sqlite3
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

    class Database:
        def __init__(self):
            self.connection = sqlite3.connect(":memory:")

    database = Database()
    pool = [socket.socket(), socket.socket()]
    numbers = (n for n in range(3))
    loop = asyncio.new_event_loop()
    processes = ProcessPoolExecutor(1)
    written = open(os.path.join(os.environ["TMPDIR"], "written"), "w")

    # None of these is in anybody's way.
    closed = socket.socket(); closed.close()
    spent = (n for n in ()); list(spent)
    threads = ThreadPoolExecutor(1)
    null = open(os.devnull, "w")
    out = sys.stdout
""")
NAMED = [
    ("database.connection", "SQLite connection"),
    ("loop", "event loop"),
    ("numbers", "generator"),
    ("pool[0]", "socket"),
    ("pool[1]", "socket"),
    ("processes", "process pool"),
    ("written", "open file"),
]


@pytest.fixture
def sharing(project: ScratchProject) -> ScratchProject:
    project.write("resources", SHARED)
    write_flow(project, "from resources import database, loop")
    project.hold()
    return project


def test_what_workers_would_share_is_named_once(sharing: ScratchProject) -> None:
    finished = sharing.run("flow/main")
    assert finished.value == [False] * 3
    [warning] = warnings(finished)
    for name, kind in NAMED[:5]:
        assert f"resources.{name} ({kind})" in warning
    assert "and 2 more" in warning
    assert "inside the task" in warning
    assert 'start_method = "spawn"' in warning
    assert warnings(sharing.run("flow/main")) == []  # the same generation


def test_doctor_names_all_that_workers_would_share(sharing: ScratchProject) -> None:
    finished = sharing.coflux("doctor", "--json")
    assert finished.status == 0, finished.out
    shared = [finding for finding in json.loads(finished.out)["findings"] if finding["subject"] == "shared"]
    assert [finding["value"] for finding in shared] == [
        f"resources.{name}: {kind} ({sharing.root}/resources.py)" for name, kind in NAMED
    ]
    assert all("inside the task" in finding["warning"] for finding in shared)


def test_spawned_workers_share_nothing(tmp_path: Path) -> None:
    with scratch_project(tmp_path / "project", start_method="spawn") as project:
        write_flow(project, SHARED)
        finished = project.run("flow/main")
        assert (finished.value, warnings(finished)) == ([True] * 3, [])


def test_a_connection_that_no_module_holds_is_named_by_its_peer(project: ScratchProject) -> None:
    """As a driver keeps it, deep in an object of its own."""
    write_flow(
        project,
        """
        import socket

        keep = lambda connection=socket.create_connection(("127.0.0.1", int(os.environ["PORT"]))): connection
        """,
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        [warning] = warnings(project.run("flow/main", PORT=str(port)))
    assert f"a connection to 127.0.0.1:{port} (socket)" in warning


@pytest.mark.parametrize("device", ["/dev/nvidia-uvm", "/dev/kfd"])
def test_what_is_on_a_gpu_rules_forks_out(device: str) -> None:
    reason = reason_not_to_fork(("flow",), ["/dev/null", device])
    assert reason.startswith(f"importing flow opened {device}")
    assert reason_not_to_fork(("flow",), ["/dev/null", "/dev/nvidiactl"]) == ""  # looking at a GPU is harmless


def test_doctor_tries_a_worker_out(project: ScratchProject) -> None:
    write_flow(project, "os.register_at_fork(after_in_child=lambda: os._exit(3))")
    found = findings(project.coflux("doctor", "--json"))
    assert found["workers"]["value"] == "spawned"
    assert "exit code 3" in found["workers"]["warning"]


def test_doctor_tells_of_threads(project: ScratchProject) -> None:
    write_flow(
        project,
        """
        import threading
        threading.Thread(target=time.sleep, args=(1000,), name="poller", daemon=True).start()
        """,
    )
    finished = project.coflux("doctor", "--json")
    assert finished.status == 0
    workers = findings(finished)["workers"]
    assert workers["value"] == "spawned"
    assert "importing flow started a thread (poller)" in workers["warning"]
    [warning] = warnings(project.run("flow/main"))
    assert "importing flow started a thread (poller)" in warning


def test_doctor_names_the_place_of_a_syntax_error(project: ScratchProject) -> None:
    flow = project.write("flow", "import coflux\n\ndef main(:\n", prelude=False)
    project.write("fine", "@cf.workflow()\ndef main():\n    return 1\n")
    finished = project.coflux("doctor", "--json")
    assert finished.status == 1
    found = findings(finished)
    assert found["modules"]["value"] == "2 modules, 1 target"
    assert found["module"]["value"] == "flow"
    assert found["module"]["problem"].startswith(f"{flow}:3: SyntaxError")
    assert found["workers"]["value"] == "forked"


def test_doctor_finds_the_modules_that_spoil_it_for_all(project: ScratchProject) -> None:
    """Imported together, they would all be said to end the process, and to need other workers."""
    ending = project.write("ending", "os._exit(4)\n")
    threaded = project.write("threaded", "import threading\nthreading.Thread(target=time.sleep, args=(99,)).start()\n")
    project.write("fine", "@cf.workflow()\ndef main():\n    return 1\n")
    finished = project.coflux("doctor", "--json")
    assert finished.status == 1
    found = [tuple(finding.values()) for finding in json.loads(finished.out)["findings"]]
    assert ("modules", "3 modules, 1 target", "", "") in found
    [(_, module, problem, _)] = [finding for finding in found if finding[0] == "module"]
    assert module == ending.stem
    assert "exit code 4" in problem
    workers = [finding for finding in found if finding[0] == "workers"]
    assert [finding[1] for finding in workers] == ["forked", f"spawned for {threaded}"]
    assert "importing threaded started a thread" in workers[1][3]


def test_doctor_tells_it_in_words(sharing: ScratchProject) -> None:
    finished = sharing.coflux("doctor")
    assert finished.status == 0
    lines = finished.out.splitlines()
    assert f"shared:        resources.numbers: generator ({sharing.root}/resources.py)" in lines
    assert lines[-1] == f"0 problems, {len(NAMED)} warnings"


def test_doctor_leaves_nothing_running(project: ScratchProject) -> None:
    project.write("flow", "@cf.workflow()\ndef main():\n    return 1\n")
    assert project.coflux("doctor").status == 0
    eventually(lambda: not project.processes())
