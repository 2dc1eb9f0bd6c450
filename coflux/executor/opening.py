"""Opening the databases of a store for writing: new, old, newer, damaged, or in a place that cannot be used."""

from __future__ import annotations

import os
from collections.abc import Sequence

from coflux.executor.database import LOGS_FILE, MAIN_FILE, Database, StoreDamaged, StoreError, damaged, set_aside
from coflux.executor.migrations import LOGS, Migration, check_version, migrate

__all__ = ["LAST_LOG_ID", "move_logs_aside", "open_database", "open_logs", "prepare_directory"]

OPEN_PATIENCE = 2.0  # seconds to wait for somebody's lock when opening
CHECK_LIMIT = 32 * 1024 * 1024  # bytes; the structure of a bigger database is not checked when it is opened

LAST_LOG_ID = "SELECT coalesce(max(id), 0) FROM logs"


def prepare_directory(data_dir: str) -> None:
    remedy = "choose another place with --data-dir"
    try:
        os.makedirs(data_dir, mode=0o700, exist_ok=True)
        owner = os.stat(data_dir).st_uid
        if owner != os.geteuid():
            raise StoreError(f"{data_dir} belongs to another user (uid {owner}): {remedy}")
        for path in (data_dir, os.path.join(data_dir, LOGS_FILE), os.path.join(data_dir, MAIN_FILE)):
            if os.path.exists(path) and not os.access(path, os.W_OK):
                raise StoreError(f"{path} is read-only: make it writable, or {remedy}")
        ignore = os.path.join(data_dir, ".gitignore")
        if not os.path.exists(ignore):
            with open(ignore, "w", encoding="ascii") as file:
                file.write("*\n")
    except OSError as error:
        raise StoreError(f"{data_dir} cannot be used ({error.strerror}): {remedy}") from error


def open_database(path: str, migrations: Sequence[Migration]) -> Database:
    database = Database(path, patience=OPEN_PATIENCE)
    try:
        # Looked at before anything is written: a newer or foreign file is left as it is.
        if check_version(database, migrations):
            _check_structure(database)
            database.run("PRAGMA synchronous = NORMAL")
        else:
            # Ten syncs for nothing but tables: if the power goes now, the file is empty, and is made again.
            database.run("PRAGMA synchronous = OFF")
            database.run("PRAGMA auto_vacuum = INCREMENTAL")  # so that free pages can be given back, a few at a time
        if database.run("PRAGMA journal_mode = WAL")[0][0] != "wal":
            raise StoreError(f"{path} is on a file system without shared memory: choose a local one with --data-dir")
        migrate(database, migrations)
        database.run("PRAGMA synchronous = NORMAL")
        database.run("PRAGMA wal_autocheckpoint = 0")
        database.run("PRAGMA journal_size_limit = 0")  # a WAL that starts over is cut, so its size tells its content
        database.run("PRAGMA busy_timeout = 0")
    except BaseException:
        database.close()
        raise
    return database


def open_logs(path: str) -> Database:
    database = open_database(path, LOGS)
    try:
        database.run(LAST_LOG_ID)  # the structure of a big one is not checked
    except BaseException:
        database.close()
        raise
    return database


def move_logs_aside(error: StoreDamaged) -> str:
    """Move the log database aside; return a line about it."""
    cause = str(error).rpartition("): ")[0]
    return f"{cause}): it was moved to {set_aside(error.path)}, and a new one is begun; runs and results are all there"


def _check_structure(database: Database) -> None:
    if os.path.getsize(database.path) <= CHECK_LIMIT:
        verdict = database.run("PRAGMA quick_check(1)")[0][0]
        if verdict != "ok":
            raise damaged(database.path, verdict)
