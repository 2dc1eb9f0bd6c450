"""What a process imported, as it was on disk then, and whether it still is.

An import is decided by the files that were read, and by what was *not* there: a module that was looked for in vain, or
found in a later directory. So of each directory that was searched the entries count that could have been such a module.

Looking is cheap: a `stat` per file and directory. Only a directory in which something was created or deleted is listed,
and when that was nothing but somebody's output, it is as cheap again the next time. One listing beats a `stat` for
every name (five for each module, thousands in all), above all on a network file system.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from coflux.executor.messages import SearchedDirectory, SourceFile, Sources

__all__ = ["SourceWatch", "directory_entries", "module_entries", "settled_change_time"]

TIMESTAMP_STEP = 2_000_000_000  # nanoseconds: the coarsest step in which a file system counts time


def settled_change_time(directory: str) -> int:
    """When entries were last created or deleted, in nanoseconds since the epoch; 0 where that says nothing.

    It says nothing as long as the next change could get the very same time, and of a directory that is absent. This is
    the inode's change time, since what unpacks or copies files may set back the modification time.
    """
    try:
        changed = os.stat(directory).st_ctime_ns
    except OSError:
        return 0
    return changed if time.time_ns() - changed > TIMESTAMP_STEP else 0


def directory_entries(directory: str) -> set[str]:
    """The names in a directory; none if it is absent, or none of ours to read."""
    try:
        return set(os.listdir(directory))
    except OSError:
        return set()


def module_entries(entries: Iterable[str]) -> set[str]:
    """Those that could be modules of a package when it is walked."""
    return {entry for entry in entries if "." not in entry or entry.endswith((".py", ".so"))}


class SourceWatch:
    """Looks after what one process imported. Until it has told what that is, nothing has changed."""

    def __init__(self) -> None:
        self._files: tuple[SourceFile, ...] = ()
        self._directories: list[_Directory] = []

    def begin(self, sources: Sources) -> None:
        """This is what the process imported."""
        self._files = sources.files
        self._directories = [_Directory(directory) for directory in sources.directories]

    def changed(self) -> str | None:
        """The path of something that is not as it was, `None` if everything is (§13.1)."""
        for file in self._files:
            if not _unchanged(file):
                return file.path
        for directory in self._directories:
            path = directory.changed()
            if path is not None:
                return path
        return None


class _Directory:
    def __init__(self, searched: SearchedDirectory) -> None:
        self._path = searched.path
        self._settled = searched.settled
        self._present = frozenset(searched.present)
        self._absent = frozenset(searched.absent)
        self._walked = searched.walked

    def changed(self) -> str | None:
        settled = settled_change_time(self._path)  # first: what happens during the listing is found the next time
        if settled and settled == self._settled:
            return None
        entries = directory_entries(self._path)
        different = self._present - entries
        different |= {entry for entry in self._absent & entries if os.path.exists(os.path.join(self._path, entry))}
        if self._walked:
            different |= module_entries(entries) - self._present
        if different:
            return os.path.join(self._path, min(different))
        self._settled = settled
        return None


def _unchanged(file: SourceFile) -> bool:
    try:
        status = os.stat(file.path)
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns, status.st_ino) == (file.size, file.mtime_ns, file.inode)
