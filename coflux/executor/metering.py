"""What each execution of a worker uses, as the worker itself sees it."""

from __future__ import annotations

import os
import resource
import sys

from coflux.executor.memory import MARK_UNIT, PeakMemory
from coflux.executor.messages import Usage

__all__ = ["Meter"]

BLOCK = 512  # bytes that the kernel counts as one


class Meter:
    """Tells executions of this process apart by what the kernel has counted before each.

    Processes that an execution started count once they were waited for: their CPU time and what they read and wrote,
    and the most memory that one of them had. The supervisor, which samples the whole tree, sees those that were not,
    and what all had together (`coflux.executor.sampling`).

    What is used between two executions, which is little, counts for the later one: so the sum is all that there was,
    and the supervisor knows from it what a process had used before the execution that it is killed in.

    The kernel counts what is read from storage, not from its cache, and what is given to it to be written there. One
    execution pays for two `getrusage`, some 2 µs.
    """

    def __init__(self) -> None:
        self._peak_memory = PeakMemory()
        # Elsewhere the numbers are of operations, whatever their size, and without the file nothing is counted.
        self._counts_blocks = sys.platform == "linux" and os.path.exists("/proc/self/io")
        self._own, self._children = _used()

    def begin(self) -> None:
        """The next execution is about to begin."""
        self._peak_memory.begin()

    def of_execution(self) -> Usage:
        """What was used since this was last asked."""
        (own, children), before, children_before = _used(), self._own, self._children
        self._own, self._children = own, children
        peak = self._peak_memory.of_execution(own)
        seconds = own.ru_utime + own.ru_stime - before.ru_utime - before.ru_stime
        read, written = own.ru_inblock - before.ru_inblock, own.ru_oublock - before.ru_oublock
        if children != children_before:
            seconds += children.ru_utime + children.ru_stime - children_before.ru_utime - children_before.ru_stime
            read += children.ru_inblock - children_before.ru_inblock
            written += children.ru_oublock - children_before.ru_oublock
            if children.ru_maxrss > children_before.ru_maxrss:  # it is that of the biggest so far
                peak = max(peak, children.ru_maxrss * MARK_UNIT)
        if not self._counts_blocks:
            return Usage(seconds, peak)
        return Usage(seconds, peak, read * BLOCK, written * BLOCK)


def _used() -> tuple[resource.struct_rusage, resource.struct_rusage]:
    return resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
