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
from _signal import setitimer  # type: ignore[import-not-found]
from collections.abc import Callable
from typing import Any

__all__ = ["Settings", "limits", "lowest_free_descriptor", "stop_timers"]

_LIMITS = tuple(
    getattr(resource, f"RLIMIT_{name}")
    for name in ("AS", "CPU", "FSIZE", "NOFILE")  # those that code fails by
    if hasattr(resource, f"RLIMIT_{name}")
)
_TIMERS = tuple(int(timer) for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF))


class Settings:
    """The settings that a process has now."""

    def __init__(self) -> None:
        self._values = [read() for read, _ in _SETTINGS]

    def restore(self) -> None:
        """Put back those that were changed since."""
        for (read, write), value in zip(_SETTINGS, self._values, strict=True):
            if read() != value:
                write(value)


def _trace_functions() -> tuple[object, ...]:
    return sys.gettrace(), sys.getprofile(), threading.gettrace(), threading.getprofile()


def _set_trace_functions(functions: Any) -> None:
    trace, profile, thread_trace, thread_profile = functions
    sys.settrace(trace)
    sys.setprofile(profile)
    threading.settrace(thread_trace)
    threading.setprofile(thread_profile)


def _collector() -> tuple[bool, tuple[int, int, int], int]:
    return gc.isenabled(), gc.get_threshold(), gc.get_debug()


def _set_collector(settings: Any) -> None:
    enabled, thresholds, debug = settings
    if enabled:
        gc.enable()
    else:
        gc.disable()
    gc.set_threshold(*thresholds)
    gc.set_debug(debug)


_SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (sys.getrecursionlimit, sys.setrecursionlimit),
    (sys.getswitchinterval, sys.setswitchinterval),
    (sys.get_int_max_str_digits, sys.set_int_max_str_digits),
    (_trace_functions, _set_trace_functions),
    (_collector, _set_collector),
    (lambda: setlocale(LC_ALL), lambda name: setlocale(LC_ALL, name)),
    (socket.getdefaulttimeout, socket.setdefaulttimeout),
)
"""How each is read, and how it is set."""


def stop_timers() -> None:
    """Stop what would send a signal to this process, or end it, later."""
    for timer in _TIMERS:
        setitimer(timer, 0)
    faulthandler.cancel_dump_traceback_later()


def limits() -> list[object]:
    """What one can lower but, without privileges, not raise again: resource limits, priority, CPU affinity."""
    found: list[object] = [resource.getrlimit(limit) for limit in _LIMITS]
    found.append(os.getpriority(os.PRIO_PROCESS, 0))
    if hasattr(os, "sched_getaffinity"):
        found.append(os.sched_getaffinity(0))
    return found


def lowest_free_descriptor() -> int:
    """All below it are in use. Known in a microsecond, where counting them takes ten and more."""
    try:
        descriptor = os.dup(0)
    except OSError:
        return sys.maxsize  # none is free
    os.close(descriptor)
    return descriptor
