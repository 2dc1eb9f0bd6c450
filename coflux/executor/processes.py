"""The few things about processes that Python has no function for. Linux does them all; elsewhere they do nothing."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Collection

__all__ = ["become_subreaper", "children", "die_with_parent", "has_children", "kill_strays", "reap"]

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


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Be sent that signal when the parent ends; at once if it has ended already."""
    _prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def children() -> list[int]:
    """The pids of this process's children, adopted ones included. The process must have one thread."""
    pid = os.getpid()
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(word) for word in file.read().split()]
    except FileNotFoundError:
        import psutil

        return [child.pid for child in psutil.Process().children()]


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
