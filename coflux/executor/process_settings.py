"""Settings of a process: those that can be put back as they were, and limits, for which it is compared only."""

from __future__ import annotations

import faulthandler
import gc
import os
import resource
import signal
import socket
import sys
import threading

# What `signal` and `locale` wrap these in costs more than they do, and they are called for every execution.
from _locale import LC_ALL, setlocale
from _signal import set_wakeup_fd, setitimer  # type: ignore[import-not-found]
from collections.abc import Callable
from functools import partial
from operator import call
from typing import Any

__all__ = ["Settings", "limits", "lowest_free_descriptor", "stop_timers"]

_LIMITS = [
    getattr(resource, f"RLIMIT_{name}")
    for name in ("AS", "CPU", "DATA", "FSIZE", "NOFILE", "NPROC", "STACK")  # those that code fails by
    if hasattr(resource, f"RLIMIT_{name}")
]
_HAS_SCHEDULER = hasattr(os, "sched_getaffinity") and hasattr(os, "sched_getscheduler")
_TIMERS = tuple(int(timer) for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF))


class Settings:
    """The settings that a process has now.

    `crash` is the descriptor that `faulthandler` writes to.
    """

    def __init__(self, crash: int) -> None:
        self._values = list(map(call, _READERS))
        # These two can be read only by setting them.
        self._stack_size = threading.stack_size(0)
        self._wakeup_descriptor = set_wakeup_fd(-1)
        self._crash = crash
        self._set_blindly()

    def restore(self) -> None:
        """Put back those that were changed since."""
        self._set_blindly()
        if list(map(call, _READERS)) == self._values:
            return
        for (read, write), value in zip(_SETTINGS, self._values, strict=True):
            if read() != value:
                write(value)

    def _set_blindly(self) -> None:
        """Put back those of which it cannot be asked what they are; of `faulthandler`, where it writes to."""
        threading.stack_size(self._stack_size)
        set_wakeup_fd(self._wakeup_descriptor)
        faulthandler.enable(self._crash)


def _set_collecting(enabled: bool) -> None:
    if enabled:
        gc.enable()
    else:
        gc.disable()


_SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (sys.getrecursionlimit, sys.setrecursionlimit),
    (sys.getswitchinterval, sys.setswitchinterval),
    (sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    (sys.gettrace, sys.settrace),
    (sys.getprofile, sys.setprofile),
    (threading.gettrace, threading.settrace),
    (threading.getprofile, threading.setprofile),
    (sys.get_asyncgen_hooks, lambda hooks: sys.set_asyncgen_hooks(*hooks)),
    (gc.isenabled, _set_collecting),
    (gc.get_threshold, lambda thresholds: gc.set_threshold(*thresholds)),
    (gc.get_debug, gc.set_debug),
    (partial(setlocale, LC_ALL), partial(setlocale, LC_ALL)),
    (socket.getdefaulttimeout, socket.setdefaulttimeout),
)
"""How each is read, and how it is set."""

_READERS = [read for read, _ in _SETTINGS]


def stop_timers() -> None:
    """Stop what would send a signal to this process, or end it, later."""
    for timer in _TIMERS:
        setitimer(timer, 0)
    faulthandler.cancel_dump_traceback_later()


def limits() -> list[object]:
    """What one can lower but, without privileges, not raise again: resource limits, scheduling, CPU affinity.

    The limits are compared, at half a microsecond each, and not the calls that set them wrapped or audited: C code sets
    them, too, an audit hook is called for every other event as well, and there is no event for the scheduling policy.
    Left out are those by which hardly any code fails: of core dumps, locked memory, queues and real-time priorities.
    """
    found: list[object] = [*map(resource.getrlimit, _LIMITS), os.getpriority(os.PRIO_PROCESS, 0)]
    if _HAS_SCHEDULER:
        found += os.sched_getscheduler(0), os.sched_getaffinity(0)
    return found


def lowest_free_descriptor() -> int:
    """All below it are in use. Known in a microsecond, where counting them takes ten and more."""
    try:
        descriptor = os.dup(0)
    except OSError:
        return sys.maxsize  # none is free
    os.close(descriptor)
    return descriptor
