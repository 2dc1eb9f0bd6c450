"""A project directory for one test: modules, the command, marks that targets leave, gates that hold them."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from coflux.executor.client import Client, NoEngine
from coflux.executor.database import StoreError
from coflux.executor.history import History, LogEntry
from coflux.executor.requests import Done, Status, StatusReport, Stop
from coflux.project import Project, find_project

COMMAND = (sys.executable, "-m", "coflux")
LIMIT = 60.0  # seconds that a command may take
SLACK = 3.0  # what a time limit of a test is multiplied with: the machine may be busy

# A frame of the engine or the command line in what a user gets to see.
_INTERNAL_FRAME = re.compile(r'File "[^"]*/coflux/(?:cli|executor)/')


def eventually(predicate: Callable[[], Any], timeout: float = 10.0, interval: float = 0.01) -> Any:
    """Wait until `predicate()` is true, and return what it returned."""
    deadline = time.monotonic() + timeout
    while True:
        value = predicate()
        if value:
            return value
        assert time.monotonic() < deadline, f"not true within {timeout} s: {predicate}"
        time.sleep(interval)


class Mark(NamedTuple):
    """One line that a target left with `mark(text)`."""

    text: str
    at: float  # monotonic seconds
    pid: int


class Finished(NamedTuple):
    """A command that has ended: its exit status and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """What was printed as the result."""
        assert self.out, self.err
        return json.loads(self.out)


PRELUDE = """
import os, sys, time
import coflux as cf

def mark(text):
    line = f"{text}\\t{time.monotonic()}\\t{os.getpid()}\\n"
    descriptor = os.open(os.environ["COFLUX_TEST_MARKS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, line.encode())
    os.close(descriptor)

def attempt(name):
    "Mark `name`, and return how often it has been marked."
    mark(name)
    with open(os.environ["COFLUX_TEST_MARKS"]) as file:
        return sum(line.startswith(name + "\\t") for line in file)

def gate(name, timeout=30):
    "Wait until the test opens the gate."
    path = os.path.join(os.environ["COFLUX_TEST_GATES"], name)
    deadline = time.monotonic() + timeout
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise TimeoutError(f"gate {name} was never opened")
        time.sleep(0.005)
"""


# A client of no run: the engine stays as long as it is attached.
HOLDER = """
import sys
from coflux.executor.client import Client
from coflux.project import find_project

with Client.connect(find_project(), "command"):
    print("attached", flush=True)
    sys.stdin.read()
"""


