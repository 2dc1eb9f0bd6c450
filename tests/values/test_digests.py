"""The digest of a blob: one definition, and every way to it, in one thread or in two."""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from blake3 import blake3
from hypothesis import example, given
from hypothesis import strategies as st

from coflux.executor import blobs as blobs_module
from coflux.executor import digests
from coflux.executor.blobs import FileBlobs
from coflux.executor.digests import CONCURRENT_SIZE, SEGMENT, Hasher, SharedHasher, cut, digest_of
from coflux.values import BlobDamaged
from tests.values.test_blobs import files

MIB = 1 << 20
SMALL = 8  # bytes of a segment, where everything is tried that segments can be


def defined(content: bytes, segment: int = SEGMENT) -> str:
    """As docs/internals.md has it."""
    if len(content) <= segment:
        return blake3(content).hexdigest()
    hashes = [blake3(content[start : start + segment]).digest() for start in range(0, len(content), segment)]
    context = "coflux 2026-11-24 digest of a blob by its segments of 4 MiB"
    return blake3(b"".join(hashes), derive_key_context=context).hexdigest()


@contextmanager
def small_segments() -> Iterator[None]:
    with (
        patch.multiple(digests, SEGMENT=SMALL, CONCURRENT_SIZE=2 * SMALL),
        patch.multiple(blobs_module, CONCURRENT_SIZE=2 * SMALL, SLICE=5),
    ):
        yield


def threads_of_hashing() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "coflux-blob-hash"]


@given(st.lists(st.binary(max_size=3 * SMALL), max_size=8))
@example([])
@example([b"", b""])
@example([b"a" * SMALL])
@example([b"a" * SMALL, b"b"])
@example([b"a" * 5 * SMALL])
@example([bytes([number]) for number in range(4 * SMALL)])
def test_every_way_leads_to_the_digest_that_is_defined(parts: list[bytes]) -> None:
    content = b"".join(parts)
    views = [memoryview(part) for part in parts]
    with small_segments(), tempfile.TemporaryDirectory() as directory:
        expected = defined(content, SMALL)
        hasher = Hasher()
        for part in parts:
            hasher.update(part)
        assert hasher.hexdigest() == expected
        assert digest_of(views) == expected
        if content:
            with SharedHasher(views) as shared:
                assert shared.finish() == expected
        assert FileBlobs(directory).write(parts) == expected
        blobs = FileBlobs(directory)
        assert blobs.write(parts) == blobs.write_pieces(parts) == expected
        assert b"".join(blobs.pieces(expected)) == bytes(blobs.open(expected, len(content))) == content
        assert len(files(blobs, expected)) == 1
    assert threads_of_hashing() == []


@given(st.lists(st.binary(max_size=20)), st.integers(1, 12), st.none() | st.integers(1, 4))
def test_views_are_cut_into_lists_of_one_size(parts: list[bytes], size: int, most: int | None) -> None:
    lists = list(cut([memoryview(part) for part in parts], size, most))
    assert b"".join(map(bytes, (view for some in lists for view in some))) == b"".join(parts)
    for some in lists[:-1]:
        assert sum(map(len, some)) == size or (len(some) == most and sum(map(len, some)) < size)
    for some in lists:
        assert 0 < sum(map(len, some)) <= size
        assert len(some) <= (most or len(some))


@pytest.mark.parametrize(
    ("size", "digest"),
    [
        (0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
        (4 * MIB, "f07d773396809ee18e28b44345f49c6e9a97bfd73ac7ba693ecd3dcd1616158d"),
        (4 * MIB + 1, "a2fc0e3fe5b60cf440b99150a435e91f59c886820f22412634053e4a62c6b522"),
        (8 * MIB, "6ea91f26392eaf8fefbf24647e1cc411ac35b0fd7598b44b57160ca66435b79e"),
        (9 * MIB + 7, "f16d8f318fd77dad39a24d2654d0dddb462d1ff530a823669a90d6ed8dc04ad7"),
    ],
)
def test_digests_stay_what_they_are(size: int, digest: str) -> None:
    """Stores are full of them."""
    content = bytes(range(256)) * (size // 256 + 1)
    view = memoryview(content)[:size]
    assert digest_of([view]) == defined(bytes(view)) == digest


def test_a_blob_never_has_the_digest_of_the_list_of_anothers_segments() -> None:
    content = bytes(SEGMENT + 1)
    hashes = [blake3(content[:SEGMENT]).digest(), blake3(content[SEGMENT:]).digest()]
    assert digest_of([memoryview(b"".join(hashes))]) != digest_of([memoryview(content)])


def test_what_fails_in_the_hashing_thread_is_raised_and_leaves_nothing_behind(
    blobs: FileBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = threading.Event()

    def out_of_memory() -> blake3:
        if threading.current_thread().name == "coflux-blob-hash":
            failed.set()
            raise MemoryError
        assert failed.wait(10)  # seconds; else this thread might do it all alone
        return blake3()

    content = bytes(CONCURRENT_SIZE)
    digest = defined(content)
    with monkeypatch.context() as patched:
        patched.setattr(digests, "blake3", out_of_memory)
        with pytest.raises(MemoryError):
            blobs.write([content])
        assert files(blobs, digest) == []
        Path(blobs.path_of(digest)).parent.mkdir(parents=True)
        Path(blobs.path_of(digest)).write_bytes(content)
        failed.clear()
        with pytest.raises(MemoryError):
            blobs.open(digest, len(content))
    assert threads_of_hashing() == []
    assert bytes(blobs.open(digest, len(content))) == content


def test_a_full_disk_ends_the_hashing(blobs: FileBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def pwritev(descriptor: int, views: list[memoryview], offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwritev", pwritev)
    content = bytes(CONCURRENT_SIZE)
    with pytest.raises(OSError, match="No space left"):
        blobs.write([content])
    assert threads_of_hashing() == []
    assert files(blobs, defined(content)) == []


def test_a_big_blob_that_is_there_stays_the_file_that_it_is(blobs: FileBlobs) -> None:
    content = os.urandom(3 * CONCURRENT_SIZE)
    digest = blobs.write([content])
    [file] = files(blobs, digest)
    inode = file.stat().st_ino
    os.utime(file, (1, 1))
    assert blobs.write([content]) == digest
    [file] = files(blobs, digest)
    assert (file.stat().st_ino, file.stat().st_mtime > 1) == (inode, True)


def test_wrong_content_anywhere_in_a_big_blob_is_told(blobs: FileBlobs) -> None:
    size = 2 * SEGMENT + 5
    digest = blobs.write([os.urandom(size)])
    for position in (0, SEGMENT, size - 1):
        with open(blobs.path_of(digest), "r+b") as file:
            file.seek(position)
            [before] = file.read(1)
            file.seek(position)
            file.write(bytes([before ^ 1]))
        with pytest.raises(BlobDamaged, match="wrong content"):
            list(blobs.pieces(digest))
        with open(blobs.path_of(digest), "r+b") as file:
            file.seek(position)
            file.write(bytes([before]))
    assert len(b"".join(blobs.pieces(digest))) == size
