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
from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from blake3 import blake3

__all__ = ["CONCURRENT_SIZE", "SEGMENT", "Hasher", "SharedHasher", "cut", "digest_of"]

SEGMENT = 4 << 20  # bytes; part of the format
CONTEXT = "coflux 2026-11-24 digest of a blob by its segments of 4 MiB"  # part of the format

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
    `with` statement, at whose end the thread has ended, too. While a segment is hashed the GIL is free.
    """

    def __init__(self, views: Sequence[memoryview]) -> None:
        self._queue = enumerate(cut(views, SEGMENT))
        self._lock = threading.Lock()  # of the queue
        self._hashes: dict[int, bytes] = {}
        self._count = -(-sum(len(view) for view in views) // SEGMENT)
        self._digest: str | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="coflux-blob-hash")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._queue = enumerate(())
        self._thread.join()

    def hexdigest(self) -> str | None:
        """`None` as long as there is something to be hashed. Raises what the thread has raised (`MemoryError`)."""
        if self._failure is not None:
            raise self._failure
        if self._digest is None and len(self._hashes) == self._count:
            self._digest = _combined([self._hashes[number] for number in range(self._count)])
        return self._digest

    def finish(self) -> str:
        """Hash what no thread has begun with, and wait for the rest. Raises as `hexdigest`."""
        self._work()
        self._thread.join()
        digest = self.hexdigest()
        assert digest is not None  # the queue is empty, and both have done what they took from it
        return digest

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 (it is raised where the digest is asked for)
            self._failure = error

    def _work(self) -> None:
        while (segment := self._take()) is not None:
            number, views = segment
            hasher = blake3()
            for view in views:
                hasher.update(view)
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
