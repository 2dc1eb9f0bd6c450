"""The digest that names a blob: the hash of its content, or of the hashes of its segments.

Up to `SEGMENT` bytes, it is the BLAKE3 hash of the content. A bigger blob is cut into segments of `SEGMENT` bytes, the
last of which is what is left (at least a byte); its digest is the BLAKE3 hash, in the derive-key mode with `CONTEXT`,
of the segments' hashes in their order, 32 bytes each. The modes share no hash, so no content has the digest of a bigger
blob for being the list of that one's hashes. In hex, a digest has 64 digits.

So several threads can work on one digest. BLAKE3 would have threads of its own for that, but a process forked after
their first use deadlocks in the next one, and workers are forked from processes that run the user's code.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Self

from blake3 import blake3

__all__ = ["CONCURRENT_SIZE", "SEGMENT", "Hasher", "SharedHasher", "cut", "digest_of"]

SEGMENT = 4 << 20  # bytes; part of the format
CONTEXT = "coflux 2026-11-24 digest of a blob by its segments of 4 MiB"  # part of the format

SLICE = 512 << 10  # bytes that are hashed at a time: half of a processor's own cache, if it is not a small one
VIEWS_PER_SLICE = 1024  # at most: what one system call writes (IOV_MAX)
CONCURRENT_SIZE = 8 << 20  # bytes from which a second thread is worth its start


def digest_of(views: Sequence[memoryview]) -> str:
    """The digest of the concatenation of `views`, in hex. They are views of bytes; a big one takes two threads."""
    if sum(len(view) for view in views) >= CONCURRENT_SIZE:
        with SharedHasher(views) as hasher:
            return hasher.finish()
    sequential = Hasher()
    for view in views:
        sequential.update(view)
    return sequential.hexdigest()


class Hasher:
    """The digest of what comes piece by piece."""

    def __init__(self) -> None:
        self._segments: list[bytes] = []  # the hashes of those that are complete and not the last
        self._last = blake3()
        self._room = SEGMENT

    def update(self, piece: bytes | memoryview) -> None:
        """Add bytes, or a view of bytes."""
        if len(piece) > self._room:
            piece = self._complete_segments(memoryview(piece))
        self._last.update(piece)
        self._room -= len(piece)

    def _complete_segments(self, piece: memoryview) -> memoryview:
        """Add what belongs to segments that are not the last, and return the rest."""
        while len(piece) > self._room:
            self._last.update(piece[: self._room])
            piece = piece[self._room :]
            self._segments.append(self._last.digest())
            self._last, self._room = blake3(), SEGMENT
        return piece

    def hexdigest(self) -> str:
        return _combined([*self._segments, self._last.digest()])


class SharedHasher:
    """The digest of the concatenation of `views`, which are views of more than `SEGMENT` bytes, as the work of two
    threads: one that begins at once, and whoever calls `finish`.

    Both take the segments from one queue, so they end at the same time, within that of a segment. To be used in a
    `with` statement, at whose end the thread has ended, too. While a slice is hashed the GIL is free.

    Args:
        first: is called for every slice of a segment before it is hashed, with its offset in bytes and its at most
            `VIEWS_PER_SLICE` views; by either thread, in any order. The processor's cache has the slice then, which
            saves the hash a third of its time: it reads at 16 places at once, which no prefetching helps.
    """

    def __init__(
        self, views: Sequence[memoryview], first: Callable[[int, list[memoryview]], object] = lambda offset, views: None
    ) -> None:
        self._queue = enumerate(cut(views, SEGMENT))
        self._lock = threading.Lock()  # of the queue
        self._first = first
        self._hashes: dict[int, bytes] = {}
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="coflux-blob-hash")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._queue = enumerate(())
        self._thread.join()

    def finish(self) -> str:
        """Hash what no thread has begun with, wait for the rest, and return the digest. Raises what the other thread
        has raised (`MemoryError`, what `first` raises)."""
        self._work()
        self._thread.join()
        if self._failure is not None:
            raise self._failure
        return _combined([hash_of_segment for _, hash_of_segment in sorted(self._hashes.items())])

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 (it is raised where the digest is asked for)
            self._failure = error

    def _work(self) -> None:
        while self._failure is None and (segment := self._take()) is not None:
            number, views = segment
            offset, hasher = number * SEGMENT, blake3()
            for views_of_slice in cut(views, SLICE, VIEWS_PER_SLICE):
                self._first(offset, views_of_slice)
                for view in views_of_slice:
                    hasher.update(view)
                    offset += len(view)
            self._hashes[number] = hasher.digest()

    def _take(self) -> tuple[int, list[memoryview]] | None:
        with self._lock:
            return next(self._queue, None)


def cut(views: Iterable[memoryview], size: int, most: int | None = None) -> Iterator[list[memoryview]]:
    """Cut the concatenation of `views` into lists of views that have `size` bytes each, the last one what is left.

    Args:
        views: of bytes; an empty one is left out.
        size: in bytes.
        most: how many views a list has at most; then it may have fewer bytes.
    """
    some: list[memoryview] = []
    room = size
    for view in views:
        start = 0
        while start < len(view):
            part = view[start : start + room]
            some.append(part)
            start += len(part)
            room -= len(part)
            if not room or len(some) == most:
                yield some
                some, room = [], size
    if some:
        yield some


def _combined(hashes: list[bytes]) -> str:
    if len(hashes) == 1:
        return hashes[0].hex()
    return blake3(b"".join(hashes), derive_key_context=CONTEXT).hexdigest()
