"""The schema of both databases, as the list of steps that lead to it.

`PRAGMA user_version` counts the steps a file has behind it. Every step is one transaction together with that count, so
a process killed half way leaves a file from which the next one goes on. Released steps are never edited; append.
"""

from __future__ import annotations

from collections.abc import Sequence

from coflux.executor.database import Database, StoreError, damaged, start_afresh

__all__ = ["APPLICATION_ID", "LOGS", "MAIN", "UNRELEASED_ID", "Migration", "check_version", "migrate"]

APPLICATION_ID = 0x636F6678  # "cofx": `file` and `coflux` tell our databases from others by it
UNRELEASED_ID = 0x636F666C  # "cofl": of stores whose big blobs have other digests; no release has written one

PLAUSIBLE_VERSION = 1000  # a file of a newer coflux has fewer steps behind it; more are damage

Migration = tuple[str, ...]

MAIN: tuple[Migration, ...] = (
    (
        """CREATE TABLE runs (
            number INTEGER PRIMARY KEY, -- order of creation, whatever the clock says
            id TEXT NOT NULL UNIQUE,
            workspace TEXT NOT NULL,
            module TEXT NOT NULL,
            name TEXT NOT NULL,
            type TEXT NOT NULL,
            parent TEXT,
            root_run TEXT NOT NULL,
            context INTEGER NOT NULL,
            idempotency_key TEXT,
            options BLOB NOT NULL,
            status TEXT NOT NULL,
            created_at REAL NOT NULL,
            started_at REAL,
            finished_at REAL,
            steps INTEGER NOT NULL,
            settled INTEGER NOT NULL,
            hidden INTEGER NOT NULL DEFAULT 0 -- deleted, but other runs still point into it
        )""",
        "CREATE INDEX runs_by_family ON runs (root_run)",
        "CREATE INDEX runs_hidden ON runs (root_run) WHERE hidden",
        "CREATE INDEX runs_unsettled ON runs (root_run) WHERE NOT settled",
        # How many are in which state is shown all the time.
        "CREATE INDEX runs_by_status ON runs (status, workspace) WHERE parent IS NULL AND NOT hidden",
        "CREATE UNIQUE INDEX runs_by_key ON runs (workspace, idempotency_key) WHERE idempotency_key IS NOT NULL",
        # A run has thousands of steps but few distinct targets, and a target sent by value is some kilobytes.
        """CREATE TABLE targets (
            id INTEGER PRIMARY KEY,
            digest BLOB NOT NULL UNIQUE,
            module TEXT NOT NULL,
            name TEXT NOT NULL,
            type TEXT NOT NULL,
            spec BLOB NOT NULL
        )""",
        """CREATE TABLE steps (
            run TEXT NOT NULL,
            number INTEGER NOT NULL,
            parent TEXT,
            "group" INTEGER,
            target INTEGER NOT NULL,
            depth INTEGER NOT NULL,
            created_at REAL NOT NULL,
            arguments BLOB NOT NULL,
            keys BLOB,
            memo_key BLOB,
            cache_key BLOB,
            defer_key BLOB,
            spawned TEXT,
            PRIMARY KEY (run, number)
        ) WITHOUT ROWID""",
        # To explain a miss: what else was there to be compared with.
        "CREATE INDEX steps_cached ON steps (target, created_at) WHERE cache_key IS NOT NULL",
        """CREATE TABLE executions (
            run TEXT NOT NULL,
            step INTEGER NOT NULL,
            attempt INTEGER NOT NULL,
            status TEXT NOT NULL,
            reason TEXT NOT NULL,
            next TEXT,
            created_at REAL NOT NULL,
            due_at REAL,
            started_at REAL,
            finished_at REAL,
            pid INTEGER,
            generation INTEGER,
            cpu_seconds REAL,
            peak_memory INTEGER,
            read_bytes INTEGER,
            written_bytes INTEGER,
            workspace TEXT NOT NULL,
            "trigger" TEXT NOT NULL,
            older_code INTEGER NOT NULL,
            resumes INTEGER NOT NULL,
            forgotten INTEGER NOT NULL DEFAULT 0, -- the cache was cleared: its result is used no more
            fingerprint BLOB,
            cache_key BLOB,
            awaits TEXT,
            outcome BLOB,
            PRIMARY KEY (run, step, attempt)
        ) WITHOUT ROWID""",
        "CREATE INDEX executions_by_next ON executions (next) WHERE next IS NOT NULL",
        # Only results that the cache may use are in it, so that thousands of hits cost their source's lookup nothing.
        """CREATE INDEX executions_cached ON executions (cache_key, finished_at, created_at, workspace)
            WHERE cache_key IS NOT NULL AND NOT forgotten""",
        """CREATE TABLE groups (
            run TEXT NOT NULL,
            step INTEGER NOT NULL,
            attempt INTEGER NOT NULL,
            number INTEGER NOT NULL,
            name TEXT,
            parent INTEGER,
            PRIMARY KEY (run, step, attempt, number)
        ) WITHOUT ROWID""",
        """CREATE TABLE shared (
            run TEXT NOT NULL,
            step INTEGER NOT NULL,
            attempt INTEGER NOT NULL,
            number INTEGER NOT NULL,
            child TEXT NOT NULL,
            "group" INTEGER,
            PRIMARY KEY (run, step, attempt, number)
        ) WITHOUT ROWID""",
        "CREATE INDEX shared_by_child ON shared (child)",
        """CREATE TABLE assets (
            run TEXT NOT NULL,
            step INTEGER NOT NULL,
            attempt INTEGER NOT NULL,
            asset TEXT NOT NULL,
            name TEXT,
            files INTEGER NOT NULL,
            size INTEGER NOT NULL,
            created_at REAL NOT NULL,
            PRIMARY KEY (run, step, attempt, asset)
        ) WITHOUT ROWID""",
        "CREATE INDEX assets_by_id ON assets (asset)",
        """CREATE TABLE workspaces (
            name TEXT PRIMARY KEY,
            base TEXT,
            state TEXT NOT NULL,
            created_at REAL NOT NULL
        ) WITHOUT ROWID""",
        "INSERT INTO workspaces VALUES ('default', NULL, 'active', (julianday('now') - 2440587.5) * 86400.0)",
        """CREATE TABLE contexts (
            id INTEGER PRIMARY KEY,
            key TEXT NOT NULL UNIQUE,
            interpreter TEXT NOT NULL,
            sys_path BLOB NOT NULL,
            environment BLOB NOT NULL,
            omitted BLOB NOT NULL
        )""",
        "CREATE TABLE settings (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
        # As if garbage had just been collected: a day from now is soon enough.
        """INSERT INTO settings VALUES
            ('collected_at', CAST(CAST((julianday('now') - 2440587.5) * 86400.0 AS TEXT) AS BLOB))""",
    ),
)

