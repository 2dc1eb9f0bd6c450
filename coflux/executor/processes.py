"""The few things about processes that Python has no function for. Linux does them all; elsewhere they do nothing."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Collection

__all__ = ["become_subreaper", "children", "die_with_parent", "has_children", "kill_strays", "reap", "tree_usage"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    if sys.platform != "linux":
        return
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl({option}): {os.strerror(error)}")


def become_subreaper() -> None:
    """Adopt whatever descendants outlive their parents, instead of leaving them to init."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Be killed when the parent ends; at once if it has ended already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def children() -> list[int]:
    """The pids of this process's children, adopted ones included. The process must have one thread."""
    pid = os.getpid()
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        import psutil

        return [child.pid for child in psutil.Process().children()]


def tree_usage(pid: int) -> tuple[float, int]:
    """What a process and all below it use: CPU seconds so far, with those of processes that have ended and were waited
    for, and resident bytes, shared ones counted in each. What ends meanwhile is left out."""
    if sys.platform != "linux":
        return _tree_usage_elsewhere(pid)
    ticks = pages = 0
    pids = [pid]
    while pids:
        one = pids.pop()
        try:
            with open(f"/proc/{one}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()  # the name before may hold anything
            ticks += sum(map(int, fields[11:15]))
            pages += int(fields[21])
            for thread in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{thread}/children", "rb") as file:
                    pids += map(int, file.read().split())
        except (FileNotFoundError, ProcessLookupError):
            pass
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE")


def _tree_usage_elsewhere(pid: int) -> tuple[float, int]:
    import psutil

    seconds, size = 0.0, 0
    process = psutil.Process(pid)
    for one in (process, *process.children(recursive=True)):
        try:
            times = one.cpu_times()
            seconds += times.user + times.system
            size += one.memory_info().rss
        except psutil.Error:
            pass
    return seconds, size


def has_children() -> bool:
    """Whether any child exists, running or not waited for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def reap(exited: Callable[[int, int], None]) -> None:
    """Wait for every child that has ended, and tell of each."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        exited(pid, status)


def kill_strays(keep: Collection[int], exited: Callable[[int, int], None], limit: float = 10.0) -> bool:
    """Kill all children but `keep`, and what they leave behind, until there are none. False if some will not go.

    A killed child's own children are adopted here, so this goes on until nothing is adopted any more.
    """
    deadline = time.monotonic() + limit
    pause = 0.0005
    while True:
        reap(exited)
        strays = [pid for pid in children() if pid not in keep]
        if not strays:
            return True
        if time.monotonic() > deadline:
            return False
        for pid in strays:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(pause)
        pause = min(pause * 2, 0.02)
