"""Moving the write-ahead logs into the databases, on a thread of its own: syncing a disk takes as long as it takes.

The writer appends to a write-ahead log (WAL) and never syncs. This thread checkpoints the WALs when one has grown by
`GROWTH` bytes. Two rules:

* **Blobs first.** A checkpoint makes rows durable for good, so the blobs they may name are synced before it. (Still,
  the kernel may write a row before its blob: after a power loss a row without its blob counts as not succeeded.)
* **The writer is not stopped.** A passive checkpoint takes no lock that a writer needs. But a WAL starts over only when
  all of it is checkpointed, which never happens under a writer that is never idle; so past `LIMIT` bytes the last
  frames are checkpointed while `gate` is held, and a commit waits for it (`Store` says how long at most).

Neither helps against a reader whose transaction does not end: past `PIN_LIMIT` bytes it is looked for (`take_pins`).
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Sequence

from coflux.executor.database import Database, StoreBusy, StoreError
from coflux.executor.wal_readers import Pin, lasting_readers

__all__ = ["GROWTH", "LIMIT", "PIN_LIMIT", "Checkpointer", "sync_blobs"]

LOOKS = 16  # commits between two looks at the size of the WAL
GROWTH = 8 * 1024 * 1024
LIMIT = 64 * 1024 * 1024
PIN_LIMIT = 256 * 1024 * 1024


class _Log:
    """The write-ahead log of one database; the connection is for the checkpointer's thread."""

    def __init__(self, database_path: str) -> None:
        self.database = database_path
        self.path = f"{database_path}-wal"
        self.connection = Database(database_path)
        self.connection.run("PRAGMA synchronous = NORMAL")
        # Whoever removes the shared memory parts us from later readers, which make their own.
        self.files = {path: os.stat(path).st_ino for path in (self.path, f"{database_path}-shm")}
        self.seen = 0  # bytes, when a checkpoint was last asked for
        self.pinned = False  # it was told who keeps it from starting over


class Checkpointer:
    """Watches the WALs of `database_paths`, which the caller has open for writing in WAL mode.

    Attributes:
        gate: held by whoever must not meet the other: the writer in a transaction, this thread in its last step.
    """

    def __init__(self, database_paths: Sequence[str]) -> None:
        self.gate = threading.Lock()
        self._blobs: deque[str] = deque()
        self._logs = [_Log(path) for path in database_paths]
        self._failure: StoreError | None = None
        self._pins: deque[Pin] = deque()
        self._looks = 0
        self._wake = threading.Event()
        self._closing = False
        self._asked: threading.Event | None = None  # to empty the logs; set when that has been tried
        self._thread = threading.Thread(target=self._loop, name="coflux-checkpointer", daemon=True)
        self._thread.start()

    def blob_written(self, path: str) -> None:
        """Sync the file at `path` before the next checkpoint."""
        self._blobs.append(path)

    def look(self) -> None:
        """Ask for a checkpoint when one is due. Costs a `stat` for each database, every so many commits.

        Raises:
            StoreError: the last checkpoint failed (said once), or somebody removed a WAL, so that commits go nowhere.
        """
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        self._looks += 1
        if self._looks % LOOKS:
            return
        for log in self._logs:
            size = _size(log)
            if size < log.seen:
                log.seen = 0
            if size - log.seen >= GROWTH:
                log.seen = size
                self._wake.set()

    def take_pins(self) -> list[Pin]:
        """Return which WALs are kept from starting over, and by whom: each once, until it has started over."""
        return [self._pins.popleft() for _ in range(len(self._pins))]

    def empty(self) -> threading.Event:
        """Ask for a checkpoint now that leaves nothing in the WALs and cuts the databases' files to what they hold, if
        nobody is reading. The event is set when it is over."""
        self._asked = self._asked or threading.Event()
        self._wake.set()
        return self._asked

    def close(self) -> None:
        """End the thread, after the checkpoint it is at. `pending_blobs` are not synced."""
        self._closing = True
        self._wake.set()
        self._thread.join()
        for log in self._logs:
            log.connection.close()

    def pending_blobs(self) -> deque[str]:
        """The blobs that still wait for being synced, oldest first."""
        return self._blobs

    def _loop(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            if self._closing:
                return
            asked, self._asked = self._asked, None
            try:
                sync_blobs(self._blobs)
                for log in self._logs:
                    self._checkpoint(log, LIMIT if asked is None else 0)
            except StoreBusy:
                continue  # another process is checkpointing; the next growth asks again
            except StoreError as failure:
                self._failure = failure
            finally:
                if asked is not None:
                    asked.set()

    def _checkpoint(self, log: _Log, limit: int) -> None:
        log.connection.run("PRAGMA wal_checkpoint(PASSIVE)")
        if _size(log) >= limit:
            with self.gate:
                if not self._blobs:
                    log.connection.run("PRAGMA wal_checkpoint(TRUNCATE)")
        self._look_for_readers(log)

    def _look_for_readers(self, log: _Log) -> None:
        size = _size(log)
        if size < PIN_LIMIT:
            log.pinned = False
        elif not log.pinned:
            readers = lasting_readers(log.database)
            if readers is None or readers:  # else whoever it was has ended the transaction by now
                log.pinned = True
                self._pins.append(Pin(log.database, size, readers or ()))


def sync_blobs(blobs: deque[str]) -> None:
    """Sync the files named in `blobs`, and the directories they are in, and take them from the queue.

    Raises:
        StoreError: a file cannot be synced; it and those after it are still in the queue.
    """
    directories = set()
    for _ in range(len(blobs)):
        path = blobs[0]
        _sync(path)
        directories.add(os.path.dirname(path))
        blobs.popleft()
    for directory in directories:
        _sync(directory)


def _sync(path: str) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return  # deleted meanwhile: whoever reads its row finds that out
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise StoreError(f"{path} cannot be synced to disk ({error.strerror}): check the disk it is on") from error
    finally:
        os.close(descriptor)


def _size(log: _Log) -> int:
    for path, inode in log.files.items():
        try:
            found = os.stat(path).st_ino
        except FileNotFoundError:
            found = None
        if found != inode:
            raise StoreError(f"{path} was removed while in use, so nothing more can be stored: stop and restart coflux")
    return os.path.getsize(log.path)
