"""Starting a supervisor: its own process, session and log, guarded by a lock that dies with it.

The client that starts it hands it one end of a socket pair, so it can speak before the supervisor listens.
"""

from __future__ import annotations

import fcntl
import gc
import os
import socket
import sys
import time
from typing import NamedTuple

from coflux.errors import ClientError
from coflux.executor.signals import OWN_FAULT
from coflux.executor.spawning import ChildProcess, start_python
from coflux.project import ConfigError, Project, find_project

__all__ = ["EngineError", "Launched", "engine_runs", "launch", "launch_ahead", "launched_ahead", "main"]

LAST_WORDS = 4096  # bytes that are looked at
LOCK_PATIENCE = 15.0  # seconds that a starter waits for a supervisor that is leaving


class EngineError(ClientError):
    """The supervisor cannot be started or used. One line, for people."""


class Launched(NamedTuple):
    """A supervisor that was started, and a connection to it. What it writes is in the file `log` from `log_start` on,
    in bytes."""

    connection: socket.socket
    process: ChildProcess
    log: str
    log_start: int

    def last_words(self) -> str:
        """The last line that it wrote, "" for none."""
        with open(self.log, "rb") as file:
            file.seek(self.log_start)
            lines = file.read()[-LAST_WORDS:].decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""


def _launch(project: Project) -> Launched:
    log = os.path.join(project.data_dir, "supervisor.log")
    try:
        project.prepare()
    except ConfigError as error:
        raise EngineError(str(error)) from None
    log_start = os.path.getsize(log) if os.path.exists(log) else 0
    ours, theirs = socket.socketpair()
    try:
        process = start_python(
            sys.executable,
            "from coflux.executor.launch import main; main()",
            [str(theirs.fileno()), project.root, project.data_dir],
            os.environ,
            keep=theirs.fileno(),
            log=log,
        )
    except OSError as error:
        raise EngineError(f"the engine cannot be started with {sys.executable}: {error.strerror}") from None
    finally:
        theirs.close()
    return Launched(ours, process, log, log_start)


_ahead: tuple[str, Launched] | None = None  # with its data directory


def launch_ahead(project: Project) -> None:
    """Start a supervisor that the next `launch` for the same project takes. Raises `EngineError`."""
    global _ahead
    _ahead = (project.data_dir, _launch(project))


def launched_ahead(project: Project) -> bool:
    """Whether a supervisor was started ahead for this project, and has not been taken."""
    return _ahead is not None and _ahead[0] == project.data_dir


def launch(project: Project) -> Launched:
    """Start a supervisor, or take the one that was started ahead. Raises `EngineError`."""
    global _ahead
    ahead, _ahead = _ahead, None
    if ahead is not None and ahead[0] == project.data_dir:
        return ahead[1]
    return _launch(project)


def main() -> None:
    """The supervisor's process."""
    descriptor, root, data_dir = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    first = socket.socket(fileno=descriptor)
    os.chdir(root)
    project = find_project(root, data_dir)
    lock = _take_lock(os.path.join(project.data_dir, "lock"), project.socket_path)
    if lock is None:
        return  # another one runs: the client finds our end closed, and connects to that one
    guardian = _fork_guardian(lock, first)
    from coflux.executor.channel import encode, frame
    from coflux.executor.database import StoreError
    from coflux.executor.requests import Refused
    from coflux.executor.store import Store
    from coflux.executor.supervisor import Supervisor

    try:
        store = Store.open(project.data_dir)
    except StoreError as error:
        first.sendall(frame(encode(Refused(str(error), leaving=False))))
        return
    supervisor = Supervisor(project, store, _listen(project.socket_path), guardian)
    supervisor.server.attach(first)
    # What is imported stays; and a collection every 700 allocations would walk all executions again and again.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        supervisor.run()
    finally:
        _remove(project.socket_path)
    sys.stderr.flush()
    os._exit(0)  # taking the interpreter apart would take longer than all else that a leaving engine does


def _fork_guardian(lock: int, first: socket.socket) -> tuple[ChildProcess, socket.socket]:
    """The guardian for the client that started us, whose interpreter and environment we have.

    Others are started as processes of their own. This one is forked, before there is anything here that it must not
    have, since then it shares what it has to import with us: that halves the time until the first target runs. It
    closes the lock, which must not outlive us.
    """
    import coflux.executor.channel
    import coflux.executor.messages  # noqa: F401 (imported before the fork, for both)

    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid:
        theirs.close()
        return ChildProcess(pid), ours
    try:
        os.close(lock)
        first.close()
        ours.close()
        os.setsid()
        from coflux.executor import zygote

        zygote.main(theirs.detach())
    except BaseException:  # noqa: BLE001 (whatever it is, the child must not run on as a second supervisor)
        sys.excepthook(*sys.exc_info())
        os._exit(OWN_FAULT)
    os._exit(0)


def engine_runs(project: Project) -> bool:
    """Whether a supervisor has the project's data directory, be it one that starts or leaves at this moment."""
    try:
        descriptor = os.open(os.path.join(project.data_dir, "lock"), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # a starter that meets it tries again
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _take_lock(path: str, socket_path: str) -> int | None:
    """The lock on the data directory, held until this process ends; `None` when another supervisor keeps it.

    One that holds it and still listens is there to stay; one that is leaving is waited for.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline or _listens(socket_path):
                os.close(descriptor)
                return None
            time.sleep(0.02)
        else:
            return descriptor


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def _listen(path: str) -> socket.socket:
    _remove(path)
    listener = socket.socket(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(mask)
    listener.listen(128)
    return listener


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
