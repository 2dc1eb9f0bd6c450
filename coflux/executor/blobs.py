"""Blobs as files, named by the digest of their content."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from itertools import chain
from typing import NamedTuple

from coflux.encoded import BlobDamaged, BlobMissing
from coflux.executor.digests import CONCURRENT_SIZE, SLICE, VIEWS_PER_SLICE, Hasher, SharedHasher, cut, digest_of

__all__ = ["BlobFile", "FileBlobs"]

HASHED_SIZE = 16 << 20  # bytes up to which `check` looks at the content
PIECE = 1 << 20  # bytes of a blob that are read at a time, where it is not mapped
_DIGEST = re.compile("[0-9a-f]{64}")
_MARK = b"user.coflux.written"  # an extended attribute
MARKED_SIZE = 8 << 20  # bytes from which a blob is marked as it was written: hashing it takes longer than a look
MAPPED_SIZE = 256 * 1024  # bytes; below, reading is as quick, and a process can have only some 65,000 mappings


class BlobFile(NamedTuple):
    """A blob as a file: its size in bytes, and when it was last written or renewed, in seconds since the epoch."""

    size: int
    touched_at: float


class FileBlobs:
    """A `BlobStore` in a directory: `<directory>/<first two hex digits>/<the other 62>`, readable by the owner only.

    Processes may share the directory. A blob appears by a rename, complete; until then it is a file in
    `<directory>/tmp`, named by its writer's process id. Nothing is synced to disk here,
    unless somebody asks for it.

    What a blob's digest is, and that two threads hash a big one, is in `coflux.executor.digests`.

    What is read is compared with its hash, once in a process. A big blob is not, as long as its file is as its writer
    has left it: that is told by a mark on the file, which holds until the file is changed or copied, or the machine
    starts anew, and which not every file system takes.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._temporary = os.path.join(directory, "tmp")
        self._verified: set[str] = set()
        self._checked: dict[str, tuple[int, int]] = {}

    def path_of(self, digest: str) -> str:
        return os.path.join(self._directory, digest[:2], digest[2:])

    def exists(self, digest: str) -> bool:
        return os.path.exists(self.path_of(digest))

    def write(self, parts: Sequence[bytes | memoryview]) -> str:
        """Store the concatenation of `parts`, none of which is copied, and return its digest in hex.

        Raises `OSError` (no space, no permission), whose `filename` is the directory; then nothing is left behind.
        """
        try:
            return self._write(parts)
        except OSError as error:
            raise OSError(error.errno, error.strerror, self._directory) from None

    def _write(self, parts: Sequence[bytes | memoryview]) -> str:
        views = [view for view in (memoryview(part).cast("B") for part in parts) if view.nbytes]
        size = sum(view.nbytes for view in views)
        if size >= CONCURRENT_SIZE:
            return self._write_while_hashing(views, size)
        digest = digest_of(views)
        if self._renew(digest, size):
            return digest

        def write(descriptor: int) -> str:
            offset = 0
            for views_of_slice in cut(views, SLICE, VIEWS_PER_SLICE):
                offset = _write_at(descriptor, offset, views_of_slice)
            return digest

        return self._install(write)

    def _write_while_hashing(self, views: list[memoryview], size: int) -> str:
        """Two threads hash and write, slice by slice. Neither holds the GIL while it does."""

        def write(descriptor: int) -> str:
            _reserve(descriptor, size)
            with SharedHasher(views, partial(_write_at, descriptor)) as hasher:
                return hasher.finish()

        return self._install(write)

    def write_pieces(self, pieces: Iterable[bytes], *, sync: bool = False) -> str:
        """Store the concatenation of `pieces`, of which two are held at a time, and return its digest.

        Args:
            sync: return when the file is on the disk, for whoever does not announce it to the engine.

        Raises what `pieces` raises, and `OSError` as `write` does; then nothing is left behind.
        """
        rest = filter(None, pieces)
        first, second = next(rest, b""), next(rest, b"")
        if not second and not sync:
            return self.write([first])  # most files are small, and many are there already
        try:
            return self._write_pieces(chain((first, second), rest), sync)
        except OSError as error:
            raise OSError(error.errno, error.strerror, error.filename or self._directory) from None

    def _write_pieces(self, pieces: Iterable[bytes], sync: bool) -> str:
        def write(descriptor: int) -> str:
            hasher, offset = Hasher(), 0
            for piece in pieces:
                hasher.update(piece)
                offset = _write_at(descriptor, offset, [memoryview(piece)])
            if sync:
                os.fsync(descriptor)
            return hasher.hexdigest()

        digest = self._install(write)
        if sync:
            _sync_directory(os.path.dirname(self.path_of(digest)))
        return digest

    def pieces(self, digest: str) -> Iterator[bytes]:
        """The content of a blob in pieces, for those who do not want it in memory.

        Raises:
            BlobMissing: there is no such file.
            BlobDamaged: it cannot be read; or its hash differs, which is known after the last piece.
        """
        path = self.path_of(digest)
        hasher = Hasher()
        try:
            with open(path, "rb", buffering=0) as file:
                while piece := file.read(PIECE):
                    hasher.update(piece)
                    yield piece
        except FileNotFoundError:
            raise self._missing(digest) from None
        except OSError as error:
            raise BlobDamaged(f"blob {digest} cannot be read: {error.strerror} ({path})") from None
        if hasher.hexdigest() != digest:
            raise BlobDamaged(f"blob {digest} has the wrong content, with hash {hasher.hexdigest()} ({path})")

    def open(self, digest: str, size: int) -> memoryview:
        """Map a blob copy-on-write: the view can be changed, and the file never is.

        Raises:
            BlobMissing: there is no such file.
            BlobDamaged: its size is not `size`, or its hash differs (checked on the first opening in this process, if
                the file may have changed since it was written). Whoever writes it again writes it anew.
            OSError: it cannot be opened or mapped.
        """
        path = self.path_of(digest)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise self._missing(digest) from None
        try:
            status = os.fstat(descriptor)
            if status.st_size != size:
                raise BlobDamaged(f"blob {digest} has {status.st_size} bytes instead of {size} ({path})")
            if digest not in self._verified and _is_as_written(descriptor, status):
                self._verified.add(digest)
            view = _map(descriptor, size) if size >= MAPPED_SIZE else _read(descriptor, size)
        finally:
            os.close(descriptor)
        if digest not in self._verified:
            actual = digest_of([view])
            if actual != digest:
                _set_aside(path, status.st_ino)  # it has the right size: writing it again would leave it as it is
                raise BlobDamaged(f"blob {digest} has the wrong content, with hash {actual} ({path})")
            self._verified.add(digest)
        return view

    def check(self, digest: str, size: int) -> None:
        """Raise what `open` would, if it would. The content is looked at up to 16 MiB, and again when the file has
        changed."""
        try:
            status = os.stat(self.path_of(digest))
        except FileNotFoundError:
            raise self._missing(digest) from None
        state = (status.st_ino, status.st_mtime_ns)
        if status.st_size != size or (size <= HASHED_SIZE and self._checked.get(digest) != state):
            self._verified.discard(digest)
            self.open(digest, size)
            self._checked[digest] = state

    def _renew(self, digest: str, size: int) -> bool:
        """Whether the blob is there already. From now on it is as young as one that was just written (see `remove`)."""
        path = self.path_of(digest)
        try:
            is_as_written = _is_as_written(path, os.stat(path))
            os.utime(path)
            if is_as_written:
                _mark_as_written(path)
            return os.stat(path).st_size == size
        except FileNotFoundError:
            return False

    # -- for the one who removes blobs -------------------------------------------------------------------------------

    def files(self) -> dict[str, BlobFile]:
        """All blobs that are there. One whose removal was interrupted is put back first."""
        for name in _names(self._temporary):
            if _DIGEST.fullmatch(name):
                _rename(os.path.join(self._temporary, name), self.path_of(name))
        found = {}
        for prefix in _names(self._directory):
            for name in _names(os.path.join(self._directory, prefix)) if prefix != "tmp" else ():
                try:
                    status = os.stat(os.path.join(self._directory, prefix, name))
                except FileNotFoundError:
                    continue  # somebody else removed it
                if _DIGEST.fullmatch(prefix + name):
                    found[prefix + name] = BlobFile(status.st_size, status.st_mtime)
        return found

    def remove(self, digest: str, untouched_since: float) -> int | None:
        """Remove a blob to which nothing refers, unless somebody has written it since that time (seconds since the
        epoch): then what refers to it is yet to be recorded. Return its size in bytes, `None` if it stays.

        Whoever writes it now either renews it before it is taken away, and it is put back, or does not find it.
        """
        path, aside = self.path_of(digest), os.path.join(self._temporary, digest)
        os.makedirs(self._temporary, mode=0o700, exist_ok=True)
        if not _rename(path, aside):
            return None
        status = os.stat(aside)
        if status.st_mtime >= untouched_since:
            _rename(aside, path)
            return None
        os.unlink(aside)
        return status.st_size

    def remove_abandoned(self, untouched_since: float) -> int:
        """Remove files that writers have left which were killed; return their bytes. The process's number tells those
        that may still be at it, but not where the writers are in several containers: so recent files stay, too."""
        removed = 0
        for name in _names(self._temporary):
            path, writer = os.path.join(self._temporary, name), name.partition("-")[0]
            if writer.isdecimal() and not _is_alive(int(writer)):
                status = os.stat(path)
                if status.st_mtime < untouched_since:
                    os.unlink(path)
                    removed += status.st_size
        return removed

    def _install(self, write: Callable[[int], str]) -> str:
        """Let `write` fill a new file and return the digest of what it wrote. It is not kept if it is there already."""
        temporary = os.path.join(self._temporary, f"{os.getpid()}-{os.urandom(8).hex()}")
        os.makedirs(self._temporary, mode=0o700, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            try:
                digest = write(descriptor)
                size = os.fstat(descriptor).st_size
                _mark_as_written(descriptor)
            finally:
                os.close(descriptor)
            if self._renew(digest, size):
                os.unlink(temporary)
            else:
                path = self.path_of(digest)
                os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
                os.rename(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
        return digest

    def _missing(self, digest: str) -> BlobMissing:
        return BlobMissing(f"blob {digest} is not in {self._directory}")


def _sync_directory(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _mark_as_written(file: int | str) -> None:
    status = os.stat(file)
    if hasattr(os, "setxattr") and status.st_size >= MARKED_SIZE:
        try:
            os.setxattr(file, _MARK, _state(status))
        except OSError:
            pass  # the file system has no such thing: every reader looks at the content


def _is_as_written(file: int | str, status: os.stat_result) -> bool:
    if not hasattr(os, "getxattr") or status.st_size < MARKED_SIZE:
        return False
    try:
        return os.getxattr(file, _MARK) == _state(status)
    except OSError:
        return False


def _state(status: os.stat_result) -> bytes:
    """What stays the same as long as nobody changes the file and the machine, which may lose some of it, runs."""
    return f"{_boot()} {status.st_dev} {status.st_ino} {status.st_mtime_ns}".encode()


@cache
def _boot() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return os.urandom(16).hex()  # no other process can say when the machine was started: no mark is believed


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _rename(path: str, to: str) -> bool:
    try:
        os.rename(path, to)
    except FileNotFoundError:
        return False
    return True


def _set_aside(path: str, inode: int) -> None:
    try:
        if os.stat(path).st_ino == inode:
            os.rename(path, f"{path}.damaged")
    except OSError:
        pass  # somebody else was quicker, or only reading is allowed here


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # it is another user's
    return True


def _map(descriptor: int, size: int) -> memoryview:
    """Map a file copy-on-write, for as long as the view or a part of it is in use.

    `mmap.mmap` would keep a descriptor open for every mapping (until Python 3.13), so that a thousand arrays in use
    would leave a process none.
    """
    address = _libc().mmap(None, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE, descriptor, 0)
    if address == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    content = (ctypes.c_ubyte * size).from_address(address)
    weakref.finalize(content, _libc().munmap, address, size).atexit = False
    return memoryview(content).cast("B")


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    integers = (ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
    libc.mmap.argtypes = (ctypes.c_void_p, *integers)
    libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
    if sys.platform == "linux":
        libc.fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return libc


def _reserve(descriptor: int, size: int) -> None:
    """Reserve the room for a new file at once, where the file system can: ext4 takes a quarter less time to fill it
    then, and a disk that has no room says so before anything is written.

    `os.posix_fallocate` would write to every block where the file system cannot.
    """
    if sys.platform != "linux" or _libc().fallocate(descriptor, 0, 0, size) == 0:
        return
    number = ctypes.get_errno()
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        raise OSError(number, os.strerror(number))


def _read(descriptor: int, size: int) -> memoryview:
    view = memoryview(bytearray(size))
    offset = 0
    while offset < size:
        count = os.readv(descriptor, [view[offset:]])
        if not count:
            raise OSError(errno.EIO, "the file was truncated while it was read")
        offset += count
    return view


def _write_at(descriptor: int, offset: int, views: list[memoryview]) -> int:
    """Write all of `views`, at most `VIEWS_PER_SLICE`, however little each system call takes; return where they end.

    Slices are no bigger than they are since Linux gives a file memory in pieces as big as the write, up to a whole
    block of pages (2 MiB). Free blocks are what a virtual machine may hand back to its host, and getting them again
    takes ten times as long as filling them: on ext4 in such a machine, 256 MiB took 500 ms in writes of 1 MiB, and 60
    in smaller ones, as long as there were smaller free pieces. The smaller the write, the more of these do; below
    128 KiB it takes longer again.
    """
    views = views.copy()
    while views:
        written = os.pwritev(descriptor, views, offset)
        offset += written
        while views and written >= views[0].nbytes:
            written -= views.pop(0).nbytes
        if views:
            views[0] = views[0][written:]
    return offset
