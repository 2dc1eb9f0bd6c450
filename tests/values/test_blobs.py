"""Blob files: whole or not there, checked before use, never copied in memory."""

from __future__ import annotations

import errno
import gc
import os
import resource
import shutil
import stat
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from blake3 import blake3

from coflux.executor.blobs import MARKED_SIZE, FileBlobs
from coflux.executor.digests import CONCURRENT_SIZE, SLICE
from coflux.values import BlobDamaged, BlobMissing, decode, encode
from tests.values.conftest import RunScript


def files(blobs: FileBlobs, digest: str) -> list[Path]:
    directory = Path(blobs.path_of(digest)).parents[1]
    return [path for path in directory.rglob("*") if path.is_file()]


def size_of(blobs: FileBlobs, digest: str) -> int:
    return os.stat(blobs.path_of(digest)).st_size


def test_a_blob_is_named_by_the_hash_of_its_parts(blobs: FileBlobs) -> None:
    digest = blobs.write([b"abc", b"", memoryview(b"def")])
    assert digest == blake3(b"abcdef").hexdigest()
    assert bytes(blobs.open(digest, 6)) == b"abcdef"
    assert blobs.path_of(digest).endswith(f"/{digest[:2]}/{digest[2:]}")
    assert blobs.exists(digest)
    assert size_of(blobs, digest) == 6


def test_pieces_may_be_empty(blobs: FileBlobs) -> None:
    digest = blobs.write_pieces([b"ab", b"", b"", b"cd", b""])
    assert b"".join(blobs.pieces(digest)) == b"abcd"
    assert blobs.write_pieces([b"", b"abcd"], sync=True) == digest
    assert b"".join(blobs.pieces(blobs.write_pieces([b""], sync=True))) == b""


def test_parts_of_any_item_size(blobs: FileBlobs) -> None:
    array = np.arange(10, dtype="i4")
    digest = blobs.write([memoryview(array.data)])
    assert bytes(blobs.open(digest, 40)) == array.tobytes()


def test_an_empty_blob(blobs: FileBlobs) -> None:
    assert bytes(blobs.open(blobs.write([]), 0)) == b""


def test_only_the_owner_can_read_it(blobs: FileBlobs) -> None:
    path = blobs.path_of(blobs.write([b"abc"]))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_nothing_is_created_before_the_first_blob(tmp_path: Path) -> None:
    FileBlobs(str(tmp_path / "blobs"))
    assert not (tmp_path / "blobs").exists()


def test_writing_again_leaves_the_file_alone(blobs: FileBlobs) -> None:
    digest = blobs.write([b"abc"])
    inode = os.stat(blobs.path_of(digest)).st_ino
    assert blobs.write([b"a", b"bc"]) == digest
    assert os.stat(blobs.path_of(digest)).st_ino == inode


def test_writing_again_repairs_a_truncated_file(blobs: FileBlobs) -> None:
    digest = blobs.write([b"abc"])
    os.truncate(blobs.path_of(digest), 1)
    blobs.write([b"abc"])
    assert bytes(blobs.open(digest, 3)) == b"abc"


def test_changes_to_a_view_stay_in_it(blobs: FileBlobs) -> None:
    digest = blobs.write([b"abc"])
    view = blobs.open(digest, 3)
    view[0] = ord("x")
    assert bytes(blobs.open(digest, 3)) == b"abc"
    assert Path(blobs.path_of(digest)).read_bytes() == b"abc"


def test_a_missing_blob_is_named(blobs: FileBlobs) -> None:
    digest = "0" * 64
    with pytest.raises(BlobMissing, match=digest):
        blobs.open(digest, 3)
    assert not blobs.exists(digest)


def test_a_wrong_size_is_told(blobs: FileBlobs) -> None:
    digest = blobs.write([b"abc"])
    with pytest.raises(BlobDamaged, match=rf"{digest} has 3 bytes instead of 4"):
        blobs.open(digest, 4)


def test_wrong_content_is_told(blobs: FileBlobs) -> None:
    digest = blobs.write([b"abc"])
    Path(blobs.path_of(digest)).write_bytes(b"abx")
    with pytest.raises(BlobDamaged, match=rf"{digest} has the wrong content"):
        blobs.open(digest, 3)
    assert blobs.write([b"abc"]) == digest  # it is written anew, although a file of this size was there
    assert bytes(blobs.open(digest, 3)) == b"abc"


