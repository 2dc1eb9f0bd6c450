"""Blobs as files, named by the hash of their content."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import cache

from blake3 import blake3

from coflux.encoded import BlobDamaged, BlobMissing

__all__ = ["FileBlobs"]

PIECES_PER_WRITE = 1024  # what one writev takes (IOV_MAX)
CONCURRENT_SIZE = 8 << 20  # bytes from which hashing and writing go on at the same time
SLICE = 4 << 20  # bytes written between two looks at whether the blob is there already
HASHED_SIZE = 16 << 20  # bytes up to which `check` looks at the content
MARKED_SIZE = 8 << 20  # bytes from which a blob is marked as it was written: hashing it takes longer than a look
MAPPED_SIZE = 256 * 1024  # bytes; below, reading is as quick, and a process can have only some 65,000 mappings


class FileBlobs:
    """A `BlobStore` in a directory: `<directory>/<first two hex digits>/<the other 62>`, readable by the owner only.

    Processes may share the directory. A blob appears by a rename, complete; until then it is a file in
    `<directory>/tmp`, named by its writer's process id. Nothing is synced to disk here.

    Hashing uses one thread. blake3's thread pool halves the time for big blobs on two cores, but a process forked after
    its first use deadlocks in the next one, and workers are forked from processes that run the user's code.

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
        """Store the concatenation of `parts`, none of which is copied, and return its blake3 digest in hex.

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
        digest = _hash(views)
        if not _has_size(self.path_of(digest), size):
            self._install(lambda descriptor: _write(descriptor, views, digest))
        return digest

    def _write_while_hashing(self, views: list[memoryview], size: int) -> str:
        """Hashing and writing take about as long, and neither holds the GIL: together they take half."""
        digests: list[str] = []
        hasher = threading.Thread(target=lambda: digests.append(_hash(views)), name="coflux-blob-hash")

        def write(descriptor: int) -> str | None:
            hasher.start()
            try:
                for view in views:
                    for start in range(0, view.nbytes, SLICE):
                        if digests and _has_size(self.path_of(digests[0]), size):
                            return None  # it is there already
                        _write_all(descriptor, [view[start : start + SLICE]])
            finally:
                hasher.join()
            return digests[0]

        self._install(write)
        return digests[0]

    def open(self, digest: str, size: int) -> memoryview:
        """Map a blob copy-on-write: the view can be changed, and the file never is.

        Raises:
            BlobMissing: there is no such file.
            BlobDamaged: its size is not `size`, or its hash differs (checked on the first opening in this process, if
                the file may have changed since it was written).
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
            actual = blake3(view).hexdigest()
            if actual != digest:
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

    def _install(self, write: Callable[[int], str | None]) -> None:
        """Let `write` fill a new file and tell the digest of what it wrote, or `None` if it is not needed."""
        temporary = os.path.join(self._temporary, f"{os.getpid()}-{os.urandom(8).hex()}")
        os.makedirs(self._temporary, mode=0o700, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            try:
                digest = write(descriptor)
                _mark_as_written(descriptor)
            finally:
                os.close(descriptor)
            if digest is None:
                os.unlink(temporary)
                return
            path = self.path_of(digest)
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
            os.rename(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise

    def _missing(self, digest: str) -> BlobMissing:
        return BlobMissing(f"blob {digest} is not in {self._directory}")


def _mark_as_written(descriptor: int) -> None:
    status = os.fstat(descriptor)
    if hasattr(os, "setxattr") and status.st_size >= MARKED_SIZE:
        try:
            os.setxattr(descriptor, _MARK, _state(status))
        except OSError:
            pass  # the file system has no such thing: every reader looks at the content


def _is_as_written(descriptor: int, status: os.stat_result) -> bool:
    if not hasattr(os, "getxattr") or status.st_size < MARKED_SIZE:
        return False
    try:
        return os.getxattr(descriptor, _MARK) == _state(status)
    except OSError:
        return False


_MARK = b"user.coflux.written"


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


def _hash(views: list[memoryview]) -> str:
    hasher = blake3()
    for view in views:
        hasher.update(view)
    return hasher.hexdigest()


def _write(descriptor: int, views: list[memoryview], digest: str) -> str:
    _write_all(descriptor, views)
    return digest


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
    return libc


def _read(descriptor: int, size: int) -> memoryview:
    view = memoryview(bytearray(size))
    offset = 0
    while offset < size:
        count = os.readv(descriptor, [view[offset:]])
        if not count:
            raise OSError(errno.EIO, "the file was truncated while it was read")
        offset += count
    return view


def _has_size(path: str, size: int) -> bool:
    try:
        return os.stat(path).st_size == size
    except FileNotFoundError:
        return False


def _write_all(descriptor: int, views: list[memoryview]) -> None:
    """Write all of `views`, however little each system call takes."""
    index = 0
    views = list(views)
    while index < len(views):
        written = os.writev(descriptor, views[index : index + PIECES_PER_WRITE])
        while written:
            view = views[index]
            if written < view.nbytes:
                views[index] = view[written:]
                break
            written -= view.nbytes
            index += 1
