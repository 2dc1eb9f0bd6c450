"""`coflux dev --demo`: a project that is there while the dashboard shows it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from coflux.executor.client import Client, ConnectionLost, EngineError
from coflux.executor.requests import Stop
from coflux.project import Project, find_project

__all__ = ["demo_project"]

PATIENCE = 10.0  # seconds that the engine has to end


@contextmanager
def demo_project() -> Iterator[tuple[Project, str]]:
    """A new project in a temporary directory, and the file in it, which is a copy of `coflux.demo`: it is a file like
    the user's own, to be read and changed. At the end the engine is stopped, with all that runs, and the directory
    removed."""
    import coflux

    directory = tempfile.mkdtemp(prefix="coflux-demo-")
    try:
        file = os.path.join(directory, "demo.py")
        shutil.copyfile(os.path.join(os.path.dirname(os.path.abspath(coflux.__file__)), "demo.py"), file)
        with open(os.path.join(directory, "coflux.toml"), "w"):
            pass  # what makes a directory the root of a project
        project = find_project(directory, os.path.join(directory, ".coflux"))
        try:
            yield project, file
        finally:
            _stop(project)
    finally:
        shutil.rmtree(directory)


def _stop(project: Project) -> None:
    """Have the engine cancel everything and end, and wait for that."""
    try:
        client = Client.connect(project, "command", start=False)
    except EngineError:
        return  # there is none
    with client, suppress(ConnectionLost):
        client.request(Stop(client.next_request(), cancel=True))
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and not _has_ended(client.supervisor_pid):
        time.sleep(0.01)


def _has_ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid  # the dashboard has started it: somebody must take note
    except ChildProcessError:
        pass  # another process has
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
