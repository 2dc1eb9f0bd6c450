"""Writing files below a directory, and never outside it, whatever lies there.

Every directory on the way is opened from the one above it, and links are not followed: what somebody else puts there
meanwhile leads nowhere else either.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from types import TracebackType
from typing import Self

__all__ = ["Destination", "FileThere"]


class FileThere(FileExistsError):
    """A file is there already, which could be replaced."""


_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Destination:
    """A directory that files are written below; a context manager. It is made if it is not there.

    Paths are relative, with `/`, and have neither empty segments nor `.` and `..`: those of an asset.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        """Raises `OSError` when it can be neither made nor opened. It may be a link itself: it is the one asked for."""
        self.directory = os.path.abspath(os.fspath(directory))
        try:
            os.makedirs(self.directory, exist_ok=True)
        except FileExistsError:
            raise NotADirectoryError(errno.ENOTDIR, "this is no directory", self.directory) from None
        self._descriptor = os.open(self.directory, _DIRECTORY)

    def path_of(self, path: str) -> str:
        """Where the file is, or would be."""
        return os.path.join(self.directory, path)

    def check(self, path: str, *, replace: bool) -> None:
        """Raise what `write` would raise because of what is in the way; nothing is made."""
        parent = os.dup(self._descriptor)
        try:
            *above, name = path.split("/")
            for segment in above:
                child = self._open(parent, segment, path)
                if child is None:
                    return
                parent = _exchange(parent, child)
            self._check_free(parent, name, path, replace)
        finally:
            os.close(parent)

    def write(self, path: str, pieces: Iterable[bytes], mode: int, *, replace: bool) -> str:
        """Write a file with these permission bits, and return where it is. It appears complete, or not at all.

        Raises:
            FileExistsError: a file is there already (`FileThere`, unless `replace`), something that is no file, or, for
                a directory on the way, something that is none. Links are neither followed nor replaced.
            OSError: it cannot be written.
        """
        parent = os.dup(self._descriptor)
        try:
            *above, name = path.split("/")
            for segment in above:
                parent = _exchange(parent, self._enter(parent, segment, path))
            self._check_free(parent, name, path, replace)
            _write(parent, name, pieces, mode)
        except FileExistsError:
            raise  # it says already which
        except OSError as error:
            raise OSError(error.errno, error.strerror, self.path_of(path)) from None
        finally:
            os.close(parent)
        return self.path_of(path)

    def _enter(self, parent: int, segment: str, path: str) -> int:
        """Open a directory below another, making it if need be."""
        child = self._open(parent, segment, path)
        if child is None:
            try:
                os.mkdir(segment, dir_fd=parent)
            except FileExistsError:
                pass  # somebody was quicker
            child = self._open(parent, segment, path)
            if child is None:
                raise FileNotFoundError(errno.ENOENT, "a directory on the way was removed", path)
        return child

    def _open(self, parent: int, segment: str, path: str) -> int | None:
        try:
            return os.open(segment, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            kind = _kind(os.stat(segment, dir_fd=parent, follow_symlinks=False).st_mode)
            problem = f"{segment!r} on the way to it is {kind}, not a directory"
            raise FileExistsError(errno.EEXIST, problem, self.path_of(path)) from None

    def _check_free(self, parent: int, name: str, path: str, replace: bool) -> None:
        try:
            mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISREG(mode):
            raise FileExistsError(errno.EEXIST, f"{_kind(mode)} is in its place", self.path_of(path))
        if not replace:
            raise FileThere(errno.EEXIST, "a file is there already", self.path_of(path))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._descriptor)


def _exchange(closed: int, kept: int) -> int:
    os.close(closed)
    return kept


def _write(parent: int, name: str, pieces: Iterable[bytes], mode: int) -> None:
    temporary = f".coflux-{os.urandom(8).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600, dir_fd=parent)
    try:
        try:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[os.write(descriptor, view) :]
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        os.unlink(temporary, dir_fd=parent)
        raise


def _kind(mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link"
    if stat.S_ISDIR(mode):
        return "a directory"
    return "a file" if stat.S_ISREG(mode) else "something that is no file"
