"""Who keeps a write-ahead log (WAL) from starting over: readers whose transactions do not end.

A reader in WAL mode holds a shared lock on one of five bytes of the database's `-shm` file as long as its transaction
lasts, and the frames after the moment that it reads from have to be kept. Linux lists such locks, with their holders.
"""

from __future__ import annotations

import os
import re
import time
from typing import NamedTuple

__all__ = ["Pin", "Reader", "lasting_readers"]

# The bytes of SQLite's WAL read locks (https://sqlite.org/walformat.html: 120 + WAL_READ_LOCK(0..4)).
_READ_LOCKS = range(123, 128)
_LOCK = re.compile(r"\d+: POSIX +ADVISORY +READ +(\d+) [0-9a-f]+:[0-9a-f]+:(\d+) (\d+) (\d+|EOF)")

LOOKS = 6  # that a reader has to be found in
LOOK_INTERVAL = 0.1  # seconds; our own transactions last milliseconds
COMMAND_LENGTH = 200  # characters of a command line


class Reader(NamedTuple):
    """A process, and its command line ("" when that cannot be had)."""

    pid: int
    command: str


class Pin(NamedTuple):
    """The write-ahead log of the database at `path` has grown to `size` bytes, since these keep it from starting over.
    `readers` is empty where the system does not tell who holds which lock."""

    path: str
    size: int
    readers: tuple[Reader, ...]

    def describe(self) -> str:
        """One line for people, with the remedy."""
        if self.readers:
            named = [f"process {pid} ({command})" if command else f"process {pid}" for pid, command in self.readers]
            who, verb = " and ".join(named), "reads" if len(named) == 1 else "read"
        else:
            who, verb = "some process", "reads"
        return (
            f"{who} {verb} {self.path} in a transaction that does not end, so its write-ahead log cannot be emptied "
            f"({self.size / (1 << 20):,.0f} MiB by now): end that transaction, or the process"
        )


def lasting_readers(database: str) -> tuple[Reader, ...] | None:
    """The processes that read the database in one transaction for as long as this looks, half a second; not this one.

    `None` where there is no `/proc/locks`, so that nobody can tell.
    """
    try:
        # Only by inode: file systems with several devices (btrfs, overlays) tell another one than `stat` does.
        inode = os.stat(f"{database}-shm").st_ino
        holders = _holders(inode)
        for _ in range(LOOKS - 1):
            if not holders:
                break
            time.sleep(LOOK_INTERVAL)
            holders &= _holders(inode)
    except FileNotFoundError:
        return None
    return tuple([Reader(pid, _command(pid)) for pid in sorted({pid for pid, _ in holders})])


def _holders(inode: int) -> set[tuple[int, int]]:
    """The processes that hold read locks, each with the byte that it has locked."""
    with open("/proc/locks", encoding="ascii") as file:
        return _parse(file.read(), inode) - {(os.getpid(), byte) for byte in _READ_LOCKS}


def _parse(locks: str, inode: int) -> set[tuple[int, int]]:
    holders = set[tuple[int, int]]()
    for pid, of, first, last in _LOCK.findall(locks):
        if int(of) == inode:
            # Locks of one process on bytes that follow one another are one: that after the five is held by all.
            end = _READ_LOCKS.stop if last == "EOF" else int(last) + 1
            holders.update((int(pid), byte) for byte in _READ_LOCKS if int(first) <= byte < end)
    return holders


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read(4 * COMMAND_LENGTH).rstrip(b"\0").split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""
    text = " ".join(b" ".join(words).decode("utf-8", "backslashreplace").split())
    text = "".join(char if char.isprintable() else "?" for char in text)  # it goes to terminals and a log
    return text if len(text) <= COMMAND_LENGTH else text[: COMMAND_LENGTH - 1] + "…"
