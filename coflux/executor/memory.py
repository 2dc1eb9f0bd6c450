"""What a worker measures of its own memory."""

from __future__ import annotations

import os
import resource
import sys

__all__ = ["MARK_UNIT", "PeakMemory", "resident_memory"]

SLACK = 1 << 20  # bytes by which an execution may seem to have used more than it has
INTERVAL = 16  # executions after which the mark is put back in any case

MARK_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes, of `ru_maxrss`


class PeakMemory:
    """The most memory that each execution of this process had resident.

    The kernel keeps one mark, of the most since the process began. It is put back to what is resident now when an
    execution has raised it by more than `SLACK`, and every `INTERVAL` executions, since memory is given back, too.
    Linux walks no page tables for that: it takes some 5 µs, whatever the size. Otherwise an execution pays nothing:
    `getrusage`, of 1 µs, is asked anyway. What is told is too high by up to `SLACK`, or by what earlier ones gave back
    since.

    Where the mark cannot be put back (other systems, no /proc), it is the peak of the process so far.
    """

    def __init__(self) -> None:
        self._executions = 0
        self._put_back()
        # `getrusage` of an interpreter knows the mark of the process that started it, too, and that stays.
        inherited = _max_resident()
        self._inherited = inherited if 0 < _high_water_mark() < inherited - SLACK else 0

    def of_execution(self, usage: resource.struct_rusage) -> int:
        """Bytes, since the last `begin`. `usage` is that of this process now."""
        self._last = usage.ru_maxrss * MARK_UNIT
        return self._last if self._last > self._inherited else _high_water_mark()

    def begin(self) -> None:
        """The next execution is about to begin."""
        self._executions += 1
        if self._last > self._mark + SLACK or self._executions % INTERVAL == 0 or self._inherited:
            self._put_back()

    def _put_back(self) -> None:
        try:
            descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, b"5")
            finally:
                os.close(descriptor)
        except OSError:
            pass  # there is no such file, or no descriptor to be had
        self._mark = self._last = _max_resident()


def resident_memory() -> int:
    """Resident bytes of this process; 0 where it cannot be asked."""
    try:
        descriptor = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)  # half of what a file object takes
        try:
            return int(os.read(descriptor, 200).split()[1]) * resource.getpagesize()
        finally:
            os.close(descriptor)
    except OSError:
        return 0


def _max_resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MARK_UNIT


def _high_water_mark() -> int:
    """This process's own mark, in bytes; 0 where it cannot be asked. Takes 40 µs."""
    try:
        with open("/proc/self/status", "rb") as file:
            for line in file:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0
