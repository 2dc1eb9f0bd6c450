"""What an execution may not leave to the next one: its working directory, and changes to the process."""

from __future__ import annotations

import os
import resource
import signal
import sys
import threading
import time

# The enum lookups of `signal.getsignal` cost twenty times what the question does, and it is asked every time.
from _signal import getsignal, pthread_sigmask  # type: ignore[import-not-found]
from collections.abc import Collection, Mapping

from coflux.executor.capture import write_all
from coflux.executor.memory import resident_memory
from coflux.executor.process_settings import Settings, limits, lowest_free_descriptor, stop_timers
from coflux.executor.processes import children, has_children
from coflux.executor.trees import FileState, file_state, remove_tree

__all__ = ["Baseline", "WorkingDirectory", "tell"]

GROWTH_LIMIT = 512 << 20  # bytes of resident memory that executions may leave behind before the process is replaced
DESCRIPTOR_GROWTH = 64  # descriptors that they may leave open, but at most a quarter of the limit
MEMORY_CHECKS = 16  # executions between two looks at the memory

_HARMLESS_MODULES = sys.stdlib_module_names | {"coflux"}  # they change neither environment nor import path
_SIGNALS = [int(number) for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)]


class WorkingDirectory:
    """An empty directory for each execution, under a name that none had before, in one of this process's own.

    Making and removing one costs a millisecond on a journalling file system, so a directory that was left empty is
    given to the next execution, by renaming it.
    """

    def __init__(self, scratch: str) -> None:
        self.home = os.path.join(scratch, str(os.getpid()))
        self._made = 0
        self._path = ""  # while it exists and is empty
        self._entered = False  # it is the current directory, for an execution to come

    def prepare(self) -> None:
        """Have the next execution's directory ready, and be in it. Where that fails, `enter` says so."""
        self._entered = False
        try:
            self.enter()
        except OSError:
            pass

    def enter(self) -> None:
        """Be in the directory that was prepared. Raises `OSError` where none can be made."""
        if self._entered:
            return
        self._made += 1
        path = os.path.join(self.home, str(self._made))
        empty, self._path = self._path, ""
        if empty:
            os.rename(empty, path)
        else:
            os.makedirs(path, 0o700)
        os.chdir(path)
        self._path = path
        self._entered = True

    def leave(self, stored: Collection[FileState]) -> None:
        """The execution is over. What it left is thrown away, which is said, unless it is `stored` as it is."""
        if not self._path:
            return  # none could be made
        try:
            if not os.listdir(self._path) and os.stat(self._path).st_mode & 0o7777 == 0o700:
                return
        except FileNotFoundError:
            self._path = ""  # the execution removed it itself
            return
        except OSError:
            self._path = ""  # it is locked, or no descriptor is left to look into it: removed with the process
            return
        os.chdir("/")
        self._discard(stored)

    def remove(self) -> None:
        """The process ends."""
        os.chdir("/")
        try:
            remove_tree(self.home)
        except OSError:
            pass  # no descriptor is left: the supervisor removes it

    def _discard(self, stored: Collection[FileState]) -> None:
        count = size = 0
        for parent, _, files in os.walk(self._path):
            for name in files:
                try:
                    status = os.lstat(os.path.join(parent, name))
                except OSError:
                    continue  # it went away by itself, or cannot be looked at
                if file_state(status) not in stored:
                    count += 1
                    size += status.st_size
        remove_tree(self._path)
        self._path = ""
        if count:
            files_word = "file" if count == 1 else "files"
            tell(f"{count} {files_word} ({size:,} bytes) left in the working directory, discarded")


def tell(text: str) -> None:
    """Add a line to the execution's standard error."""
    write_all(2, f"coflux: {text}\n".encode("utf-8", "backslashreplace"))


