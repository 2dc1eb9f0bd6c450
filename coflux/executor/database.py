"""One SQLite file of the store: how it is opened, and what its errors mean to people.

Everything that goes wrong in SQLite leaves this module as a `StoreError` with one line naming the file and the remedy.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

__all__ = [
    "LOGS_FILE",
    "MAIN_FILE",
    "Database",
    "NoStore",
    "StoreBusy",
    "StoreDamaged",
    "StoreError",
    "StoreFull",
    "damaged",
    "set_aside",
    "start_afresh",
]

MAIN_FILE = "coflux.db"
LOGS_FILE = "logs.db"

# Extended result codes: a write that failed for another reason than ENOSPC (a quota, a file size limit), and a shared
# memory file that could not grow.
_CANNOT_GROW = {sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}

_OUR_MISTAKES = (sqlite3.InterfaceError, sqlite3.ProgrammingError, sqlite3.IntegrityError)


class StoreError(Exception):
    """The store cannot be used; the message is one line for people, with the file and the remedy."""


class NoStore(StoreError):
    """There is no store in this directory (yet)."""


class StoreBusy(StoreError):
    """Another process holds the lock. Nothing was written: try again later."""


class StoreFull(StoreError):
    """The disk takes no more. Nothing counts as written: try again when there is space."""


class StoreDamaged(StoreError):
    """The content of a database makes no sense. `path` is its file."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


class Database:
    """A connection in autocommit mode whose errors are `StoreError`s."""

    def __init__(self, path: str, *, read_only: bool = False, patience: float = 0.0) -> None:
        """Connect to `path`; with `patience`, wait up to that many seconds for another process's lock."""
        self.path = path
        uri = f"file:{_escaped(os.path.abspath(path))}?mode={'ro' if read_only else 'rwc'}"
        try:
            self._connection = sqlite3.connect(
                uri, uri=True, timeout=patience, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise _explain(error, path) from error

    def run(self, sql: str, parameters: Sequence[object] = ()) -> list[Any]:
        """Execute one statement and fetch all its rows."""
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise _explain(error, self.path) from error

    def run_many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Execute one statement for every row of parameters."""
        try:
            self._connection.executemany(sql, rows)
        except sqlite3.Error as error:
            raise _explain(error, self.path) from error

    def define(self, functions: Mapping[str, Callable[..., str | bool | None]]) -> None:
        """Let SQL call pure functions by these names. A row for which one of them raises is damaged."""
        for name, function in functions.items():
            self._connection.create_function(name, -1, function, deterministic=True)

    def roll_back(self) -> None:
        """Undo the open transaction, if there is one."""
        if self._connection.in_transaction:
            self.run("ROLLBACK")

    def close(self) -> None:
        self._connection.close()


def damaged(path: str, detail: object) -> StoreDamaged:
    """The error for a file whose content makes no sense."""
    if os.path.basename(path) == LOGS_FILE:
        remedy = "move it and its -wal file away to go on without the old logs"
    else:
        remedy = f"put a backup in its place, or {start_afresh(path, 'damaged')}"
    return StoreDamaged(f"{path} is damaged ({' '.join(str(detail).split())}): {remedy}", path)


def start_afresh(path: str, suffix: str) -> str:
    """The remedy that always helps, for a message: move away the whole store that the database is in."""
    directory = shlex.quote(os.path.dirname(os.path.abspath(path)))
    return f"start afresh after `mv {directory} {directory}.{suffix}`"


def set_aside(path: str) -> str:
    """Rename a damaged database, with its write-ahead log; return its new path. Raises `StoreError`."""
    aside = f"{path}.damaged-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}"
    try:
        for suffix in ("-wal", "-shm", ""):  # should this be interrupted, the database is still there to be found
            if os.path.exists(path + suffix):
                os.rename(path + suffix, aside + suffix)
    except OSError as error:
        raise StoreError(f"{path} is damaged and cannot be moved aside ({error.strerror})") from error
    return aside


def _explain(error: sqlite3.Error | UnicodeDecodeError, path: str) -> Exception:
    """Return the `StoreError` that `error` means, or `error` itself when it is a mistake in this program.

    Text that is not UTF-8, in a row or in a message of SQLite's that quotes the schema, was never written by us.
    """
    if isinstance(error, _OUR_MISTAKES):
        return error
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    primary = code & 0xFF
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreBusy(f"{path} is locked by another process")
    if primary == sqlite3.SQLITE_FULL or code in _CANNOT_GROW:
        return StoreFull(f"{path} cannot grow: the disk is full, or a quota or file size limit is reached")
    if code == sqlite3.SQLITE_READONLY and all(os.access(place, os.W_OK) for place in (path, os.path.dirname(path))):
        return damaged(path, f"{error}, its header says")
    if primary == sqlite3.SQLITE_READONLY:
        return StoreError(f"{path} is read-only: make it writable, or choose another place with --data-dir")
    if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return StoreError(f"{path} cannot be opened: check its permissions, or choose another place with --data-dir")
    if primary == sqlite3.SQLITE_IOERR:
        return StoreError(f"{path} cannot be read or written ({error}): check the disk it is on")
    return damaged(path, error)


def _escaped(path: str) -> str:
    """A path within an SQLite URI, in which only these characters mean something (https://sqlite.org/uri.html)."""
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