def test_the_hash_is_checked_once_a_process(blobs: FileBlobs) -> None:
    digest = blobs.write([b"abc"])
    blobs.open(digest, 3)
    Path(blobs.path_of(digest)).write_bytes(b"abx")
    assert bytes(blobs.open(digest, 3)) == b"abx"


@pytest.fixture
def big(blobs: FileBlobs) -> str:
    """The digest of a blob that is marked as it was written, if the file system takes marks."""
    digest = blobs.write([bytes(MARKED_SIZE)])
    try:
        os.setxattr(blobs.path_of(digest), b"user.test", b"")
    except OSError as error:
        pytest.skip(f"no extended attributes here: {error.strerror}")
    return digest


@contextmanager
def no_hashing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def hashed() -> NoReturn:
        raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr("coflux.executor.digests.blake3", hashed)
        yield


def test_a_big_blob_is_not_hashed_where_nobody_has_changed_it(
    blobs: FileBlobs, big: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = FileBlobs(str(tmp_path / "copies"))
    os.makedirs(os.path.dirname(copies.path_of(big)))
    shutil.copy2(blobs.path_of(big), copies.path_of(big))
    with no_hashing(monkeypatch):
        assert blobs.open(big, MARKED_SIZE)[-1] == 0
        with pytest.raises(InterruptedError):
            copies.open(big, MARKED_SIZE)


def test_who_writes_a_big_blob_again_leaves_the_mark_as_it_is(
    blobs: FileBlobs, big: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mark of content that somebody has changed would be believed."""
    path = blobs.path_of(big)
    os.utime(path, (1, 1))
    assert blobs.write([bytes(MARKED_SIZE)]) == big
    with no_hashing(monkeypatch), pytest.raises(InterruptedError):
        FileBlobs(str(tmp_path / "blobs")).open(big, MARKED_SIZE)
    os.unlink(path)
    for _ in range(2):
        assert blobs.write([bytes(MARKED_SIZE)]) == big
    with no_hashing(monkeypatch):
        assert FileBlobs(str(tmp_path / "blobs")).open(big, MARKED_SIZE)[-1] == 0


def test_a_big_blob_that_was_changed_is_hashed(blobs: FileBlobs, big: str) -> None:
    path = blobs.path_of(big)
    written = os.stat(path).st_mtime_ns
    # The clock of files ticks some 250 times a second.
    while os.stat(path).st_mtime_ns == written:
        with open(path, "r+b") as file:
            file.seek(MARKED_SIZE - 1)
            file.write(b"x")
    with pytest.raises(BlobDamaged, match="wrong content"):
        blobs.open(big, MARKED_SIZE)


@pytest.mark.parametrize("piece", [1, 3, 7])
def test_short_writes_are_continued(blobs: FileBlobs, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    def pwritev(descriptor: int, views: list[memoryview], offset: int) -> int:
        return os.pwrite(descriptor, b"".join(views)[:piece], offset)

    monkeypatch.setattr(os, "pwritev", pwritev)
    digest = blobs.write([b"abcd", b"e", b"fghij"])
    assert bytes(blobs.open(digest, 10)) == b"abcdefghij"


def test_more_parts_than_one_call_takes(blobs: FileBlobs) -> None:
    digest = blobs.write([bytes([number % 256]) for number in range(5_000)])
    assert size_of(blobs, digest) == 5_000


@pytest.mark.parametrize("size", [3 * SLICE, 3 * CONCURRENT_SIZE], ids=["hashed before", "hashed meanwhile"])
def test_no_system_call_writes_more_than_a_slice(blobs: FileBlobs, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """The kernel would take whole blocks of pages for it, which are slow to get in a virtual machine."""
    written: list[int] = []
    write = os.pwritev

    def pwritev(descriptor: int, views: list[memoryview], offset: int) -> int:
        written.append(sum(view.nbytes for view in views))
        return write(descriptor, views, offset)

    monkeypatch.setattr(os, "pwritev", pwritev)
    parts = [b"a" * 100, b"b" * SLICE, b"c" * 10, bytes(size), b"d" * (SLICE - 110), b"e"]
    digest = blobs.write(parts)
    assert sorted(written) == [1] + [SLICE] * (size // SLICE + 2)
    assert Path(blobs.path_of(digest)).read_bytes() == b"".join(parts)


def test_a_full_disk_leaves_nothing_behind(blobs: FileBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def pwritev(descriptor: int, views: list[memoryview], offset: int) -> int:
        os.write(descriptor, views[0][:1])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwritev", pwritev)
    with pytest.raises(OSError, match="No space left"):
        blobs.write([b"abc"])
    digest = blake3(b"abc").hexdigest()
    assert not blobs.exists(digest)
    assert files(blobs, digest) == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the room is taken as it is filled")
def test_no_room_for_a_big_blob_is_known_before_it_is_written(
    blobs: FileBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "pwritev", lambda descriptor, views, offset: pytest.fail("it was written"))
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limit[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            blobs.write([bytes(CONCURRENT_SIZE)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert os.listdir(Path(blobs.path_of("0" * 64)).parent.parent / "tmp") == []


def test_a_blob_being_written_is_not_visible(blobs: FileBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = blake3(b"abcdef").hexdigest()
    visible: list[bool] = []
    write = os.pwritev

    def pwritev(descriptor: int, views: list[memoryview], offset: int) -> int:
        visible.append(blobs.exists(digest))
        return write(descriptor, views, offset)

    monkeypatch.setattr(os, "pwritev", pwritev)
    blobs.write([b"abcdef"])
    assert visible == [False]
    assert blobs.exists(digest)


def test_many_writers_of_one_blob(blobs: FileBlobs) -> None:
    payload = b"x" * 1_000_000
    threads = [threading.Thread(target=blobs.write, args=([payload],)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    digest = blobs.write([payload])
    assert size_of(blobs, digest) == len(payload)
    assert len(files(blobs, digest)) == 1


def test_a_forked_process_can_hash_a_big_blob(blobs: FileBlobs) -> None:
    array = np.ones(16 << 20)  # 128 MiB
    encoded = encode(array, blobs)
    child = os.fork()
    if child == 0:
        equal = False
        try:
            equal = encode(array + 0, blobs) == encoded and bool(np.array_equal(decode(encoded, blobs), array))  # type: ignore[arg-type]
        finally:
            os._exit(0 if equal else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("value", ["numpy.ones(32 << 20)", "bytes(256 << 20)"])
def test_a_big_value_is_written_without_a_copy(value: str, run_script: RunScript) -> None:
    grown = run_script(
        "import resource, numpy\n"
        f"value = {value}\n"
        "values.encode((1,), blobs)\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "values.encode(value, blobs)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    assert int(grown) < 16 << 10  # KiB; the value has 256 MiB


def test_a_big_array_is_read_without_a_copy(run_script: RunScript) -> None:
    """Of all its pages, those that are changed are copied, and no other."""
    run_script("import numpy; save(values.encode(numpy.arange(8 << 20, dtype='f8'), blobs))")
    script = """
    import numpy

    def copied():
        for line in pathlib.Path("/proc/self/smaps_rollup").read_text().splitlines():
            if line.startswith("Anonymous:"):
                return int(line.split()[1]) * 1024

    before = copied()
    array = values.decode(saved(values.Value), blobs)
    assert array.sum() == sum(range(8 << 20))
    after = copied()
    array[:1 << 20] += 1
    print(after - before, copied() - after)
    """
    reading, changing = map(int, run_script(textwrap.dedent(script)).split())
    assert reading < 2 << 20
    assert 8 << 20 <= changing < 20 << 20


@pytest.mark.parametrize("items", [10_000, 100_000], ids=["read", "mapped"])
def test_an_array_outlives_the_view_it_was_made_from(items: int, blobs: FileBlobs) -> None:
    array: Any = decode(encode(np.arange(items), blobs), blobs)
    part = array[5:]
    del array
    gc.collect()
    part += 1
    assert np.array_equal(part, np.arange(6, items + 1))


def test_mappings_hold_no_descriptor_and_end_with_their_arrays(blobs: FileBlobs) -> None:
    encoded = encode(np.arange(100_000), blobs)
    descriptors = len(os.listdir("/proc/self/fd"))
    arrays = [decode(encoded, blobs) for _ in range(50)]
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert mappings(encoded.blob) == 50
    arrays.clear()
    gc.collect()
    assert mappings(encoded.blob) == 0


def mappings(digest: str | None) -> int:
    assert digest is not None
    return Path("/proc/self/maps").read_text().count(digest[2:])
