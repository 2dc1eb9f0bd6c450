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
    """Looks after what one process imported, or several that have to agree. Until it is told, nothing has changed."""

    def __init__(self) -> None:
        self._files: dict[str, SourceFile] = {}
        self._directories: dict[str, _Directory] = {}
        self._conflict: str | None = None  # what two processes met in different states

    def add(self, sources: Sources) -> None:
        """This is what a process imported, or what it has imported since."""
        for file in sources.files:
            if self._files.setdefault(file.path, file) != file:
                self._conflict = file.path
        for searched in sources.directories:
            known = self._directories.setdefault(searched.path, _Directory(searched.path, searched.settled))
            self._conflict = known.add(searched) or self._conflict

    def changed(self) -> str | None:
        """The path of something that is not as it was, `None` if everything is (§13.1)."""
        if self._conflict is not None:
            return self._conflict
        for file in self._files.values():
            if not _unchanged(file):
                return file.path
        for directory in self._directories.values():
            path = directory.changed()
            if path is not None:
                return path
        return None


class _Directory:
    def __init__(self, path: str, settled: int) -> None:
        self._path = path
        self._settled = settled
        self._present: set[str] = set()
        self._absent: set[str] = set()
        self._walked = False

    def add(self, searched: SearchedDirectory) -> str | None:
        """Return the path of an entry that is there for one process and not for another."""
        if searched.settled != self._settled:
            self._settled = 0
        self._present.update(searched.present)
        self._absent.update(searched.absent)
        self._walked |= searched.walked
        both = self._present & self._absent
        return os.path.join(self._path, min(both)) if both else None

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
