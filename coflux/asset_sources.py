"""Which files an asset is made of: what is below a directory, or what was named; and reading them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

from coflux.asset_manifest import PERMISSIONS

__all__ = ["MissingFile", "Opened", "Tree", "files_below", "opened", "path_within"]

PIECE = 1 << 20  # bytes read at a time


class MissingFile(FileNotFoundError, ValueError):
    """A file that an asset was to be made of is not there."""


class Tree(NamedTuple):
    """What is below a directory.

    Attributes:
        files: for the path of each file, relative and with `/`, where it is read.
        left_out: the paths of links to directories, of links that lead out or nowhere, and of sockets and the like.
    """

    files: dict[str, str]
    left_out: list[str]


def files_below(directory: str) -> Tree:
    """All files below `directory`, in the order of their paths; names that begin with a dot are no exception.

    A link is the file that it leads to, if that is below `directory` too.

    Raises:
        MissingFile: there is no such directory.
        OSError: it is none, or one below it cannot be read.
    """
    tree = Tree({}, [])
    root = os.path.realpath(directory)
    pending = [""]
    while pending:
        place = pending.pop()
        directories = []
        for entry in _entries(os.path.join(directory, place)):
            path = f"{place}/{entry.name}" if place else entry.name
            if entry.is_dir(follow_symlinks=False):
                directories.append(path)
                continue
            file = _file_of(entry, root)
            if file is None:
                tree.left_out.append(path)
            else:
                tree.files[path] = file
        pending += reversed(directories)
    return tree


def _entries(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except NotADirectoryError:
        raise NotADirectoryError(
            errno.ENOTDIR, "this is a file: name it, or give its directory as `at`", directory.rstrip("/")
        ) from None
    except FileNotFoundError:
        raise MissingFile(errno.ENOENT, "there is no such directory to keep files of", directory) from None


def _file_of(entry: os.DirEntry[str], root: str) -> str | None:
    """Where the content of a directory's entry is read, `None` if it has none or that is elsewhere."""
    if entry.is_file(follow_symlinks=False):
        return entry.path
    if not entry.is_symlink():
        return None
    real = os.path.realpath(entry.path)
    return real if os.path.isfile(real) and os.path.commonpath([real, root]) == root else None


def path_within(file: str, base: str) -> str:
    """The path of `file` from `base`, with `/`; of a file that is elsewhere, only the name."""
    absolute = os.path.abspath(file)
    real = os.path.join(os.path.realpath(os.path.dirname(absolute)), os.path.basename(absolute))
    # As it is written, or else as it really is: the working directory is known by its real path only.
    for place, top in ((absolute, os.path.abspath(base)), (real, os.path.realpath(base))):
        if os.path.commonpath([place, top]) == top:
            return os.path.relpath(place, top)
    return os.path.basename(absolute)


class Opened:
    """A file being read. `status`, `size` and `mode` are what they were when it was opened."""

    def __init__(self, path: str, descriptor: int) -> None:
        """For `opened`."""
        self._path = path
        self._descriptor = descriptor
        self.status = os.fstat(descriptor)
        self.size = self.status.st_size
        self.mode = self.status.st_mode & PERMISSIONS

    def pieces(self) -> Iterator[bytes]:
        """Its content. Raises `RuntimeError`, at the end or when there is more than there was, if it has changed."""
        read = 0
        while read <= self.size and (piece := self._read()):
            read += len(piece)
            yield piece
        status = os.fstat(self._descriptor)
        if read != self.size or (status.st_size, status.st_mtime_ns) != (self.size, self.status.st_mtime_ns):
            raise RuntimeError(
                f"{self._path!r} changed while it was read: keep a file when nothing writes to it any more"
            )

    def close(self) -> None:
        os.close(self._descriptor)

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, PIECE)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._path) from None


def opened(path: str, *, follow: bool) -> Opened:
    """Open a file that is to be kept; if it is a link, only with `follow`.

    Raises:
        MissingFile: it is not there.
        ValueError: it is a directory, or no file with a content of its own (a pipe, a device).
        OSError: it cannot be opened.
    """
    try:
        # Without waiting for somebody to open the other end of a pipe.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(path, flags if follow else flags | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise MissingFile(errno.ENOENT, "there is no such file to keep", path) from None
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise ValueError(f"{path!r} is a directory: asset(at={path!r}) keeps the files below it")
        if not stat.S_ISREG(mode):
            raise ValueError(f"{path!r} is neither a file nor a directory, so it cannot be kept")
        return Opened(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
