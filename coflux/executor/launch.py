"""Starting a supervisor: its own process, session and log, guarded by a lock that dies with it.

The client that starts it hands it one end of a socket pair, so it can speak before the supervisor listens.
"""

from __future__ import annotations

import fcntl
import gc
import os
import socket
import subprocess
import sys
import time

from coflux.project import ConfigError, Project, find_project

__all__ = ["EngineError", "launch", "main"]

LOCK_PATIENCE = 15.0  # seconds that a starter waits for a supervisor that is leaving


class EngineError(Exception):
    """The supervisor cannot be started or used. One line, for people."""


def launch(project: Project) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Start a supervisor; return a connection to it and its process. Raises `EngineError`."""
    try:
        project.prepare()
    except ConfigError as error:
        raise EngineError(str(error)) from None
    log = os.path.join(project.data_dir, "supervisor.log")
    ours, theirs = socket.socketpair()
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    code = f"import sys; sys.path.insert(0, {root!r}); from coflux.executor.launch import main; main()"
    arguments = [str(theirs.fileno()), project.root, project.data_dir]
    try:
        with open(log, "ab") as output:
            process = subprocess.Popen(
                # -P: a file in the working directory must not pass for a module of the standard library.
                [sys.executable, "-P", "-c", code, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                cwd=project.root,
            )
    except OSError as error:
        raise EngineError(
            f"the engine cannot be started: {error.filename or sys.executable}: {error.strerror}"
        ) from None
    finally:
        theirs.close()
    return ours, process


def main() -> None:
    """The supervisor's process."""
    descriptor, root, data_dir = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    first = socket.socket(fileno=descriptor)
    project = find_project(root, data_dir)
    lock = _take_lock(os.path.join(project.data_dir, "lock"), project.socket_path)
    if lock is None:
        return  # another one runs: the client finds our end closed, and connects to that one
    from coflux.executor.channel import encode, frame
    from coflux.executor.database import StoreError
    from coflux.executor.messages import Refused
    from coflux.executor.store import Store
    from coflux.executor.supervisor import Supervisor

    try:
        store = Store.open(project.data_dir)
    except StoreError as error:
        first.sendall(frame(encode(Refused(str(error), leaving=False))))
        return
    supervisor = Supervisor(project, store, _listen(project.socket_path))
    supervisor.server.attach(first)
    # What is imported stays; and a collection every 700 allocations would walk all executions again and again.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        supervisor.run()
    finally:
        _remove(project.socket_path)


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
