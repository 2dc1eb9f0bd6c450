"""What an execution may not leave to the next one: its working directory, and changes to the process."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading

# The enum lookups of `signal.getsignal` cost twenty times what the question does, and it is asked every time.
from _signal import getsignal, pthread_sigmask  # type: ignore[import-not-found]

from coflux.executor.processes import has_children
from coflux.executor.trees import remove_tree

__all__ = ["Baseline", "WorkingDirectory"]

GROWTH_LIMIT = 512 << 20  # bytes of resident memory that executions may leave behind before the process is replaced
MEMORY_CHECKS = 16  # executions between two looks at the memory

_SIGNALS = [int(number) for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)]


class WorkingDirectory:
    """An empty directory for each execution, under the execution's name.

    Making and removing one costs a millisecond on a journalling file system, so a directory that was left empty is
    given to the next execution, by renaming it.
    """

    def __init__(self, scratch: str) -> None:
        self._scratch = scratch
        self._path = ""  # of the last execution's directory, while it exists and is empty

    def enter(self, execution: str) -> None:
        """Make it the current directory."""
        path = os.path.join(self._scratch, execution.replace(":", "."))
        if self._path:
            os.rename(self._path, path)
        else:
            os.mkdir(path, 0o700)
        os.chdir(path)
        self._path = path

    def leave(self) -> None:
        """The execution is over. What it left is thrown away, which is said."""
        os.chdir("/")
        try:
            if not os.listdir(self._path) and os.stat(self._path).st_mode & 0o7777 == 0o700:
                return
        except FileNotFoundError:
            self._path = ""  # the execution removed it itself
            return
        self._discard()

    def remove(self) -> None:
        """The process ends."""
        if self._path:
            remove_tree(self._path)

    def _discard(self) -> None:
        count = size = 0
        for parent, _, files in os.walk(self._path):
            for name in files:
                count += 1
                try:
                    size += os.lstat(os.path.join(parent, name)).st_size
                except OSError:
                    pass  # it went away by itself
        remove_tree(self._path)
        self._path = ""
        if count:
            files_word = "file" if count == 1 else "files"
            text = f"coflux: {count} {files_word} ({size:,} bytes) left in the working directory, discarded\n"
            os.write(2, text.encode())


class Baseline:
    """What a process is like before it runs anything. `restore` puts back what can be put back."""

    def __init__(self) -> None:
        self._environment = _environment().copy()
        self._path = list(sys.path)
        self._umask = os.umask(0o22)
        os.umask(self._umask)
        self._recursion_limit = sys.getrecursionlimit()
        self._handlers = _handlers()
        self._mask = pthread_sigmask(signal.SIG_BLOCK, ())
        self._streams = _streams()
        self._memory = _resident_memory()
        self._executions = 0

    def restore(self) -> str:
        """Undo what an execution changed; return why the process must not be used again, or ""."""
        if _environment() != self._environment:
            os.environb.clear()
            os.environb.update(self._environment)
        if sys.path != self._path:
            sys.path[:] = self._path
        os.umask(self._umask)
        sys.setrecursionlimit(self._recursion_limit)
        return self._left_behind()

    def _left_behind(self) -> str:
        if threading.active_count() > 1:
            names = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
            return f"threads are still running: {', '.join(names[:3])}"
        if has_children():
            return "child processes remain"
        if _handlers() != self._handlers or pthread_sigmask(signal.SIG_BLOCK, ()) != self._mask:
            return "signal handlers were changed"
        if _streams() != self._streams:
            return "its standard streams were redirected"
        self._executions += 1
        if self._executions % MEMORY_CHECKS == 0 and _resident_memory() - self._memory > GROWTH_LIMIT:
            return "its memory has grown"
        return ""


def _environment() -> dict[bytes, bytes]:
    data: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]  # the mapping itself, without decoding
    return data


def _streams() -> list[tuple[int, int]]:
    """What the descriptors of the standard streams lead to."""
    leads = []
    for descriptor in (0, 1, 2):
        try:
            status = os.fstat(descriptor)
        except OSError:
            continue  # closed: one lead less is a difference, too
        leads.append((status.st_dev, status.st_ino))
    return leads


def _handlers() -> list[object]:
    return [getsignal(number) for number in _SIGNALS]


def _resident_memory() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * resource.getpagesize()
    except FileNotFoundError:
        return 0