LOGS: tuple[Migration, ...] = (
    (
        """CREATE TABLE logs (
            id INTEGER PRIMARY KEY,
            run TEXT NOT NULL,
            step INTEGER NOT NULL,
            attempt INTEGER NOT NULL,
            at REAL NOT NULL,
            level INTEGER NOT NULL,
            template TEXT,
            "values" BLOB,
            logger TEXT,
            bar INTEGER,
            live INTEGER NOT NULL
        )""",
        # Pages of one run in order, with what a filter asks for first: the rows themselves can be long.
        "CREATE INDEX logs_by_run ON logs (run, id, step, attempt, level)",
        "CREATE UNIQUE INDEX logs_by_bar ON logs (run, step, attempt, bar) WHERE bar IS NOT NULL",
        # Those that are not among the entries yet.
        "CREATE INDEX logs_live ON logs (run, id) WHERE live",
        """CREATE TABLE metrics (
            run TEXT NOT NULL,
            step INTEGER NOT NULL,
            attempt INTEGER NOT NULL,
            number INTEGER NOT NULL,
            key TEXT NOT NULL,
            "group" BLOB,
            scale BLOB,
            PRIMARY KEY (run, step, attempt, number)
        ) WITHOUT ROWID""",
        """CREATE TABLE points (
            run TEXT NOT NULL,
            step INTEGER NOT NULL,
            attempt INTEGER NOT NULL,
            metric INTEGER NOT NULL,
            first INTEGER NOT NULL,
            count INTEGER NOT NULL,
            at BLOB NOT NULL,
            "values" BLOB NOT NULL,
            PRIMARY KEY (run, step, attempt, metric, first)
        ) WITHOUT ROWID""",
    ),
)


def check_version(database: Database, migrations: Sequence[Migration]) -> int:
    """Return the number of migrations that `database` has behind it, 0 for an empty file.

    Raises:
        StoreError: the file is not ours, or a newer coflux wrote it, or one of before the first release.
    """
    # One statement, so that all three come from one moment: somebody may be creating the file right now.
    version, application, empty = database.run(
        "SELECT user_version, application_id, NOT EXISTS (SELECT 1 FROM sqlite_master)"
        " FROM pragma_user_version, pragma_application_id"
    )[0]
    if len(migrations) < version < PLAUSIBLE_VERSION:
        raise StoreError(
            f"{database.path} was written by a newer coflux (schema {version}, this one knows {len(migrations)}):"
            " upgrade coflux"
        )
    if empty and version == 0:
        return 0
    if application == UNRELEASED_ID:
        raise StoreError(
            f"{database.path} was written by a coflux of before the first release, which names blobs otherwise:"
            f" {start_afresh(database.path, 'old')}"
        )
    if application != APPLICATION_ID or not 1 <= version < PLAUSIBLE_VERSION or empty:
        raise damaged(database.path, f"not a coflux database: application id {application:#x}, schema {version}")
    assert isinstance(version, int)
    return version


def migrate(database: Database, migrations: Sequence[Migration]) -> None:
    """Bring `database` to the newest schema, one transaction a step.

    Raises:
        StoreError: see `check_version`; or a step failed, and the file is as it was before that step.
    """
    while check_version(database, migrations) < len(migrations):
        database.run("BEGIN IMMEDIATE")
        try:
            # Asked again under the lock: another process may have taken this step meanwhile.
            version = check_version(database, migrations)
            if version < len(migrations):
                for statement in migrations[version]:
                    database.run(statement)
                database.run(f"PRAGMA application_id = {APPLICATION_ID}")
                database.run(f"PRAGMA user_version = {version + 1}")
            database.run("COMMIT")
        finally:
            database.roll_back()
