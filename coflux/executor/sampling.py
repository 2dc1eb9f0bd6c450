"""What a process and its descendants have used, as it is seen from outside, while they live."""

from __future__ import annotations

import os
import sys
import time
from functools import cache
from typing import NamedTuple

from coflux.executor.messages import Usage

__all__ = ["ProcessTrees", "more", "sample", "since"]

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")  # a second has so many


class ProcessTrees:
    """Which processes descend from which, at about one moment. Made anew for every look.

    Where the kernel lists the children of each thread, only the trees that are looked at are read; elsewhere all
    processes are, once.
    """

    def __init__(self) -> None:
        self._children: dict[int, list[int]] | None = None

    def of(self, pid: int) -> list[int]:
        """A process and all its descendants; those that it adopted are among them."""
        members = [pid]
        for member in members:  # grows while it is walked
            members += self._children_of(member)
        return members

    def _children_of(self, pid: int) -> list[int]:
        if _kernel_lists_children():
            return _listed_children(pid)
        if self._children is None:
            self._children = _all_children()
        return self._children.get(pid, [])


@cache
def _kernel_lists_children() -> bool:
    pid = os.getpid()
    return os.path.exists(f"/proc/{pid}/task/{pid}/children")


def _listed_children(pid: int) -> list[int]:
    children: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            children += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    except OSError:
        pass  # it has ended
    return children


def _all_children() -> dict[int, list[int]]:
    import psutil

    children: dict[int, list[int]] = {}
    for process in psutil.process_iter(["ppid"]):
        children.setdefault(process.info["ppid"], []).append(process.pid)
    return children


class _Used(NamedTuple):
    """By one process since it began: `reaped` are the CPU seconds of the children that it has waited for."""

    cpu_seconds: float
    reaped: float
    memory: int
    read_bytes: int | None
    written_bytes: int | None


def sample(pid: int, trees: ProcessTrees) -> Usage | None:
    """What a process and its living descendants have used since each began, with what they have waited for, and the
    memory that they have now. Pages that they share count for each. `None` when the process is gone."""
    root, *descendants = [_used_by(member) for member in trees.of(pid)]
    if root is None:
        return None
    members = [root, *[used for used in descendants if used is not None]]
    return Usage(
        sum(used.cpu_seconds + used.reaped for used in members),
        sum(used.memory for used in members),
        None if root.read_bytes is None else sum(used.read_bytes or 0 for used in members),
        None if root.written_bytes is None else sum(used.written_bytes or 0 for used in members),
    )


def _used_by(pid: int) -> _Used | None:
    if sys.platform != "linux":
        return _used_elsewhere(pid)
    try:
        # From the state on: what is before it, the name, may hold anything.
        fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
        # As `clock_getcpuclockid` makes it: a clock, and more exact than the ticks that are in the file.
        seconds = time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return None
    read, written = _storage_bytes(pid)
    return _Used(seconds, (int(fields[13]) + int(fields[14])) / _TICK, int(fields[21]) * _PAGE, read, written)


def _storage_bytes(pid: int) -> tuple[int | None, int | None]:
    try:
        fields = _read(f"/proc/{pid}/io").split()
    except OSError:
        return None, None  # not counted by this kernel, or none of our business: the process has become another user's
    return int(fields[9]), int(fields[11])


def _used_elsewhere(pid: int) -> _Used | None:
    import psutil

    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        memory: int = process.memory_info().rss
    except psutil.Error:
        return None
    return _Used(times.user + times.system, times.children_user + times.children_system, memory, None, None)


def _read(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, 1 << 16)
    finally:
        os.close(descriptor)


def since(now: Usage, before: Usage) -> Usage:
    """What was used between two moments, and the memory of the later one."""
    return Usage(
        max(now.cpu_seconds - before.cpu_seconds, 0.0),
        now.peak_memory,
        _difference(now.read_bytes, before.read_bytes),
        _difference(now.written_bytes, before.written_bytes),
    )


def more(left: Usage, right: Usage) -> Usage:
    """The greater of each: of two views of the same execution, each of which can have missed something."""
    return Usage(
        max(left.cpu_seconds, right.cpu_seconds),
        max(left.peak_memory, right.peak_memory),
        _greater(left.read_bytes, right.read_bytes),
        _greater(left.written_bytes, right.written_bytes),
    )


def _difference(now: int | None, before: int | None) -> int | None:
    return None if now is None else max(now - (before or 0), 0)


def _greater(left: int | None, right: int | None) -> int | None:
    return left if right is None else right if left is None else max(left, right)