class ScratchProject:
    """A project directory for one test, or for the tests of one file. `write` makes modules, `run` runs them.

    `settings` are those of the engine: `concurrency=1` becomes `COFLUX_CONCURRENCY=1`.
    """

    def __init__(self, root: Path, **settings: object) -> None:
        self.root = root
        self._marks = root / "marks.txt"
        self._gates = root / "gates"
        self._gates.mkdir(parents=True)
        self.temporary = root.parent / "tmp"
        self.temporary.mkdir(exist_ok=True)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("COFLUX_")},
            "COFLUX_TEST_MARKS": str(self._marks),
            "COFLUX_TEST_GATES": str(self._gates),
            "COFLUX_CONCURRENCY": "8",
            "TMPDIR": str(self.temporary),
            **{f"COFLUX_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self._started: list[subprocess.Popen[str]] = []

    @property
    def project(self) -> Project:
        return find_project(str(self.root))

    def write(self, name: str, source: str, *, prelude: bool = True) -> Path:
        """Write a module (`name` may be a path); `mark`, `gate` and `cf` are there already."""
        path = self.root / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((PRELUDE if prelude else "") + textwrap.dedent(source))
        return path

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start `coflux ARGUMENTS`, with its output in pipes."""
        return self._start((*COMMAND, *arguments), environment, subprocess.DEVNULL)

    def _start(self, command: Sequence[str], environment: dict[str, str], stdin: int) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment | environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def python(self, *arguments: str, stdin: str = "", **environment: str) -> Finished:
        """Run `python ARGUMENTS` in the project: a script of the user's."""
        process = self.start_python(*arguments, **environment)
        out, err = process.communicate(stdin, LIMIT)
        return Finished(process.returncode, out, err)

    def start_python(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start `python ARGUMENTS` in the project, with pipes to and from it."""
        return self._start((sys.executable, *arguments), environment, subprocess.PIPE)

    def hold(self) -> None:
        """Attach a client of no run, so that the engine stays up between commands until `close`."""
        holder = self.start_python("-c", HOLDER)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "attached\n"

    def coflux(self, *arguments: str, **environment: str) -> Finished:
        """Run `coflux ARGUMENTS` to its end."""
        return self.finish(self.start(*arguments, **environment))

    def finish(self, process: subprocess.Popen[str], timeout: float = LIMIT) -> Finished:
        """Wait for a command that was started. What it says to people must not show our own frames."""
        out, err = process.communicate(timeout=timeout)
        assert not _INTERNAL_FRAME.search(err), err
        return Finished(process.returncode, out, err)

    def drained(self, process: subprocess.Popen[str]) -> Callable[[], Finished]:
        """Read a command's output from now on, in a thread. Call what is returned to wait for its end."""
        results: list[Finished] = []
        thread = threading.Thread(target=lambda: results.append(self.finish(process)))
        thread.start()

        def finished() -> Finished:
            thread.join()
            return results[0]

        return finished

    def run(self, target: str, *arguments: str, **environment: str) -> Finished:
        """`coflux run --no-ui TARGET ARGUMENTS`."""
        return self.coflux("run", "--no-ui", target, *arguments, **environment)

    def document(self, target: str, *arguments: str, **environment: str) -> dict[str, Any]:
        """Run a target with `--json` and return the document."""
        finished = self.coflux("run", "--json", target, *arguments, **environment)
        document: dict[str, Any] = json.loads(finished.out)
        return document

    def detach(self, target: str, *arguments: str, **environment: str) -> str:
        """Start a run that nobody follows, and return its id."""
        finished = self.coflux("run", "--detach", target, *arguments, **environment)
        assert finished.status == 0, finished.err
        return finished.out.strip()

    def read(self, run: str) -> dict[str, Any]:
        """The document of a run as it is in the store now."""
        history = History.open(self.project.data_dir)
        try:
            return history.document(run)
        finally:
            history.close()

    def settled(self, run: str, timeout: float = 20.0) -> dict[str, Any]:
        """The document of a run, once nothing of it is unfinished."""

        def row() -> Any:
            history = History.open(self.project.data_dir)
            try:
                found = history.run(run)
            finally:
                history.close()
            return found is not None and found.settled

        eventually(row, timeout, 0.02)
        return self.read(run)

    def last_run(self) -> str:
        """The id of the run that was started last."""
        history = History.open(self.project.data_dir)
        try:
            return history.runs(limit=1)[0].id
        finally:
            history.close()

    def only_run(self) -> str:
        """The id of the one run that was started."""

        def rows() -> Any:
            try:
                history = History.open(self.project.data_dir)
            except StoreError:
                return []
            try:
                return history.runs()
            finally:
                history.close()

        (row,) = eventually(rows)
        run: str = row.id
        return run

    def logs(self, run: str, step: int | None = None) -> list[LogEntry]:
        """All log entries of a run, or of one step."""
        history = History.open(self.project.data_dir)
        try:
            return history.logs(run, step, limit=-1)
        finally:
            history.close()

    def output(self, run: str, step: int | None = None) -> list[str]:
        """The text of all log entries."""
        return [entry.template or "" for entry in self.logs(run, step)]

    def inspect(self, run: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.coflux("runs", "inspect", run, "--json").out)
        return document

    def marks(self, text: str | None = None) -> list[Mark]:
        """What the targets marked, in order."""
        if not self._marks.exists():
            return []
        lines = (line.split("\t") for line in self._marks.read_text().splitlines())
        marks = [Mark(what, float(at), int(pid)) for what, at, pid in lines]
        return [mark for mark in marks if text is None or mark.text == text]

    def marked(self, text: str, count: int = 1, timeout: float = 15.0) -> list[Mark]:
        """Wait until `text` has been marked `count` times; return its marks."""
        return list(eventually(lambda: len(self.marks(text)) >= count and self.marks(text), timeout))

    def open_gate(self, name: str) -> None:
        (self._gates / name).touch()

    def kill(self, process: subprocess.Popen[str], number: int = signal.SIGKILL) -> None:
        os.kill(process.pid, number)

    def clear(self) -> None:
        """Forget the marks and close the gates."""
        self._marks.unlink(missing_ok=True)
        for gate in self._gates.iterdir():
            gate.unlink()

    def processes(self) -> list[psutil.Process]:
        """Every live process that carries this project's mark in its environment, the test's own left out."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() == psutil.STATUS_ZOMBIE or process.pid == os.getpid():
                    continue
                if process.environ().get("COFLUX_TEST_MARKS") == str(self._marks):
                    found.append(process)
            except psutil.Error:
                pass
        return found

    def supervisor_pid(self) -> int:
        with Client.connect(self.project, "command", start=False) as client:
            return client.supervisor_pid

    def workers(self) -> set[int]:
        """The pids of the processes that the engine counts as its workers."""
        with Client.connect(self.project, "command", start=False) as client:
            report = client.request(Status(client.next_request()))
            assert isinstance(report, StatusReport)
            return {worker.pid for worker in report.workers}

    def stop(self) -> None:
        """Stop the engine, if one runs, cancelling what is unfinished."""
        try:
            with Client.connect(self.project, "command", start=False) as client:
                assert isinstance(client.request(Stop(client.next_request(), True)), Done)
        except NoEngine:
            pass

    def check(self) -> None:
        """The store is whole, nothing in it is unfinished, no temporary file is left, the engine met no surprise."""
        path = Path(self.project.data_dir) / "coflux.db"
        if path.is_file():
            connection = sqlite3.connect(path)
            try:
                assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
                query = "SELECT run, step, attempt FROM executions WHERE status IN ('queued', 'running')"
                assert connection.execute(query).fetchall() == []
            finally:
                connection.close()
        assert [entry.name for entry in self.temporary.iterdir() if entry.name.startswith("coflux-")] == []
        log = Path(self.project.data_dir) / "supervisor.log"
        if log.exists():
            assert "Traceback" not in log.read_text(), log.read_text()

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        self.stop()


def gaps(marks: list[Mark]) -> list[float]:
    """Seconds between each mark and the next."""
    return [later.at - earlier.at for earlier, later in pairwise(marks)]


def attempts(document: dict[str, Any], target: str) -> list[dict[str, Any]]:
    """The executions of the only step of `target`."""
    [step] = [step for step in document["steps"] if step["target"].rpartition("/")[2] == target]
    executions: list[dict[str, Any]] = step["executions"]
    return executions


def kinds(document: dict[str, Any], target: str) -> list[list[str]]:
    """The states of the attempts of each step of `target` (a name without module), in order."""
    return [
        [execution["status"] for execution in step["executions"]]
        for step in document["steps"]
        if step["target"].rpartition("/")[2] == target
    ]