class Baseline:
    """What a process is like before it runs anything, and what becomes of what an execution changes in it.

    Put back: environment and time zone, import path, umask, and what `Settings` holds. Timers are stopped. Python's
    standard streams are new for every execution, and so are context variables, decimal's context among them.

    The process is replaced for threads, child processes, signal handlers and masks (only a masked signal can be
    pending), redirected standard descriptors, lowered limits, and for descriptors or memory that have grown by more
    than a cache or a pool of connections needs. The resource tracker of `multiprocessing` is no child that counts: it
    is shared by all that follow, and ends with this process.

    It is replaced, too, when the environment or the import path was changed and modules, other than those of Python
    and coflux, were imported meanwhile: who set it cannot be told, and a module that stays without what it set serves
    nobody. So each execution finds such a module with its settings or not at all, and never those of another task.
    A task that does both each time pays with a process each time; importing at the top of its module costs nothing.

    Left alone: modules and what is in them, since a process is used again to keep just that. Warning filters,
    `sys.excepthook`, import hooks and asyncio's policy and current event loop go with them: modules that are imported
    by a task set their own, and would miss them. Timers and threads that only C knows of are not looked for, nor is
    what `os.putenv` sets behind `os.environ`, which cannot be read back.

    `crash` is the descriptor that `faulthandler` writes to.
    """

    def __init__(self, crash: int) -> None:
        self._environment = self._imported = _environment().copy()
        self._zone = _zone()
        self._path = list(sys.path)
        self._modules = set(sys.modules)
        self._umask = os.umask(0o22)
        os.umask(self._umask)
        self._settings = Settings(crash)
        self._handlers = _handlers()
        self._mask = pthread_sigmask(signal.SIG_BLOCK, ())
        self._streams = _streams()
        self._limits = limits()
        growth = min(DESCRIPTOR_GROWTH, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 4)
        self._highest_descriptor = lowest_free_descriptor() + growth
        self._memory = resident_memory()
        self._executions = 0

    def describe_terminal(self, variables: Mapping[str, str]) -> None:
        """From now on executions find these variables too, but where an import set another value."""
        described = {os.fsencode(name): os.fsencode(value) for name, value in variables.items()}
        self._environment = described | self._imported
        self._restore_environment()

    def restore(self) -> str:
        """Undo what an execution changed; return why the process must not be used again, or ""."""
        stop_timers()
        changed = self._restore_environment()
        if sys.path != self._path:
            sys.path[:] = self._path
            changed = True
        os.umask(self._umask)
        self._settings.restore()
        if len(sys.modules) != len(self._modules) and self._modules_were_added() and changed:
            return "the environment or sys.path was changed while modules were imported"
        return self._left_behind()

    def _restore_environment(self) -> bool:
        """Whether it was changed. The time zone may have been, too, and may be that of an environment of before."""
        changed = _environment() != self._environment
        if changed:
            os.environb.clear()
            os.environb.update(self._environment)
        if changed or _zone() != self._zone:
            time.tzset()
            self._zone = _zone()
        return changed

    def _modules_were_added(self) -> bool:
        """Whether there are any, since this was last asked, that may set something."""
        modules = set(sys.modules)
        added, self._modules = modules - self._modules, modules
        return any(name.partition(".")[0] not in _HARMLESS_MODULES for name in added)

    def _left_behind(self) -> str:
        if threading.active_count() > 1:
            _tell_threads()
            return "threads are still running"
        if has_children() and not _only_resource_tracker():
            return "child processes remain"
        if _handlers() != self._handlers or pthread_sigmask(signal.SIG_BLOCK, ()) != self._mask:
            return "signal handlers were changed"
        if _streams() != self._streams:
            return "its standard streams were redirected"
        if limits() != self._limits:
            return "its priority, CPU affinity or resource limits were changed"
        if lowest_free_descriptor() > self._highest_descriptor:
            return "its open descriptors have grown"
        self._executions += 1
        if self._executions % MEMORY_CHECKS == 0 and resident_memory() - self._memory > GROWTH_LIMIT:
            return "its memory has grown"
        return ""


def _environment() -> dict[bytes, bytes]:
    data: dict[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]  # the mapping itself, without decoding
    return data


def _zone() -> tuple[object, ...]:
    return time.tzname, time.timezone


def _only_resource_tracker() -> bool:
    """Whether the one child is the process by which `multiprocessing` gives shared memory and semaphores back."""
    module = sys.modules.get("multiprocessing.resource_tracker")
    return module is not None and children() == [module._resource_tracker._pid]


def _tell_threads() -> None:
    """Say in the execution's log whose work ends here unfinished."""
    threads = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    names = [thread.name for thread in threads if not thread.daemon]
    if not names:
        return
    shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
    threads_word = "thread" if len(names) == 1 else "threads"
    left = f"{len(names)} {threads_word} ({shown}) still running at the end"
    tell(f"{left}, killed with the process: join before returning")


def _streams() -> list[object]:
    """What the descriptors of the standard streams lead to: inode and device."""
    try:
        return [os.fstat(0)[1:3], os.fstat(1)[1:3], os.fstat(2)[1:3]]
    except OSError:
        return []  # one is closed


def _handlers() -> list[object]:
    return list(map(getsignal, _SIGNALS))
